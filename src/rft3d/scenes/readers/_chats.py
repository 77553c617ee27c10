"""The chat layout that VG-LLM's and VLM-3R's files share, and scan ids inside paths."""

from __future__ import annotations

import re

from rft3d.scenes.fields import Fields

DATASETS = ("scannet", "scannetpp", "arkitscenes")
_SCAN = re.compile(r"(scene\d{4}_\d{2})")


def read_turns(record: Fields, answered: bool = True) -> tuple[str, ...]:
    """``conversations``: ``[{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}, ...]``.

    ``answered=False``: a question alone will do; its answer is then empty.
    """
    turns = []
    for index, turn in enumerate(record.records("conversations")):
        role, wanted = turn.text("from"), ("human", "gpt")[index % 2]
        if role != wanted:
            raise turn.error("from", role, f"{wanted!r} (turns alternate, human first)")
        value = turn.get("value", "text")
        if value is None and wanted == "gpt":
            value = ""  # a validation file has no answers
        if not isinstance(value, str):
            raise turn.error("value", value, "text")
        turns.append(value)
    if len(turns) == 1 and not answered:
        turns.append("")
    if len(turns) < 2:
        raise record.error("conversations", turns, "at least a question and an answer")
    return tuple(turns)


def read_images(record: Fields) -> tuple[str, ...]:
    """``images`` or ``image``: a path or a list of paths; empty when there is neither."""
    for name in ("images", "image"):
        if record.has(name):
            value = record.data[name]
            value = [value] if isinstance(value, str) else value
            if not isinstance(value, list) or not all(isinstance(path, str) and path for path in value):
                raise record.error(name, value, "a path or a list of paths")
            return tuple(value)
    return ()


def scan_in(*paths: str | None) -> str | None:
    """The ScanNet scan id in the first path that has one."""
    for path in paths:
        found = _SCAN.search(path or "")
        if found:
            return found[1]
    return None


def dataset_in(path: str) -> str | None:
    """Which of :data:`DATASETS` a media path lies in."""
    return next((part for part in path.lower().split("/") if part in DATASETS), None)


def record_id(record: Fields) -> str:
    """``id`` as text, or the record's place in the file."""
    value = record.data.get("id")
    return str(value) if isinstance(value, str | int) and str(value) else record.where.strip("[]")
