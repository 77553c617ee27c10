"""VSI-Bench and ReVSI: questions as parquet (or JSON lines), videos beside them.

    columns  id, dataset, scene_name, question_type, question, options (list or null), ground_truth [, pruned]
    videos   <root>/<dataset>/<scene_name>.mp4

Source: huggingface.co/datasets/nyu-visionx/VSI-Bench (split ``test``, 5,130 rows in 288 scenes) as
github.com/vision-x-nyu/thinking-in-space reads it (``lmms_eval/tasks/vsibench/utils.py``); ``pruned``: not in the
subset VSI-Bench-Debiased. ReVSI (huggingface.co/datasets/3dlg-hcvc/ReVSI, arXiv 2604.24300, as lmms-eval's
``tasks/revsi`` reads it) asks again with better boxes; each file has a key for one number of frames:

    columns  id, dataset, scene_id, num_frames (16, 32, 64 or "all"), question_type, question, options, ground_truth
    videos   <root>/<num_frames>_frame/<scene_id>.mp4

Parquet needs pyarrow (``pip install '.[data]'``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rft3d.scenes.fields import Fields
from rft3d.scenes.readers._files import iter_objects, opened_parquet
from rft3d.scenes.readers.records import QuestionRecord

COUNTS = {
    "object_abs_distance": 834,
    "object_counting": 565,
    "object_size_estimation": 953,
    "room_size_estimation": 288,
    "object_rel_distance": 710,
    "object_rel_direction_easy": 217,
    "object_rel_direction_medium": 378,
    "object_rel_direction_hard": 373,
    "route_planning": 194,
    "obj_appearance_order": 618,
}
"""Rows of each question type in the released test split; they add up to 5,130."""
REVSI = {
    "object_counting_single": "object_counting",
    "object_counting_multiple": "object_counting",
    "object_abs_distance": "object_abs_distance",
    "object_size_estimation": "object_size_estimation",
    "room_size_estimation_single": "room_size_estimation",
    "room_size_estimation_multiple": "room_size_estimation",
    "object_rel_direction_forward_easy": "object_rel_direction_medium",
    "object_rel_direction_backward_easy": "object_rel_direction_medium",
    "object_rel_direction_forward_hard": "object_rel_direction_hard",
    "object_rel_direction_backward_hard": "object_rel_direction_hard",
    "object_rel_distance_closest": "object_rel_distance",
    "object_rel_distance_farthest": "object_rel_distance",
    "route_planning": "route_planning",
}
"""ReVSI's question type -> the one of VSI-Bench that is answered alike (its easy directions have three options)."""


def vsi_bench(path: Path | str) -> Iterator[QuestionRecord]:
    """The questions of a VSI-Bench or ReVSI file (``.parquet``, otherwise JSON), in file order.

    ``extra``: of ReVSI ``revsi_type`` and ``frame_budget``; of VSI-Bench ``pruned`` where the file says it.

    Raises:
        ValueError: naming file, record, field, value and fix.
        ModuleNotFoundError: parquet without pyarrow.
    """
    path = Path(path)
    for row in _parquet(path) if path.suffix == ".parquet" else iter_objects(path):
        kind, revsi = row.text("question_type"), row.has("num_frames")
        if kind not in (known := REVSI if revsi else COUNTS):
            raise row.error("question_type", kind, f"one of {sorted(known)}")
        dataset, scene = row.text("dataset"), row.text("scene_id" if revsi else "scene_name")
        budget = str(row.data.get("num_frames"))
        extra: dict[str, object] = {"revsi_type": kind, "frame_budget": budget} if revsi else {}
        if row.has("pruned"):
            extra["pruned"] = bool(row.data["pruned"])
        yield QuestionRecord(
            id=str(row.get("id", "a number or text")),
            scene=scene,
            dataset=dataset,
            question_type=REVSI[kind] if revsi else kind,
            question=row.text("question"),
            options=row.texts("options"),
            answer=str(row.get("ground_truth", "a letter or a number")).strip(),
            video=f"{budget}_frame/{scene}.mp4" if revsi else f"{dataset}/{scene}.mp4",
            extra=extra,
        )


def _parquet(path: Path) -> Iterator[Fields]:
    with opened_parquet(path) as rows:
        for index, row in enumerate(rows):
            yield Fields(path, f"[{index}]", row)
