"""Exact IoU of 9-DoF oriented boxes.

Algorithm ("clamped boundary"). Work in the frame of A, the larger box. Let F clamp every coordinate to A's
slab; its Jacobian determinant is 1 inside A and 0 outside, so the volume of A and B's intersection is the
signed volume that F(surface of B) encloses::

    vol(A & B) = sum over the 6 faces of B of the
                 integral over {face, |x| <= ax, |y| <= ay} of clamp(z, -az, az) dx dy

Per face: the quad is clipped to the four side planes, split at z = +-az and integrated exactly. No decision
on one face has to agree with a decision on another, and each face's term is continuous in the box
parameters: so touching, coplanar and nested boxes need no epsilon and no special case. The usual scheme
(faces of A cut by B plus faces of B cut by A) must count a shared face exactly once, which is where the
errors of pytorch3d's ``box3d_overlap`` come from, on the very near-duplicates that a trained model predicts.

The loop over pairs is compiled by numba (:mod:`._iou_numba`): its start-up costs about half a second, or some
seconds on the first run of a machine.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rft3d.geometry.boxes import boxes_valid, many_boxes
from rft3d.geometry.rotations import Array, rotation_entries

Index = NDArray[np.intp]
Prepared = tuple[Array, Array, Array, NDArray[np.bool_]]


def box_iou(boxes_a: ArrayLike, boxes_b: ArrayLike) -> Array:
    """IoU of every box in ``boxes_a`` with every box in ``boxes_b``: ``(N, 9), (M, 9) -> (N, M)`` float64.

    Exact to 1e-12 (1e-9 for plates with side ratios over 1e6; where numpy's longdouble is no wider than
    float64, nearly parallel tilted plates lose 1e-16 times the side ratio). Swapping the arguments transposes
    the result, bit by bit. Identical boxes give 1, boxes that only touch 0, invalid ones (`boxes_valid`) 0.

    Args:
        boxes_a, boxes_b: ``[x y z dx dy dz yaw roll pitch]`` in one frame, metres and radians. May be empty.

    Raises:
        ValueError: an argument is not ``(N, 9)``.

    Examples:
        >>> box_iou([[0, 0, 0, 1, 1, 1, 0, 0, 0]], [[0.5, 0, 0, 1, 1, 1, 0, 0, 0]]).round(2)
        array([[0.33]])
    """
    from rft3d.geometry._iou_numba import iou_matrix

    boxes_a, boxes_b = many_boxes("boxes_a", boxes_a), many_boxes("boxes_b", boxes_b)
    n, prepared = len(boxes_a), _prepare(boxes_a, boxes_b)
    out: Array = iou_matrix(*prepared, n)
    rows, columns = (np.ascontiguousarray(place) for place in np.nonzero(np.isnan(out)))
    if len(rows):
        out[rows, columns] = _iou_of_thin(prepared, rows, columns + n)
    return out


def box_iou_pairs(boxes_a: ArrayLike, boxes_b: ArrayLike) -> Array:
    """IoU of box i in ``boxes_a`` with box i in ``boxes_b``: ``(N, 9), (N, 9) -> (N,)``, as `box_iou`.

    Examples:
        >>> box_iou_pairs([[0, 0, 0, 1, 1, 1, 0, 0, 0]], [[0.5, 0, 0, 1, 1, 1, 0, 0, 0]]).round(2)
        array([0.33])
    """
    from rft3d.geometry._iou_numba import iou_pairs

    boxes_a, boxes_b = many_boxes("boxes_a", boxes_a), many_boxes("boxes_b", boxes_b)
    n = len(boxes_a)
    if n != len(boxes_b):
        raise ValueError(f"boxes_a and boxes_b need the same length, got {boxes_a.shape} and {boxes_b.shape}")
    prepared = _prepare(boxes_a, boxes_b)
    out: Array = iou_pairs(*prepared, n)
    rows = np.flatnonzero(np.isnan(out))
    if len(rows):
        out[rows] = _iou_of_thin(prepared, rows, rows + n)
    return out


def _prepare(boxes_a: Array, boxes_b: Array) -> Prepared:
    """A's boxes then B's, with the cosines and sines of their angles and their validity.

    The compiled loop starts from numpy's cosines: math libraries differ in the last bit of one. Invalid boxes
    become unit cubes, so that nothing downstream meets a NaN.
    """
    boxes = np.concatenate([boxes_a, boxes_b])
    valid = boxes_valid(boxes)
    if not valid.all():
        boxes[~valid] = (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    angles = boxes[:, 6:9].copy()
    return boxes, np.cos(angles), np.sin(angles), valid


def _iou_of_thin(prepared: Prepared, first: Index, second: Index) -> Array:
    """IoU ``(K,)`` of pairs with thin boxes, whose relative poses need more precision than float64."""
    from rft3d.geometry._iou_numba import iou_of_thin

    a, b = (prepared[0][index].T.astype(np.longdouble) for index in (first, second))
    axes_a, axes_b = (
        np.array(rotation_entries(np.cos(box[6:]), np.sin(box[6:]))).reshape(3, 3, -1) for box in (a, b)
    )
    offset = b[:3] - a[:3]
    forth, back = _pose(axes_a, axes_b, offset), _pose(axes_b, axes_a, -offset)
    return iou_of_thin(*prepared, first, second, forth, back)


def _pose(
    axes_a: NDArray[np.longdouble], axes_b: NDArray[np.longdouble], offset: NDArray[np.longdouble]
) -> Array:
    """``(3 K, 4)``: axes and centre of box B in A's frame, from ``(3, 3, K)`` axes and ``(3, K)`` offsets."""
    columns = np.concatenate([axes_b, offset[:, None]], axis=1)
    seen = axes_a[0][:, None] * columns[0] + axes_a[1][:, None] * columns[1] + axes_a[2][:, None] * columns[2]
    return np.ascontiguousarray(seen.transpose(2, 0, 1).reshape(-1, 4), dtype=np.float64)
