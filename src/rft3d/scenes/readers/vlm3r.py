"""VLM-3R's training questions (VSI-207K): VSI-Bench's question types about training scans.

    [{"id": uuid, "data_source": "scannet" | "scannetpp" | "arkitscenes", "scene_name": "scene0191_00",
      "question_type": "object_rel_direction_v1", "video": "...mp4",
      "conversations": [{"from": "human", "value": "<image>\\nThese are frames of a video.\\n..."},
                        {"from": "gpt", "value": "A"}]}]

Source: huggingface.co/datasets/Journey9ni/VLM-3R-DATA, written by github.com/VITA-Group/VLM-3R
(``vlm_3r_data_process/src/format_qa.py``). The human text is VSI-Bench's prompt. ``question_type`` has
other endings than VSI-Bench's; :data:`QUESTION_TYPES` maps them. Not verified on the released files: that
``video`` is always there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rft3d.scenes.readers._chats import read_turns, record_id
from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.records import ChatRecord

SOURCES = ("scannet", "scannetpp", "arkitscenes")
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
        source = record.text("data_source")
        if source not in SOURCES:
            raise record.error("data_source", source, f"one of {SOURCES}")
        kind = record.text("question_type")
        yield ChatRecord(
            id=record_id(record),
            scene=record.text("scene_name"),
            dataset=source,
            turns=read_turns(record),
            video=record.text("video") if record.has("video") else None,
            question_type=QUESTION_TYPES.get(kind, kind),
            extra={"question_type": kind},
        )
