"""Video-R1's layout of questions: SpaceR-151k, of which SR-91K is the ScanNet part, and Spatial-MLLM's files.

JSON lines (a list is read too). Source: huggingface.co/datasets/RUBBISHLIKE/SpaceR-151k. Where ``data_source`` is
missing or empty (VSI-Bench and Spatial-MLLM's questions in this layout), the video's path names data set and scene:
``.../scannetpp/09c1414f1b.mp4``. ``question_type`` or ``original_question_type`` is read when it is there,
otherwise the problem type. Not verified on SpaceR's and Spatial-MLLM's released files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft3d.files import excerpt
from rft3d.scenes.readers._files import iter_records
from rft3d.scenes.readers.records import QuestionRecord, dataset_in, record_id, scan_in
from rft3d.typed import Text

SR_SOURCE = "SR_dataset"
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True)
class _Row:
    problem: Text
    problem_type: Text
    solution: Text
    path: Text
    data_type: Text
    options: tuple[str, ...] | None = None
    data_source: str | None = None
    question_type: Text | None = None
    original_question_type: Text | None = None
    problem_id: Any = None
    id: Any = None
    video_id: Any = ""


def spacer(path: Path | str, *, source: str | None = SR_SOURCE) -> Iterator[QuestionRecord]:
    """The questions of a SpaceR file, in file order, one in memory at a time.

    Args:
        source: only this ``data_source`` (SR-91K); None: all 151k.

    Raises:
        ValueError: naming file, record, field, value and fix.
    """
    for where, row in iter_records(path, _Row):
        found = row.data_source or ""
        if source is not None and found not in (source, ""):
            continue
        answer = _ANSWER.search(row.solution)
        if answer is None or not answer[1].strip():
            raise ValueError(f"{where}.solution is {excerpt(row.solution)}; it must be <answer>...</answer>")
        dataset = dataset_in(row.path)
        scene = scan_in(row.path, str(row.video_id))
        yield QuestionRecord(
            id=record_id(row.id if row.problem_id is None else row.problem_id, where),
            scene=Path(row.path).stem if scene is None and dataset is not None else scene,
            dataset="scannet" if found == SR_SOURCE else dataset or found or "unknown",
            question_type=row.question_type or row.original_question_type or row.problem_type,
            question=row.problem,
            options=row.options or (),
            answer=answer[1].strip(),
            video=row.path.removeprefix("./"),
            extra={"problem_type": row.problem_type, "data_type": row.data_type},
        )
