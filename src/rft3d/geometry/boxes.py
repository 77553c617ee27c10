"""9-DoF oriented boxes as plain ``(N, 9)`` arrays, and what can be done to them.

A box is ``[x y z dx dy dz yaw roll pitch]``: centre and full side lengths in metres, intrinsic ZXY angles in
radians. A point p of the box frame (|p| <= size / 2) lies at ``R @ p + centre`` in the parent frame.
"""

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rft3d.geometry.rotations import (
    Array,
    euler_zxy_from_matrix,
    exact_shape,
    matrix_from_euler_zxy,
    matrix_from_euler_zxy_extrinsic,
)

SIZE_RANGE_M = (1e-50, 1e50)
"""Side lengths that count as valid: wide enough for any unit, narrow enough that volumes can't overflow."""

_LARGEST = np.finfo(np.float64).max
_LOWEST: Array = np.repeat([-SIZE_RANGE_M[1], SIZE_RANGE_M[0], -_LARGEST], 3)
_HIGHEST: Array = np.repeat([SIZE_RANGE_M[1], SIZE_RANGE_M[1], _LARGEST], 3)

CORNER_SIGNS: Array = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))
"""``(8, 3)``: corner k sits at ``CORNER_SIGNS[k] * size / 2`` in the box frame (x slowest, z fastest)."""

BOX_EDGES: NDArray[np.intp] = np.array(
    [(i, j) for i, j in itertools.combinations(range(8), 2) if (i ^ j) in (1, 2, 4)], dtype=np.intp
)
"""``(12, 2)`` corner indices of the edges."""

BOX_FACES: NDArray[np.intp] = np.array(
    [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)], dtype=np.intp
)
"""``(6, 4)`` corner indices of the faces -x +x -y +y -z +z, counter-clockwise seen from outside."""


def many_boxes(name: str, boxes: ArrayLike) -> Array:
    """``boxes`` as a float64 ``(N, 9)`` array; an empty list is ``(0, 9)``; ValueError for other shapes."""
    array = np.asarray(boxes, dtype=np.float64)
    if array.shape == (0,):
        return array.reshape(0, 9)
    if array.ndim != 2 or array.shape[1] != 9:
        raise ValueError(f"{name} must have shape (N, 9), got {array.shape}")
    return array


def boxes_valid(boxes: ArrayLike) -> NDArray[np.bool_]:
    """``(N, 9)`` -> ``(N,)``: finite numbers, |centre| <= 1e50 m, side lengths in [1e-50, 1e50] m."""
    boxes = many_boxes("boxes", boxes)
    within = (boxes >= _LOWEST) & (boxes <= _HIGHEST)  # NaN fails every comparison
    return np.logical_and.reduce(within, axis=1)


def box_corners(boxes: ArrayLike) -> Array:
    """``(N, 9)`` boxes -> ``(N, 8, 3)`` corners in the parent frame, in the order of ``CORNER_SIGNS``.

    Examples:
        >>> box_corners([[0, 0, 0, 2, 4, 6, 0, 0, 0]])[0, 7]
        array([1., 2., 3.])
    """
    boxes = many_boxes("boxes", boxes)
    local = CORNER_SIGNS * (0.5 * boxes[:, None, 3:6])
    return local @ np.swapaxes(matrix_from_euler_zxy(boxes[:, 6:9]), -1, -2) + boxes[:, None, :3]


def transform_boxes(pose: ArrayLike, boxes: ArrayLike) -> Array:
    """Boxes in another frame: ``boxes_a = transform_boxes(T_a_b, boxes_b)``.

    Args:
        pose: ``(4, 4)`` rigid and right-handed, orthonormal to 1e-3 (measured poses are noisy).
        boxes: ``(N, 9)``.

    Raises:
        ValueError: a wrong shape, or a pose that scales, shears or mirrors.

    Examples:
        >>> transform_boxes(pose_from(np.eye(3), [0, 0, 1]), [[0, 0, 2, 1, 1, 1, 0, 0, 0]])[0, :3]
        array([0., 0., 3.])
    """
    pose = exact_shape("pose", pose, (4, 4))
    boxes = many_boxes("boxes", boxes)
    rotation = pose[:3, :3]
    if not (np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-3 and np.linalg.det(rotation) > 0):
        raise ValueError(f"pose must be rigid and right-handed, got rotation {rotation.tolist()}")
    out = boxes.copy()
    out[:, :3] = boxes[:, :3] @ rotation.T + pose[:3, 3]
    out[:, 6:9] = euler_zxy_from_matrix(rotation @ matrix_from_euler_zxy(boxes[:, 6:9]))
    return out


def boxes_from_extrinsic(boxes: ArrayLike) -> Array:
    """``(N, 9)`` boxes whose angles are extrinsic ZXY (VG-LLM's before 2025-11-27) -> the same solids as ours."""
    out = many_boxes("boxes", boxes).copy()
    out[:, 6:9] = euler_zxy_from_matrix(matrix_from_euler_zxy_extrinsic(out[:, 6:9]))
    return out


# Rotations and reflections that map the coordinate axes onto themselves; "+ 0.0" turns -0.0 into 0.0.
_MAPS = [
    (permutation, np.eye(3)[:, permutation] * signs + 0.0)
    for permutation in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
_ROTATIONS = [(permutation, matrix) for permutation, matrix in _MAPS if np.linalg.det(matrix) > 0]
_SOURCES = np.array([permutation for permutation, _ in _ROTATIONS])
_RELABELLINGS: Array = np.array([matrix for _, matrix in _ROTATIONS])
"""The 24 rotations, identity first: ``R_new = R_old @ matrix``; new axis j is old axis sources[j], up to sign."""

# Score of relabelling k: <Q, R @ S_k> = <Q @ S_k^T, R>. With Q = 1 this is trace(R @ S_k), largest for the
# smallest rotation angle; the 1e-9 rad tilt of Q decides exact ties (45 degrees) the same way for all 24.
_TIE_BREAK: Array = matrix_from_euler_zxy(np.array([1.0e-9, 0.31e-9, 0.17e-9]))
_SCORES: Array = np.stack([(_TIE_BREAK @ S.T).ravel() for S in _RELABELLINGS], axis=1)


def canonical_boxes(boxes: ArrayLike) -> Array:
    """Of the 24 ways to write each solid, the one whose rotation is nearest the identity: ``(N, 9)`` -> same.

    Equal solids get equal numbers (to rounding), so box regression has one target; yaw lies in
    [-45, 45] degrees for upright boxes. Exact ties prefer positive yaw, then roll, then pitch.
    """
    boxes = many_boxes("boxes", boxes)
    rotation = matrix_from_euler_zxy(boxes[:, 6:9])
    best = np.argmax(rotation.reshape(-1, 9) @ _SCORES, axis=1)
    out = boxes.copy()
    out[:, 3:6] = np.take_along_axis(boxes[:, 3:6], _SOURCES[best], axis=1)
    out[:, 6:9] = euler_zxy_from_matrix(rotation @ _RELABELLINGS[best])
    return out
