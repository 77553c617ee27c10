"""How much of a picture a box covers: what decides which frame shows an object best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rft3d.geometry import BOX_EDGES, box_corners, invert_pose, project, transform_boxes
from rft3d.scenes.types import Frame
from rft3d.tasks.spatial.semantics import polygon_area_m2

Array = NDArray[np.float64]
NEAR_M = 0.05
"""What lies nearer to the camera is cut off before it is projected."""


def frame_area(box: ArrayLike, frame: Frame) -> float:
    """Pixels that the outline of a world ``(9,)`` box covers in ``frame``; 0 when the camera is inside the
    box.

    The box is cut at 5 cm before the camera, its outline (the convex hull of what is projected) at the
    picture's border. Occlusion is not known.
    """
    corners, inside = _in_camera(box, frame)
    if inside:
        return 0.0
    points = corners[corners[:, 2] > NEAR_M]
    start, end = corners[BOX_EDGES[:, 0]], corners[BOX_EDGES[:, 1]]
    crossing = (start[:, 2] - NEAR_M) * (end[:, 2] - NEAR_M) < 0
    if crossing.any():
        start, end = start[crossing], end[crossing]
        share = (NEAR_M - start[:, 2]) / (end[:, 2] - start[:, 2])
        points = np.concatenate([points, start + share[:, None] * (end - start)])
    if len(points) < 3:
        return 0.0
    uv, _ = project(points, frame.intrinsics)
    return _area(_clip(_hull(uv), frame.width, frame.height))


def frame_area_upstream(box: ArrayLike, frame: Frame) -> float:
    """VG-LLM's measure: the hull of the corners before the camera, each *moved* to the picture's border.

    0 when the camera is inside the box, fewer than three corners lie before it, or all lie on one side.
    """
    corners, inside = _in_camera(box, frame)
    points = corners[corners[:, 2] > 0]
    if inside or len(points) < 3:
        return 0.0
    uv, _ = project(points, frame.intrinsics)
    limits = (frame.width - 1.0, frame.height - 1.0)
    uv = np.clip(uv, 0.0, limits)
    if any((uv[:, axis] == border).all() for axis in (0, 1) for border in (0.0, limits[axis])):
        return 0.0
    return _area(_hull(uv))


def best_frame(areas: Sequence[float]) -> int | None:
    """The first frame with the largest area; None when all are 0."""
    best = max(range(len(areas)), key=lambda index: areas[index], default=None)
    return best if best is not None and areas[best] > 0 else None


def nearest_view(box: ArrayLike, frames: Sequence[Frame]) -> int:
    """The frame whose optical axis points most nearly at the box: for objects that no frame shows."""
    centre = np.asarray(box, dtype=np.float64)[:3]

    def cosine(frame: Frame) -> float:
        T = np.asarray(frame.T_world_camera)
        ray = centre - T[:3, 3]
        return float(ray @ T[:3, 2] / max(np.linalg.norm(ray), 1e-9))

    return max(range(len(frames)), key=lambda index: cosine(frames[index]))


def _in_camera(box: ArrayLike, frame: Frame) -> tuple[Array, bool]:
    """``(8, 3)`` corners in the frame's camera, and whether the camera is inside the box."""
    boxed = transform_boxes(invert_pose(frame.T_world_camera), np.asarray(box, dtype=np.float64)[None])
    corners = box_corners(boxed)[0]
    axes = [corners[4] - corners[0], corners[2] - corners[0], corners[1] - corners[0]]
    inside = all(0 <= -(corners[0] @ axis) <= axis @ axis for axis in axes)
    return corners, inside


def _hull(points: Array) -> Array:
    """Convex hull ``(V, 2)``, counter-clockwise; nothing for points on one line."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[ConvexHull(points).vertices]
    except QhullError:
        return np.zeros((0, 2))


def _clip(polygon: Array, width: float, height: float) -> Array:
    """A convex polygon inside ``[0, width] x [0, height]`` (Sutherland-Hodgman)."""
    for axis, limit, sign in ((0, 0.0, 1.0), (0, width, -1.0), (1, 0.0, 1.0), (1, height, -1.0)):
        out: list[Array] = []
        for start, end in zip(np.roll(polygon, 1, axis=0), polygon, strict=True):
            a, b = sign * (start[axis] - limit), sign * (end[axis] - limit)
            if (a < 0) != (b < 0):
                out.append(start + a / (a - b) * (end - start))
            if b >= 0:
                out.append(end)
        polygon = np.array(out).reshape(-1, 2)
    return polygon


def _area(polygon: Array) -> float:
    return polygon_area_m2(polygon) if len(polygon) else 0.0
