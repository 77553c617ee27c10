"""VLM-3R's training questions (VSI-207K) and Spatial-MLLM's chats: VSI-Bench's types about training scans.

Source: huggingface.co/datasets/Journey9ni/VLM-3R-DATA, written by github.com/VITA-Group/VLM-3R
(``vlm_3r_data_process/src/format_qa.py``). The human text is VSI-Bench's prompt. ``question_type`` has
other endings than VSI-Bench's; :data:`QUESTION_TYPES` maps them. Where the three fields are missing, as in the
chat layout of Spatial-MLLM v1.1 (github.com/diankun-wu/Spatial-MLLM), the video's path names data set and scene,
and the words the type. Not verified on the released files: that ``video`` is always there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft3d.files import excerpt
from rft3d.scenes.readers._files import iter_records
from rft3d.scenes.readers.records import DATASETS, ChatRecord, dataset_in, read_turns, record_id
from rft3d.typed import Text

QUESTION_TYPES = {
    "object_rel_direction_v1": "object_rel_direction_easy",
    "object_rel_direction_v2": "object_rel_direction_medium",
    "object_rel_direction_v3": "object_rel_direction_hard",
    "object_rel_distance_v1": "object_rel_distance",
    "object_rel_distance_v2": "object_rel_distance",
    "object_rel_distance_v3": "object_rel_distance",
}
"""VLM-3R's name -> VSI-Bench's, where they differ."""


@dataclass(frozen=True)
class _Row:
    conversations: tuple[dict[str, Any], ...]
    data_source: str | None = None
    scene_name: Text | None = None
    question_type: Text | None = None
    video: Text | None = None
    id: Any = None


def vlm3r(path: Path | str) -> Iterator[ChatRecord]:
    """The questions of one of VLM-3R's files, in file order, one in memory at a time.

    ``question_type`` is VSI-Bench's name; ``extra["question_type"]`` the file's. ValueError: naming file,
    record, field, value and fix.
    """
    for where, row in iter_records(path, _Row):
        source = row.data_source or dataset_in(row.video or "")
        if source not in DATASETS:
            raise ValueError(f"{where}.data_source is {excerpt(source)}; it must be one of {DATASETS}")
        scene, kind = row.scene_name or (row.video and Path(row.video).stem), row.question_type
        if not scene:
            raise ValueError(
                f"{where} lacks the field 'scene_name'; without a video nothing else tells the scan"
            )
        yield ChatRecord(
            id=record_id(row.id, where),
            scene=scene,
            dataset=source,
            turns=read_turns(row.conversations, where),
            video=row.video,
            question_type=QUESTION_TYPES.get(kind, kind) if kind else None,
            extra={"question_type": kind} if kind else {},
        )
