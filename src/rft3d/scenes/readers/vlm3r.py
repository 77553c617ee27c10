"""VLM-3R's training questions (VSI-207K) and Spatial-MLLM's chats: VSI-Bench's types about training scans.

    [{"id": uuid, "data_source": "scannet" | "scannetpp" | "arkitscenes", "scene_name": "scene0191_00",
      "question_type": "object_rel_direction_v1", "video": "...mp4",
      "conversations": [{"from": "human", "value": "<image>\\nThese are frames of a video.\\n..."},
                        {"from": "gpt", "value": "A"}]}]

Source: huggingface.co/datasets/Journey9ni/VLM-3R-DATA, written by github.com/VITA-Group/VLM-3R
(``vlm_3r_data_process/src/format_qa.py``). The human text is VSI-Bench's prompt. ``question_type`` has
other endings than VSI-Bench's; :data:`QUESTION_TYPES` maps them. Where the three fields are missing, as in the
chat layout of Spatial-MLLM v1.1 (github.com/diankun-wu/Spatial-MLLM), the video's path names data set and scene,
and the words the type. Not verified on the released files: that ``video`` is always there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.records import DATASETS, ChatRecord, dataset_in, read_turns, record_id

QUESTION_TYPES = {
    "object_rel_direction_v1": "object_rel_direction_easy",
    "object_rel_direction_v2": "object_rel_direction_medium",
    "object_rel_direction_v3": "object_rel_direction_hard",
    "object_rel_distance_v1": "object_rel_distance",
    "object_rel_distance_v2": "object_rel_distance",
    "object_rel_distance_v3": "object_rel_distance",
}
"""VLM-3R's name -> VSI-Bench's, where they differ."""


def vlm3r(path: Path | str) -> Iterator[ChatRecord]:
    """The questions of one of VLM-3R's files, in file order, one in memory at a time.

    ``question_type`` is VSI-Bench's name; ``extra["question_type"]`` the file's.

    Raises:
        ValueError: naming file, record, field, value and fix.
    """
    for record in iter_objects(path):
        video = record.text("video") if record.has("video") else None
        source = dataset_in(video) if video and not record.has("data_source") else record.text("data_source")
        if source not in DATASETS:
            raise record.error("data_source", source, f"one of {DATASETS}")
        kind = record.text("question_type") if record.has("question_type") else None
        yield ChatRecord(
            id=record_id(record),
            scene=Path(video).stem if video and not record.has("scene_name") else record.text("scene_name"),
            dataset=source,
            turns=read_turns(record),
            video=video,
            question_type=QUESTION_TYPES.get(kind, kind) if kind else None,
            extra={"question_type": kind} if kind else {},
        )
