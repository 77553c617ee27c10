"""The world as records: a scene has frames (camera, pictures) and objects (label, box).

Frames of reference: *world* is right-handed, metric, z up, floor near z = 0. *Camera* is OpenCV
(x right, y down, z forward). ``T_world_camera`` maps camera points to world points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
