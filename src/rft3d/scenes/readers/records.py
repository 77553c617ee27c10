"""Records of data sets without scenes: questions and chats.

A reader yields these where a data set gives no cameras (or no pictures); :mod:`rft3d.datasets` makes
samples of them. All are checked when they are read, and none knows prompts or tasks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rft3d.files import excerpt


@dataclass(frozen=True, slots=True)
class ChatRecord:
    """A question and its answer as a chat about pictures: VG-LLM's files, VLM-3R.

    Attributes:
        id: unique in its file (the place in the file where the data set has no ids).
        scene: scan id where the record or its picture paths tell it, otherwise None.
        dataset: where the pictures come from (``"scannet"``), or the data set's own name.
        turns: the texts of human and model in turn, human first; may hold ``<image>`` or ``<video>`` placeholders.
        images: picture paths as the file has them, relative to the media folder.
        video: a video or a folder of frames, relative to the media folder; None when there are images.
        question_type: the data set's own name for the kind of question.
        extra: the other checked fields, see the reader.
    """

    id: str
    scene: str | None
    dataset: str
    turns: tuple[str, ...]
    images: tuple[str, ...] = ()
    video: str | None = None
    question_type: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """A question about a video with a key that decides it: VSI-Bench, SpaceR. As for :class:`ChatRecord`, and:

    Attributes:
        question: the text without options.
        options: as shown (``"A. left"``); empty for numbers and free text.
        answer: option letter, number as text, or free text.
    """

    id: str
    scene: str | None
    dataset: str
    question_type: str
    question: str
    options: tuple[str, ...]
    answer: str
    video: str | None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReferringRow:
    """One ScanRefer description (``text``) of one object: ScanNet's ``objectId``, its label with spaces, and which
    description of it this is (``ann_id``)."""

    scene: str
    object_id: int
    object_name: str
    ann_id: str
    text: str


_SCAN = re.compile(r"(scene\d{4}_\d{2})")


def read_turns(turns: Sequence[Mapping[str, Any]], where: str, answered: bool = True) -> tuple[str, ...]:
    """``conversations``: ``[{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}, ...]``.

    ``answered=False``: a question alone will do; its answer is then empty.
    """
    texts = []
    for index, turn in enumerate(turns):
        role, wanted, value = turn.get("from"), ("human", "gpt")[index % 2], turn.get("value")
        place = f"{where}.conversations[{index}]"
        if role != wanted:
            raise ValueError(f"{place}.from is {excerpt(role)}; it must be {wanted!r} (human first, in turn)")
        if value is None and wanted == "gpt":
            value = ""  # a validation file has no answers
        if not isinstance(value, str):
            raise ValueError(f"{place}.value is {excerpt(value)}; it must be text")
        texts.append(value)
    if len(texts) == 1 and not answered:
        texts.append("")
    if len(texts) < 2:
        raise ValueError(f"{where}.conversations must hold at least a question and an answer")
    return tuple(texts)


def scan_in(*paths: str | None) -> str | None:
    """The ScanNet scan id in the first path that has one."""
    for path in paths:
        found = _SCAN.search(path or "")
        if found:
            return found[1]
    return None


def record_id(given: Any, where: str) -> str:
    """``given`` as text, or the place in the file with which ``where`` ends."""
    is_id = isinstance(given, str | int) and not isinstance(given, bool) and str(given)
    return str(given) if is_id else where.rpartition("[")[2].rstrip("]")
