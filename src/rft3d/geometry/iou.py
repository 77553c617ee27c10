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

Two engines give bitwise the same result: numpy, which starts at once, and numba, whose start-up (0.7 s, or
some 10 s on the first run of a machine) pays off in long runs only.
"""

from __future__ import annotations

import logging
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rft3d.geometry import _iou_numpy
from rft3d.geometry.boxes import boxes_valid, many_boxes

Array = NDArray[np.float64]
Engine = Literal["auto", "numpy", "numba"]

AUTO_NUMBA_PAIRS = 20_000
"""Running total of pairs, in this process, beyond which ``engine="auto"`` tries numba."""

_logger = logging.getLogger(__name__)
_pairs_so_far = 0
_numba_engine: ModuleType | None = None
_numba_missing = False


def box_iou(boxes_a: ArrayLike, boxes_b: ArrayLike, *, engine: Engine = "auto") -> Array:
    """IoU of every box in ``boxes_a`` with every box in ``boxes_b``: ``(N, 9), (M, 9) -> (N, M)`` float64.

    Exact to 1e-12 (1e-9 for plates with side ratios over 1e6; where numpy's longdouble is no wider than
    float64, nearly parallel tilted plates lose 1e-16 times the side ratio). Swapping the arguments transposes
    the result, bit by bit. Identical boxes give 1, boxes that only touch 0, invalid ones (`boxes_valid`) 0.

    Args:
        boxes_a, boxes_b: ``[x y z dx dy dz yaw roll pitch]`` in one frame, metres and radians. May be empty.
        engine: "numpy", "numba", or "auto": numba once a process has much to do and if it can be used.

    Raises:
        ValueError: an argument is not ``(N, 9)``.
        ImportError, RuntimeError: ``engine="numba"`` and numba cannot be imported, or has no writable cache.
    """
    boxes_a, boxes_b = many_boxes("boxes_a", boxes_a), many_boxes("boxes_b", boxes_b)
    n, m = len(boxes_a), len(boxes_b)
    fast = _choose_engine(engine, n * m)
    prepared = _prepare(boxes_a, boxes_b)
    if fast is not None:
        out = fast.iou_matrix(*prepared, n)
        rows, columns = np.nonzero(np.isnan(out))
        if len(rows):
            out[rows, columns] = _numpy_iou(_iou_numpy.prepare(*prepared), rows, columns + n)
        return out
    solids = _iou_numpy.prepare(*prepared)
    out = np.zeros((n, m))
    second = np.arange(n, n + m)
    rows_at_once = max(1, 4 * _iou_numpy.CHUNK_PAIRS // max(m, 1))
    for begin in range(0, n, rows_at_once):
        first = np.arange(begin, min(begin + rows_at_once, n))
        near = _iou_numpy.near_pairs(solids, first[:, None], second)
        rows, columns = np.nonzero(near)
        out[rows + begin, columns] = _numpy_iou(solids, rows + begin, columns + n)
    return out


def box_iou_pairs(boxes_a: ArrayLike, boxes_b: ArrayLike, *, engine: Engine = "auto") -> Array:
    """IoU of box i in ``boxes_a`` with box i in ``boxes_b``: ``(N, 9), (N, 9) -> (N,)``, as `box_iou`."""
    boxes_a, boxes_b = many_boxes("boxes_a", boxes_a), many_boxes("boxes_b", boxes_b)
    n = len(boxes_a)
    if n != len(boxes_b):
        raise ValueError(
            f"boxes_a and boxes_b must have the same length, got {boxes_a.shape} and {boxes_b.shape}"
        )
    fast = _choose_engine(engine, n)
    prepared = _prepare(boxes_a, boxes_b)
    if fast is not None:
        out = fast.iou_pairs(*prepared, n)
        rows = np.flatnonzero(np.isnan(out))
        if len(rows):
            out[rows] = _numpy_iou(_iou_numpy.prepare(*prepared), rows, rows + n)
        return out
    solids = _iou_numpy.prepare(*prepared)
    near = np.flatnonzero(_iou_numpy.near_pairs(solids, np.arange(n), np.arange(n, 2 * n)))
    out = np.zeros(n)
    out[near] = _numpy_iou(solids, near, near + n)
    return out


def _numpy_iou(solids: _iou_numpy.Solids, first: NDArray[np.intp], second: NDArray[np.intp]) -> Array:
    volume = _iou_numpy.intersection_volumes(solids, first, second)
    union = solids.volume[first] + solids.volume[second] - volume
    return np.minimum(volume / union, 1.0)


def _prepare(boxes_a: Array, boxes_b: Array) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
    """A's boxes then B's, with the cosines and sines of their angles and their validity.

    Both engines start from this: math libraries differ in the last bit of a cosine. Invalid boxes become
    unit cubes, so that nothing downstream meets a NaN.
    """
    boxes = np.concatenate([boxes_a, boxes_b])
    valid = boxes_valid(boxes)
    if not valid.all():
        boxes[~valid] = (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    angles = boxes[:, 6:9].copy()
    return boxes, np.cos(angles), np.sin(angles), valid


def _load_numba_engine() -> ModuleType:
    from rft3d.geometry import _iou_numba

    return _iou_numba


def _choose_engine(engine: Engine, pairs: int) -> ModuleType | None:
    """The numba module, or None for numpy."""
    global _pairs_so_far, _numba_engine, _numba_missing
    if engine not in ("auto", "numpy", "numba"):
        raise ValueError(f'engine must be "auto", "numpy" or "numba", got {engine!r}')
    _pairs_so_far += pairs
    if engine == "numpy" or (engine == "auto" and (_numba_missing or _pairs_so_far <= AUTO_NUMBA_PAIRS)):
        return None
    if _numba_engine is None:
        try:
            _numba_engine = _load_numba_engine()
        except (ImportError, RuntimeError) as error:  # not installed, or no writable folder for compiled code
            if engine == "numba":
                raise
            _numba_missing = True
            _logger.info("numba is not usable (%s): box IoU stays on numpy", error)
    return _numba_engine
