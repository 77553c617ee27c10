"""SPAR-7M as VG-LLM trains on it (``spar_7m.jsonl``, sampled to ``spar_234k.json``).

    {"id": "...", "conversations": [human, gpt], "images": [paths],
     "spar_info": "{\\"type\\": \\"depth_prediction_oc\\", ...}"}

``spar_info`` is JSON inside text (or absent): ``type`` and lists ``*_point`` / ``*_bbox`` in thousandths of
the picture with ``point_img_idx``; the loader draws them as red, blue, green and yellow marks before
resizing. Source: github.com/LaVi-Lab/VG-LLM (``src/qwen_vl/data/draw_marker.py``) and
github.com/fudan-zvg/spar (SPAR-7M). Not verified on the released file: the exact keys of the marks, which
are handed on unread in ``extra["marks"]``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rft3d.scenes.fields import Fields
from rft3d.scenes.readers._chats import read_images, read_turns, record_id, scan_in
from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.records import ChatRecord


def spar(path: Path | str) -> Iterator[ChatRecord]:
    """The records of a SPAR file, in file order, one in memory at a time; ``extra["marks"]`` is
    ``spar_info``.

    Raises:
        ValueError: naming file, record, field, value and fix.
    """
    for record in iter_objects(path):
        images = read_images(record)
        if not images:
            raise record.error("images", "nothing", "a list of paths")
        marks = _marks(record)
        yield ChatRecord(
            id=record_id(record),
            scene=scan_in(*images[:1]),
            dataset=images[0].split("/")[0] if "/" in images[0] else "spar",
            turns=read_turns(record),
            images=images,
            question_type=marks.get("type"),
            extra={"marks": marks},
        )


def _marks(record: Fields) -> dict[str, Any]:
    if not record.has("spar_info"):
        return {}
    value = record.data["spar_info"]
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise record.error("spar_info", value, "an object as JSON text") from None
    if not isinstance(value, dict):
        raise record.error("spar_info", value, "an object as JSON text")
    return value
