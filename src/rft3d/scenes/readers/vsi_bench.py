"""VSI-Bench and ReVSI: questions as parquet (or JSON lines), videos beside them.

    columns  id, dataset, scene_name, question_type, question, options (list or null), ground_truth [, pruned]
    videos   <root>/<dataset>/<scene_name>.mp4

Source: huggingface.co/datasets/nyu-visionx/VSI-Bench (split ``test``, 5,130 rows in 288 scenes) as
github.com/vision-x-nyu/thinking-in-space reads it (``lmms_eval/tasks/vsibench/utils.py``); ``pruned``: not in the
subset VSI-Bench-Debiased. ReVSI (huggingface.co/datasets/3dlg-hcvc/ReVSI, arXiv 2604.24300, as lmms-eval's
``tasks/revsi`` reads it) asks again with better boxes; each file has a key for one number of frames:

    columns  id, dataset, scene_id, num_frames (16, 32, 64 or "all"), question_type, question, options, ground_truth
    videos   <root>/<num_frames>_frame/<scene_id>.mp4

Parquet needs pyarrow (``pip install '.[data]'``). Scene metadata, without pictures, are VSI-Bench's and in the same
layout VLM-3R's (``vlm_3r_data_process/README.md``: ``object_bboxes``, and ``instance_id`` added)::

    {"scene0011_00": {"room_size": 27.4, "room_center": [x, y, z], "dataset": "scannet", "video_path": "...",
                      "object_counts": {"chair": 9},
                      "object_bbox": {"chair": [{"centroid": [3], "axesLengths": [3], "normalizedAxes": [9],
                                                 "min": [3], "max": [3]}]}}}

Official files: ``data/meta_info/{arkitscenes,scannet,scannetpp}_meta_info_val.json``. All 288 scenes were read:
with the *rows* of ``normalizedAxes`` as the box's axes every box's corners span its ``min`` and ``max`` to 1
cm; 12 counts differ from the number of boxes of the label. The same boxes stand in ARKitScenes' annotations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import euler_zxy_from_matrix
from rft3d.scenes.fields import Fields, read_fields
from rft3d.scenes.readers._files import iter_objects, opened_parquet
from rft3d.scenes.readers.records import QuestionRecord
from rft3d.scenes.types import Scene, SceneObject, validate_scene

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


LEAST_SIZE_M = 1e-3
"""A box needs some thickness; an axis of length 0 (paper-thin things) gets this one."""


def vsi_meta(path: Path | str) -> Iterator[Scene]:
    """The scenes of a metadata file, or of all below a folder, without frames; the data set's own world, z up.

    Raises:
        ValueError: naming file, scene, field, value and fix.
    """
    path = Path(path)
    files = sorted(path.glob("*_meta_info*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: no *_meta_info*.json in this folder")
    for file in files:
        for scene_id, data in read_fields(file).data.items():
            yield _scene(Fields(file, scene_id, data), scene_id)


def _scene(fields: Fields, scene_id: str) -> Scene:
    name = "object_bboxes" if fields.has("object_bboxes") else "object_bbox"
    objects: list[SceneObject] = []
    for label in fields.mapping(name):
        inner = Fields(fields.file, f"{fields.where}.{name}", fields.mapping(name))
        objects += [
            SceneObject(len(objects) + k, label, box_from_axes(record))
            for k, record in enumerate(inner.records(label))
        ]
    counts = fields.mapping("object_counts")
    for label, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise fields.error(f"object_counts.{label}", count, "a whole number >= 0")
    area = fields.number("room_size") if fields.has("room_size") else None
    scene = Scene(scene_id, "vsi_meta", (), tuple(objects), floor_area_m2=area, counts=dict(counts))
    return validate_scene(scene, frames=False, file=fields.file)


def box_from_axes(record: Fields) -> NDArray[np.float64]:
    """``(9,)`` box of a record with centroid, axesLengths and normalizedAxes (rows are the box's axes)."""
    rotation = record.numbers("normalizedAxes", 9).reshape(3, 3).T
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-3:
        raise record.error("normalizedAxes", rotation.T.tolist(), "three orthogonal unit vectors")
    if np.linalg.det(rotation) < 0:  # the same solid with one axis turned; not seen in the official files
        rotation = rotation * np.array([1.0, 1.0, -1.0])
    size = record.numbers("axesLengths", 3)
    if (size < 0).any():
        raise record.error("axesLengths", size.tolist(), "no negative lengths")
    size = np.maximum(size, LEAST_SIZE_M)
    return np.concatenate([record.numbers("centroid", 3), size, euler_zxy_from_matrix(rotation)])
