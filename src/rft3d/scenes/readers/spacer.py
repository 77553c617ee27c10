"""Video-R1's layout of questions: SpaceR-151k, of which SR-91K is the ScanNet part, and Spatial-MLLM's files.

    {"problem_id": 1, "problem": "...", "data_type": "video", "problem_type": "multiple choice",
     "options": ["A. ...", ...], "solution": "<answer>B</answer>",
     "path": "./.../scene0001_00.mp4", "data_source": "SR_dataset"}

JSON lines (a list is read too). Source: huggingface.co/datasets/RUBBISHLIKE/SpaceR-151k. Where ``data_source`` is
missing or empty (VSI-Bench and Spatial-MLLM's questions in this layout), the video's path names data set and scene:
``.../scannetpp/09c1414f1b.mp4``. ``question_type`` or ``original_question_type`` is read when it is there,
otherwise the problem type. Not verified on SpaceR's and Spatial-MLLM's released files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.records import QuestionRecord, dataset_in, record_id, scan_in

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
        found = record.text("data_source") if record.data.get("data_source") else ""
        if source is not None and found not in (source, ""):
            continue
        kind = record.text("problem_type")
        media = record.text("path")
        solution = record.text("solution")
        answer = _ANSWER.search(solution)
        if answer is None or not answer[1].strip():
            raise record.error("solution", solution, "<answer>...</answer>")
        named = next(
            (key for key in ("question_type", "original_question_type") if record.has(key)), "problem_type"
        )
        dataset = dataset_in(media)
        scene = scan_in(media, str(record.data.get("video_id", "")))
        yield QuestionRecord(
            id=str(record.data.get("problem_id", record_id(record))),
            scene=Path(media).stem if scene is None and dataset is not None else scene,
            dataset="scannet" if found == SR_SOURCE else dataset or found or "unknown",
            question_type=record.text(named),
            question=record.text("problem"),
            options=record.texts("options"),
            answer=answer[1].strip(),
            video=media.removeprefix("./"),
            extra={"problem_type": kind, "data_type": record.text("data_type")},
        )
