# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# (numpy does not say what `take` and `ravel` of an integer array give)
"""Many convex polygons at once: clipping to a box and the integrals that give volumes, in numpy.

The s vertices of F polygons are three ``(s, F)`` arrays, x, y and z. Spare slots repeat a vertex next to
itself, which adds exactly nothing to an integral. Sums run in the order of :mod:`._iou_numba`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]
Polygons = tuple[Array, Array, Array]


def face_integrals(middle: Array, u: Array, v: Array, limits: Array) -> Array:
    """Integral of clamp(z, -az, az) dx dy over each face ``middle +- u +- v`` within |x| <= ax, |y| <= ay."""
    low, high = middle - u, middle + u
    quads = np.stack([low - v, high - v, high + v, low + v], axis=1)
    polygons: Polygons = (quads[0], quads[1], quads[2])
    nearer = np.where(middle >= 0.0, 1.0, -1.0)  # each slab is clipped at its nearer plane first
    integrals = np.zeros(middle.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):  # in slots that are thrown away
        for axis in (0, 1):
            polygons, _ = _clip(polygons, axis, limits[axis], nearer[axis])
            polygons, _ = _clip_few(polygons, axis, limits[axis], -nearer[axis])
        for sign, clip in ((nearer[2], _clip), (-nearer[2], _clip_few)):
            kept, cut = clip(polygons, 2, limits[2], sign)
            if len(cut):  # the part beyond the plane is clamped to it
                lost = _area_2(_columns(polygons, cut)) - _area_2(_columns(kept, cut))
                integrals[cut] += sign[cut] * (0.5 * limits[2][cut] * lost)
            polygons = kept
    return integrals + _moment_6(polygons) / 6.0


def _columns(polygons: Polygons, which: Index) -> Polygons:
    x, y, z = polygons
    if len(which) == x.shape[1]:
        return polygons
    return x[:, which], y[:, which], z[:, which]


def _clip_few(polygons: Polygons, axis: int, limit: Array, sign: Array) -> tuple[Polygons, Index]:
    """:func:`_clip` for a plane that only few polygons reach: the others are left alone."""
    reach = np.flatnonzero((sign * polygons[axis]).max(axis=0) > limit)
    if not len(reach):
        return polygons, reach
    few, _ = _clip(_columns(polygons, reach), axis, limit[reach], sign[reach])
    grown: list[Array] = []
    for whole, part in zip(polygons, few, strict=True):
        spare = np.broadcast_to(whole[-1], (len(part) - len(whole), whole.shape[1]))
        grown.append(np.concatenate([whole, spare]))
        grown[-1][:, reach] = part
    return (grown[0], grown[1], grown[2]), reach


def _clip(polygons: Polygons, axis: int, limit: Array, sign: Array) -> tuple[Polygons, Index]:
    """Clip convex polygons to ``sign * coordinate[axis] <= limit``; also return which of them were cut.

    Sutherland-Hodgman, with the case of each polygon (which vertices lie outside) looked up in a table.
    A polygon wholly outside collapses to a point.
    """
    slots, count = polygons[0].shape
    depth = sign * polygons[axis] - limit
    case = _outside_code(depth > 0.0)
    cut = np.flatnonzero(case)
    if not len(cut):
        return polygons, cut
    plan = _clip_plan(slots, max(1, int(_outside_runs(slots).take(case).max())))
    column = np.arange(count)
    width = len(plan.source)
    source = plan.source.take(case, axis=1)
    source *= count
    source += column
    begin = plan.begin.take(case, axis=1) * count + column
    end = plan.end.take(case, axis=1) * count + column
    target = plan.slot.take(case, axis=1) * count + column
    depth_begin = depth.take(begin)
    t = depth_begin / (depth_begin - depth.take(end))
    out: list[Array] = []
    for k, coordinate in enumerate(polygons):
        clipped = np.empty((width + 1, count))
        coordinate.take(source, out=clipped[:width], mode="clip")  # indices are in range; "clip" skips a copy
        if k == axis:
            clipped.ravel()[target] = sign * limit
        else:
            start = coordinate.take(begin)
            clipped.ravel()[target] = start + t * (coordinate.take(end) - start)
        out.append(clipped[:width])
    return (out[0], out[1], out[2]), cut


def _outside_code(outside: Mask) -> Index:
    """``(s, F)`` -> ``(F,)`` integers whose bit k says that vertex k is outside."""
    packed = np.packbits(outside, axis=0, bitorder="little")
    code = packed[0].astype(np.intp)
    for byte in range(1, len(packed)):
        code |= packed[byte].astype(np.intp) << (8 * byte)
    return code


@dataclass(frozen=True, slots=True)
class _ClipPlan:
    """For each outside code: where the vertices of the clipped polygon come from.

    ``source`` ``(w, codes)``: old vertex of each new slot. Crossing c lies on the old edge ``begin[c]`` to
    ``end[c]`` and goes to ``slot[c]``; unused ones go to slot w, which is thrown away. A polygon that needs
    fewer than w slots repeats its first kept vertex in place, which adds exactly nothing to an integral.
    """

    source: Index
    begin: Index
    end: Index
    slot: Index


@functools.cache
def _outside_runs(slots: int) -> Index:
    """Separate runs of outside vertices of each code: 0 or 1, or more by rounding near the plane."""
    bits = np.arange(1 << slots) >> np.arange(slots)[:, None] & 1
    return np.count_nonzero(bits > np.roll(bits, 1, axis=0), axis=0)


@functools.cache
def _clip_plan(slots: int, runs: int) -> _ClipPlan:
    """The table for polygons of ``slots`` vertices, for codes with at most ``runs`` outside runs."""
    width, codes = slots + runs, 1 << slots
    source = np.zeros((width, codes), dtype=np.intp)
    begin, end = np.zeros((2 * runs, codes), dtype=np.intp), np.ones((2 * runs, codes), dtype=np.intp)
    slot = np.full((2 * runs, codes), width, dtype=np.intp)
    for code in np.flatnonzero(_outside_runs(slots) <= runs).tolist():
        kept: list[tuple[int, int]] = []  # (i, i): vertex i;  (i, j): the crossing on edge i -> j
        for i in range(slots):
            j = (i + 1) % slots
            if not code >> i & 1:
                kept.append((i, i))
            if (code >> i & 1) != (code >> j & 1):
                kept.append((i, j))
        if not kept:  # wholly outside: every slot is vertex 0
            continue
        first = next(k for k, (i, j) in enumerate(kept) if i == j)
        kept[first:first] = [kept[first]] * (width - len(kept))
        source[:, code] = [i for i, _ in kept]
        crossings = [(k, i, j) for k, (i, j) in enumerate(kept) if i != j]
        for c, (k, i, j) in enumerate(crossings):
            slot[c, code], begin[c, code], end[c, code] = k, i, j
    return _ClipPlan(source, begin, end, slot)


def _area_2(polygons: Polygons) -> Array:
    """Twice the signed area of the xy shadows of polygons."""
    x, y = polygons[0] - polygons[0][0], polygons[1] - polygons[1][0]
    triangles = x[1:-1] * y[2:] - y[1:-1] * x[2:]
    return _sum_in_order(triangles)


def _moment_6(polygons: Polygons) -> Array:
    """Six times the integral of z dx dy over polygons."""
    x, y, z = polygons[0] - polygons[0][0], polygons[1] - polygons[1][0], polygons[2]
    triangles = (x[1:-1] * y[2:] - y[1:-1] * x[2:]) * (z[0] + z[1:-1] + z[2:])
    return _sum_in_order(triangles)


def _sum_in_order(terms: Array) -> Array:
    total = terms[0].copy()
    for term in terms[1:]:
        total += term
    return total
