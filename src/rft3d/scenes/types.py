"""The world as records: a scene has frames (camera, pictures) and objects (label, box).

Frames of reference: *world* is right-handed, metric, z up, floor near z = 0. *Camera* is OpenCV
(x right, y down, z forward). ``T_world_camera`` maps camera points to world points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.files import excerpt, naming

ImageSource = NDArray[np.generic] | Path | Callable[[], NDArray[np.generic]] | None


@dataclass(frozen=True, eq=False)
class Frame:
    """One posed picture.

    Attributes:
        name: unique inside the scene, file-name safe (``"000"``).
        intrinsics: ``(3, 3)`` pinhole matrix K in pixels of this picture.
        T_world_camera: ``(4, 4)`` rigid camera-to-world transform.
        width, height: pixels.
        rgb: ``(H, W, 3)`` uint8, a file, or a function that loads it.
        depth: ``(H, W)`` float32 metres along the camera's z, 0 where unknown. May be None.
        instances: ``(H, W)`` int32 object id + 1, 0 for no object. May be None.
        visible: object id -> share in [0, 1] of that object that this frame sees
            (projected pixels that are really visible over those of the unoccluded object).
    """

    name: str
    intrinsics: NDArray[np.float64]
    T_world_camera: NDArray[np.float64]
    width: int
    height: int
    rgb: ImageSource
    depth: ImageSource = None
    instances: ImageSource = None
    visible: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class SceneObject:
    """A thing with a label and a 9-DoF box in the world frame (metres, intrinsic ZXY radians).

    ``attributes`` are facts that a description may use (``{"colour": "red"}``).
    """

    id: int
    label: str
    box: NDArray[np.float64]
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Expression:
    """A description that is true of exactly one object, and the frame that shows it best."""

    text: str
    target: int
    best_frame: int | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """One place: frames in time order (none where only boxes are known), objects, and what is known of the room.

    Attributes:
        floor_polygon: ``(V, 2)`` world xy metres, counter-clockwise, or None when unknown.
        floor_area_m2: where the area is known without the polygon.
        counts: label -> instances, where a source counts them apart from its boxes.
    """

    id: str
    source: str
    frames: tuple[Frame, ...]
    objects: tuple[SceneObject, ...]
    expressions: tuple[Expression, ...] = ()
    floor_polygon: NDArray[np.float64] | None = None
    floor_area_m2: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


RIGID_TOLERANCE = 1e-4
"""How far ``R.T @ R`` may be from the identity (poses are often stored with few digits)."""


def validate_scene(scene: Scene, *, frames: bool = True, file: Path | None = None) -> Scene:
    """``scene`` itself when it is sound; ``frames=False`` where a source has boxes only.

    ``file``: what it was read from, for messages.

    Checks: at least one frame; unique, file-name safe frame names; rigid right-handed poses; sensible
    intrinsics; unique object ids; finite boxes with positive sizes; known ids in ``visible`` and in
    expressions; shares in [0, 1]; a counter-clockwise floor polygon.

    Raises:
        ValueError: naming scene, record, field, value and fix.
    """
    with naming(file or ""):
        return _validated(scene, frames)


def _validated(scene: Scene, frames: bool) -> Scene:
    name = f"scene {excerpt(scene.id)}"
    if frames and not scene.frames:
        raise ValueError(f"{name}: frames is empty; a scene needs at least one")
    ids = _check_objects(scene, name)
    known = excerpt(sorted(ids))
    names = [frame.name for frame in scene.frames]
    for frame in scene.frames:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", frame.name):
            raise ValueError(
                f"{name}: frame name {excerpt(frame.name)} is not file-name safe; use letters, digits, _ . -"
            )
        if names.count(frame.name) > 1:
            raise ValueError(f"{name}: two frames are named {excerpt(frame.name)}; names must be unique")
        where = f"{name} frame {excerpt(frame.name)}"
        _check_camera(frame, where)
        for k, share in frame.visible.items():
            if k not in ids:
                raise ValueError(f"{where}: visible names object {k}, known ids are {known}")
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{where}: visible[{k}] must be a share in [0, 1], got {share}")
    for expression in scene.expressions:
        where = f"{name} expression {excerpt(expression.text)}"
        if expression.target not in ids:
            raise ValueError(f"{where}: target {expression.target} is unknown, known ids are {known}")
        if expression.best_frame is not None and not 0 <= expression.best_frame < len(scene.frames):
            raise ValueError(
                f"{where}: best_frame must be in 0..{len(scene.frames) - 1}, got {expression.best_frame}"
            )
    _check_floor(scene, name)
    return scene


def _check_objects(scene: Scene, name: str) -> set[int]:
    ids: set[int] = set()
    for item in scene.objects:
        where = f"{name} object {item.id}"
        if item.id < 0:
            raise ValueError(f"{where}: id must not be negative (instance images store id + 1)")
        if item.id in ids:
            raise ValueError(f"{where}: id occurs twice; ids must be unique")
        ids.add(item.id)
        if not item.label.strip():
            raise ValueError(f"{where}: label is empty; name its class")
        box = np.asarray(item.box)
        if box.shape != (9,) or not np.isfinite(box).all():
            raise ValueError(f"{where}: box must be 9 finite numbers, got {box.tolist()}")
        if (box[3:6] <= 0).any():
            raise ValueError(f"{where}: box sizes must be positive metres, got {box[3:6].tolist()}")
    return ids


def _check_camera(frame: Frame, where: str) -> None:
    if frame.width < 1 or frame.height < 1:
        raise ValueError(f"{where}: width and height must be positive, got {frame.width}x{frame.height}")
    K = np.asarray(frame.intrinsics)
    if K.shape != (3, 3) or not np.isfinite(K).all():
        raise ValueError(f"{where}: intrinsics must be 3x3 finite numbers, got {K.tolist()}")
    if K[0, 0] <= 0 or K[1, 1] <= 0 or not np.allclose(K[2], (0, 0, 1)) or K[1, 0] != 0:
        raise ValueError(
            f"{where}: intrinsics must be [[fx s cx] [0 fy cy] [0 0 1]] with fx, fy > 0, got {K.tolist()}"
        )
    T = np.asarray(frame.T_world_camera)
    if T.shape != (4, 4) or not np.isfinite(T).all():
        raise ValueError(f"{where}: T_world_camera must be 4x4 finite numbers, got shape {T.shape}")
    if not np.allclose(T[3], (0, 0, 0, 1)):
        raise ValueError(f"{where}: T_world_camera's last row must be 0 0 0 1, got {T[3].tolist()}")
    R = T[:3, :3]
    error = float(np.abs(R.T @ R - np.eye(3)).max()) if np.abs(R).max() < 2 else math.inf
    if error > RIGID_TOLERANCE:
        raise ValueError(
            f"{where}: T_world_camera is not rigid (R.T @ R is off by {error:.2g}); remove scale and shear"
        )
    if np.linalg.det(R) < 0:
        raise ValueError(f"{where}: T_world_camera is left-handed (det R = -1); flip one axis")


def _check_floor(scene: Scene, name: str) -> None:
    polygon = scene.floor_polygon
    if polygon is None:
        return
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3 or not np.isfinite(polygon).all():
        raise ValueError(
            f"{name}: floor_polygon must be (V >= 3, 2) finite metres, got shape {polygon.shape}"
        )
    x, y = polygon.T
    area = 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    if not math.isfinite(area) or area <= 0:
        raise ValueError(
            f"{name}: floor_polygon must be counter-clockwise, its signed area is {area:.3g}; reverse it"
        )


CATE8: tuple[str, ...] = ("chair", "cabinet", "table", "bin", "couch", "bed", "bathtub", "toilet")

CATE20: tuple[str, ...] = (
    "chair", "pillow", "cabinet", "table", "lamp", "couch", "desk", "stand", "bed", "backpack", "bathtub",
    "ottoman", "dresser", "bin", "toilet", "refrigerator", "stove", "microwave", "monitor", "computer",
)  # fmt: skip

CATE31: tuple[str, ...] = (
    *CATE20, "window", "shelf", "curtain", "plant", "stairs", "picture", "book", "bottle", "towel", "sink",
)  # fmt: skip
"""The closed vocabularies of video detection, in the published order: ``CATE8`` are the per-class columns of
the published tables, ``CATE20`` the published mean and the classes of the procedural rooms. ``CATE31`` is the
wider list of VG-LLM's evaluation, corrected: there "lamp" is listed twice and "towel" is misspelt "towl" (so
that class always scores 0). Corrected, it has 30 names; the official name is kept so that the two can be
compared."""
