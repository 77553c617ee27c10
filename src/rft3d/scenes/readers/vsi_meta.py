"""Scene metadata of VSI-Bench, and of VLM-3R's data in the same layout: boxes, counts and floor area, no
pictures.

    {"scene0011_00": {"room_size": 27.4, "room_center": [x, y, z], "dataset": "scannet", "video_path": "...",
                      "object_counts": {"chair": 9},
                      "object_bbox": {"chair": [{"centroid": [3], "axesLengths": [3], "normalizedAxes": [9],
                                                 "min": [3], "max": [3]}]}}}

Official files: ``data/meta_info/{arkitscenes,scannet,scannetpp}_meta_info_val.json`` of
github.com/vision-x-nyu/thinking-in-space. All 288 scenes were read: with the *rows* of ``normalizedAxes``
as the box's axes every box's corners span its ``min`` and ``max`` to 1 cm; 12 counts differ from the number
of boxes of the label. VLM-3R (github.com/VITA-Group/VLM-3R, ``vlm_3r_data_process/README.md``) writes
``object_bboxes`` and adds ``instance_id``. The same boxes stand in ARKitScenes' annotations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import euler_zxy_from_matrix
from rft3d.scenes.fields import Fields, read_fields
from rft3d.scenes.types import Scene, SceneObject
from rft3d.scenes.validate import validate_scene

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
