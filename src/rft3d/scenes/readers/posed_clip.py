"""Reader of posed RGB-D clips: a hand-held walk with intrinsics, a pose per frame and a few labelled boxes.

    clip/
        scene.json   scene_id, intrinsics (3x3), image_size [w, h], depth_scale, boxes, expressions, frames
        rgb/*.jpg    all of ``image_size``
        depth/*.png  16 bit; value / depth_scale = metres along the camera's z, 0 unknown

``boxes[i]``: id, label, bbox_9dof = centre, full size, yaw, 0, 0 in the scene frame (metric, z up).
``frames[i]``: index, rgb, depth, camera_to_scene (4x4, OpenCV camera), visible = [{box, in_view_fraction}].
``expressions[i]``: text, target (a box id), best_frame (a frame's index).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.fields import Fields, read_fields
from rft3d.scenes.images import read_depth
from rft3d.scenes.readers._files import nearest_rigid
from rft3d.scenes.types import Expression, Frame, Scene, SceneObject, validate_scene


def read_posed_clip(path: Path | str) -> Scene:
    """The clip in folder ``path``; pictures are loaded when they are used.

    Boxes and expressions may be missing (a clip without labels). ``Frame.visible`` holds the clip's
    ``in_view_fraction``: the share of the box inside the picture, occlusion not counted.

    Raises:
        ValueError: naming file, field, value and fix.
    """
    fields = read_fields(Path(path) / "scene.json")
    K = fields.array("intrinsics", (3, 3))
    width, height = (int(n) for n in fields.array("image_size", (2,)))
    scale = fields.number("depth_scale") if fields.has("depth_scale") else 1000.0
    if scale <= 0:
        raise fields.error("depth_scale", scale, "positive (file units per metre)")
    objects = tuple(
        SceneObject(record.integer("id"), record.text("label"), record.array("bbox_9dof", (9,)))
        for record in (fields.records("boxes") if fields.has("boxes") else [])
    )
    records = fields.records("frames")
    order = {record.integer("index"): k for k, record in enumerate(records)}
    frames = tuple(_frame(record, K, width, height, scale) for record in records)
    expressions = tuple(
        _expression(record, order)
        for record in (fields.records("expressions") if fields.has("expressions") else [])
    )
    scene = Scene(fields.text("scene_id"), "posed_clip", frames, objects, expressions)
    return validate_scene(scene, file=fields.file)


def _expression(record: Fields, order: dict[int, int]) -> Expression:
    best = None
    if record.has("best_frame"):
        index = record.integer("best_frame")
        if index not in order:
            raise record.error("best_frame", index, "the index of one of the frames")
        best = order[index]
    return Expression(record.text("text"), record.integer("target"), best)


def _frame(record: Fields, K: NDArray[np.float64], width: int, height: int, scale: float) -> Frame:
    visible = {}
    for entry in record.records("visible") if record.has("visible") else []:
        visible[entry.integer("box")] = entry.number("in_view_fraction")
    return Frame(
        name=f"{record.integer('index'):03d}",
        intrinsics=K,
        T_world_camera=nearest_rigid(record.array("camera_to_scene", (4, 4))),
        width=width,
        height=height,
        rgb=record.path("rgb"),
        depth=partial(read_depth, record.path("depth"), scale) if record.has("depth") else None,
        visible=visible,
    )
