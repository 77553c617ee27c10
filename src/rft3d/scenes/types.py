"""The world as records: a scene has frames (camera, pictures) and objects (label, box).

Frames of reference: *world* is right-handed, metric, z up, floor near z = 0. *Camera* is OpenCV
(x right, y down, z forward). ``T_world_camera`` maps camera points to world points.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.files import excerpt, naming
from rft3d.geometry.rotations import Array

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
    intrinsics: Array
    T_world_camera: Array
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
    box: Array
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
    floor_polygon: Array | None = None
    floor_area_m2: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


RIGID_TOLERANCE = 1e-4
"""How far ``R.T @ R`` may be from the identity (poses are often stored with few digits)."""


def validate_scene(scene: Scene, *, frames: bool = True, file: Path | None = None) -> Scene:
    """``scene`` itself when it is sound; ``frames=False`` where a source has boxes only.

    ``file``: what it was read from, for messages.

    Checks: at least one frame; unique, file-name safe frame names; rigid right-handed poses; sensible
    intrinsics; unique object ids; finite boxes with positive sizes; known ids in ``visible`` and in
    expressions; shares in [0, 1]; a counter-clockwise floor polygon. ValueError: naming scene, record, field,
    value and fix.
    """
    with naming(file or ""):
        return _validated(scene, frames)


def _require(holds: bool | np.bool_, complaint: str) -> None:
    if not holds:
        raise ValueError(complaint)


def _validated(scene: Scene, frames: bool) -> Scene:
    name = f"scene {excerpt(scene.id)}"
    _require(not frames or len(scene.frames) > 0, f"{name}: frames is empty; a scene needs at least one")
    ids = _check_objects(scene, name)
    known, last = excerpt(sorted(ids)), len(scene.frames) - 1
    names = Counter(frame.name for frame in scene.frames)
    for frame in scene.frames:
        where = f"{name} frame {excerpt(frame.name)}"
        safe = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", frame.name) is not None
        _require(safe, f"{where}: its name is not file-name safe; use letters, digits, _ . -")
        _require(names[frame.name] == 1, f"{where}: two frames are named so; names must be unique")
        _check_camera(frame, where)
        for k, share in frame.visible.items():
            _require(k in ids, f"{where}: visible names object {k}, known ids are {known}")
            _require(0.0 <= share <= 1.0, f"{where}: visible[{k}] must be a share in [0, 1], got {share}")
    for expression in scene.expressions:
        where, best = f"{name} expression {excerpt(expression.text)}", expression.best_frame
        target = expression.target
        _require(target in ids, f"{where}: target {target} is unknown, known ids are {known}")
        _require(best is None or 0 <= best <= last, f"{where}: best_frame must be in 0..{last}, got {best}")
    _check_floor(scene, name)
    return scene


def _check_objects(scene: Scene, name: str) -> set[int]:
    ids: set[int] = set()
    for item in scene.objects:
        where, box = f"{name} object {item.id}", np.asarray(item.box)
        _require(item.id >= 0, f"{where}: id must not be negative (instance images store id + 1)")
        _require(item.id not in ids, f"{where}: id occurs twice; ids must be unique")
        ids.add(item.id)
        _require(bool(item.label.strip()), f"{where}: label is empty; name its class")
        finite = box.shape == (9,) and np.isfinite(box).all()
        _require(finite, f"{where}: box must be 9 finite numbers, got {box.tolist()}")
        sizes = box[3:6]
        _require((sizes > 0).all(), f"{where}: box sizes must be positive metres, got {sizes.tolist()}")
    return ids


def _check_camera(frame: Frame, where: str) -> None:
    size = f"{frame.width}x{frame.height}"
    _require(min(frame.width, frame.height) > 0, f"{where}: width and height must be positive, got {size}")
    K, T = np.asarray(frame.intrinsics), np.asarray(frame.T_world_camera)
    finite = K.shape == (3, 3) and np.isfinite(K).all()
    _require(finite, f"{where}: intrinsics must be 3x3 finite numbers, got {K.tolist()}")
    pinhole = K[0, 0] > 0 and K[1, 1] > 0 and np.allclose(K[2], (0, 0, 1)) and K[1, 0] == 0
    form = "[[fx s cx] [0 fy cy] [0 0 1]] with fx, fy > 0"
    _require(pinhole, f"{where}: intrinsics must be {form}, got {K.tolist()}")
    finite = T.shape == (4, 4) and np.isfinite(T).all()
    _require(finite, f"{where}: T_world_camera must be 4x4 finite numbers, got shape {T.shape}")
    last = np.allclose(T[3], (0, 0, 0, 1))
    _require(last, f"{where}: T_world_camera's last row must be 0 0 0 1, got {T[3].tolist()}")
    R = T[:3, :3]
    error = float(np.abs(R.T @ R - np.eye(3)).max()) if np.abs(R).max() < 2 else math.inf
    said = f"is not rigid (R.T @ R is off by {error:.2g}); remove scale and shear"
    _require(error <= RIGID_TOLERANCE, f"{where}: T_world_camera {said}")
    _require(np.linalg.det(R) > 0, f"{where}: T_world_camera is left-handed (det R = -1); flip one axis")


def _check_floor(scene: Scene, name: str) -> None:
    polygon = scene.floor_polygon
    if polygon is None:
        return
    fits = polygon.ndim == 2 and polygon.shape[1] == 2 and len(polygon) >= 3 and np.isfinite(polygon).all()
    _require(fits, f"{name}: floor_polygon must be (V >= 3, 2) finite metres, got shape {polygon.shape}")
    x, y = polygon.T
    area = 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    said = f"must be counter-clockwise, its signed area is {area:.3g}; reverse it"
    _require(math.isfinite(area) and area > 0, f"{name}: floor_polygon {said}")


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
