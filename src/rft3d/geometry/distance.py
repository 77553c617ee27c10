"""Smallest distance between two oriented solid boxes, by enumeration of features.

The closest points of two disjoint convex polyhedra can be chosen as (vertex, point of the other solid) or
(interior of an edge, interior of an edge); both are enumerated, 16 + 144 candidates, each one a pair of
points that really lie in the boxes. So the minimum is exact up to rounding and never too small.
"""

import numpy as np
from numpy.typing import ArrayLike

from rft3d.geometry.boxes import BOX_EDGES, box_corners, boxes_valid
from rft3d.geometry.rotations import Array, exact_shape, matrix_from_euler_zxy


def box_distance(box_a: ArrayLike, box_b: ArrayLike) -> float:
    """Smallest distance in metres between two solid boxes ``(9,)``; 0 when they overlap or touch.

    ValueError: a wrong shape, a non-finite number or a non-positive size (such a box is no solid).
    """
    boxes = np.stack([exact_shape("box_a", box_a, (9,)), exact_shape("box_b", box_b, (9,))])
    for name, box, valid in zip(("box_a", "box_b"), boxes, boxes_valid(boxes), strict=True):
        if not valid:
            raise ValueError(f"{name} must be finite with positive size, got {box.tolist()}")
    boxes[:, :3] -= boxes[0, :3]  # keeps the digits of a small gap far from the frame's origin
    corners, half = box_corners(boxes), 0.5 * boxes[:, 3:6]
    rotations = matrix_from_euler_zxy(boxes[:, 6:9])
    a_in_b = (corners[0] - boxes[1, :3]) @ rotations[1]
    b_in_a = (corners[1] - boxes[0, :3]) @ rotations[0]
    if _edges_meet_box(a_in_b, half[1]) or _edges_meet_box(b_in_a, half[0]):
        return 0.0
    vertex_distance = min(_nearest_vertex(a_in_b, half[1]), _nearest_vertex(b_in_a, half[0]))
    return float(min(vertex_distance, _nearest_edges(corners[0], corners[1])))


def _edges_meet_box(corners: Array, half: Array) -> bool:
    """Whether any edge between ``(8, 3)`` corners meets the axis-aligned box |p| <= half (slab clipping).

    If two boxes overlap, an edge of one meets the other solid (a box inside the other is the trivial case).
    """
    start, end = corners[BOX_EDGES[:, 0]], corners[BOX_EDGES[:, 1]]
    step = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        t_low, t_high = (-half - start) / step, (half - start) / step
    parallel = step == 0.0  # such an edge is inside the slab for every t or for none
    in_slab = np.abs(start) <= half
    enter = np.where(parallel, np.where(in_slab, -np.inf, np.inf), np.minimum(t_low, t_high))
    leave = np.where(parallel, np.where(in_slab, np.inf, -np.inf), np.maximum(t_low, t_high))
    return bool((np.maximum(enter.max(axis=1), 0.0) <= np.minimum(leave.min(axis=1), 1.0)).any())


def _nearest_vertex(corners: Array, half: Array) -> float:
    """Smallest distance from ``(8, 3)`` corners to the solid |p| <= half, all in that box's frame."""
    return float(np.linalg.norm(np.maximum(np.abs(corners) - half, 0.0), axis=1).min())


def _nearest_edges(corners_a: Array, corners_b: Array) -> float:
    """Smallest distance between edges where their lines come nearest, clamped to the edges.

    Clamping gives points of both boxes but not always the nearest ones; where it matters the nearest pair
    has a vertex, which ``_nearest_vertex`` covers. The same holds for parallel edges.
    """
    start_a, start_b = corners_a[BOX_EDGES[:, 0]][:, None], corners_b[BOX_EDGES[:, 0]][None]
    u = corners_a[BOX_EDGES[:, 1]][:, None] - start_a
    v = corners_b[BOX_EDGES[:, 1]][None] - start_b
    between = start_a - start_b
    uu, vv, uv = (u * u).sum(-1), (v * v).sum(-1), (u * v).sum(-1)
    ub, vb = (u * between).sum(-1), (v * between).sum(-1)
    determinant = uu * vv - uv * uv
    regular = determinant > 1e-14 * uu * vv
    s = np.where(regular, (uv * vb - vv * ub) / np.where(regular, determinant, 1.0), 0.0).clip(0.0, 1.0)
    t = ((uv * s + vb) / vv).clip(0.0, 1.0)
    gap = between + s[..., None] * u - t[..., None] * v
    return float(np.linalg.norm(gap, axis=-1).min())
