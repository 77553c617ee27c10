"""SpaceR-151k, of which SR-91K is the ScanNet part (``data_source`` ``"SR_dataset"``).

    {"problem_id": 1, "problem": "...", "data_type": "video", "problem_type": "multiple choice",
     "options": ["A. ...", ...], "solution": "<answer>B</answer>",
     "path": "./.../scene0001_00.mp4", "data_source": "SR_dataset"}

JSON lines (a list is read too). Source: huggingface.co/datasets/RUBBISHLIKE/SpaceR-151k, which takes the
layout of Video-R1's data. Not verified on the released file: the key of the id, and whether the SR part
names its question type (``question_type`` is read when it is there, otherwise it is the problem type).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rft3d.scenes.fields import Fields
from rft3d.scenes.readers._chats import record_id, scan_in
from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.records import QuestionRecord

SR_SOURCE = "SR_dataset"
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def spacer(path: Path | str, *, source: str | None = SR_SOURCE) -> Iterator[QuestionRecord]:
    """The questions of a SpaceR file, in file order, one in memory at a time.

    Args:
        source: only this ``data_source`` (SR-91K); None: all 151k.

    Raises:
        ValueError: naming file, record, field, value and fix.
    """
    for record in iter_objects(path):
        found = record.text("data_source")
        if source is not None and found != source:
            continue
        kind = record.text("problem_type")
        media = record.text("path")
        solution = record.text("solution")
        answer = _ANSWER.search(solution)
        if answer is None or not answer[1].strip():
            raise record.error("solution", solution, "<answer>...</answer>")
        yield QuestionRecord(
            id=str(record.data.get("problem_id", record_id(record))),
            scene=scan_in(media, str(record.data.get("video_id", ""))),
            dataset="scannet" if found == SR_SOURCE else found,
            question_type=record.text("question_type") if record.has("question_type") else kind,
            question=record.text("problem"),
            options=_options(record),
            answer=answer[1].strip(),
            video=media.removeprefix("./"),
            extra={"problem_type": kind, "data_type": record.text("data_type")},
        )


def _options(record: Fields) -> tuple[str, ...]:
    value = record.data.get("options") or []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise record.error("options", value, "a list of texts")
    return tuple(value)
