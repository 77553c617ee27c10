"""Volumes of box intersections in numpy, vectorised over pairs. The algorithm is told in :mod:`.iou`.

Every sum is written out term by term, in the order of :mod:`._iou_numba`: the two engines, and any way of
batching, give the same bits. Arrays keep their long axis last; a leading 3 is x, y, z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry._polygons import face_integrals
from rft3d.geometry.rotations import rotation_entries

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Mask = NDArray[np.bool_]

CHUNK_PAIRS = 2048
"""Pairs handled at once: temporaries of this length stay in the cache."""
# The next three are compiled into the numba engine: its cache notices changes of its own file only, so clear
# __pycache__ after changing one (the tests that compare the engines bit by bit would tell).
TOUCHING = 2e-13
"""Overlaps below this share of the two volumes are rounding noise of touching boxes and count as 0."""
NEGLIGIBLE_FACE = 1e-17
"""Faces whose largest possible term is below this share of the two volumes are skipped."""

THIN_RATIO = 3e3
"""Longest over shortest side from which a relative pose is computed in extended precision.

The error of nearly parallel tilted plates is about 4e-17 times this ratio: rounding their rotation matrices
tilts them. ``longdouble`` (64-bit mantissa on x86) divides that by 2,000; elsewhere it may be plain float64.
"""


@dataclass(frozen=True, slots=True)
class Solids:
    """Boxes prepared for pairing, one column a box.

    ``rows`` ``(24, n)``: centre 0-2, half sizes 3-5, rotation 6-14 (row-major), and the nine given numbers
    15-23. ``radius`` of the bounding sphere, ``volume``, ``valid`` and ``thin``: ``(n,)``.
    """

    rows: Array
    radius: Array
    volume: Array
    valid: Mask
    thin: Mask


def prepare(boxes: Array, cos: Array, sin: Array, valid: Mask) -> Solids:
    """``(n, 9)`` boxes with the ``(n, 3)`` cosines and sines of their angles; invalid boxes hold no NaN."""
    rows = np.empty((24, len(boxes)))
    rows[15:] = boxes.T
    rows[:3] = rows[15:18]
    rows[3:6] = 0.5 * rows[18:21]
    rows[6:15] = rotation_entries(cos.T, sin.T)
    radius = np.sqrt(_sum3(rows[3:6] * rows[3:6]))
    thin = rows[3:6].max(axis=0) > THIN_RATIO * rows[3:6].min(axis=0)
    return Solids(rows, radius, rows[18] * rows[19] * rows[20], valid, thin)


def _sum3(values: Sequence[NDArray[Any]] | NDArray[Any]) -> NDArray[Any]:
    return values[0] + values[1] + values[2]


def intersection_volumes(solids: Solids, first: Index, second: Index) -> Array:
    """Intersection volumes ``(K,)`` of the pairs (first[k], second[k]) of valid solids."""
    volumes = np.zeros(len(first))
    for begin in range(0, len(first), CHUNK_PAIRS):
        chunk = slice(begin, begin + CHUNK_PAIRS)
        volumes[chunk] = _intersect(solids, *_larger_first(solids, first[chunk], second[chunk]))
    return volumes


def near_pairs(solids: Solids, first: Index, second: Index) -> Mask:
    """Which pairs are valid and have overlapping bounding spheres; ``first``, ``second`` broadcast."""
    offset_x, offset_y, offset_z = (solids.rows[k][second] - solids.rows[k][first] for k in range(3))
    reach = solids.radius[first] + solids.radius[second]
    near = offset_x * offset_x + offset_y * offset_y + offset_z * offset_z < reach * reach
    return near & solids.valid[first] & solids.valid[second]


def _larger_first(solids: Solids, first: Index, second: Index) -> tuple[Index, Index]:
    """Order each pair by volume, then by the nine numbers, so that swapped arguments give the same bits."""
    difference = solids.volume[second] - solids.volume[first]
    tie = np.flatnonzero(difference == 0)
    if len(tie):
        numbers = solids.rows[15:]
        unequal = numbers[:, second[tie]] - numbers[:, first[tie]]
        for k in range(9):
            difference[tie] = np.where(difference[tie] == 0, unequal[k], difference[tie])
    swap = difference > 0
    return np.where(swap, second, first), np.where(swap, first, second)


def _intersect(solids: Solids, first: Index, second: Index) -> Array:
    """Volumes of one chunk: tests that decide without clipping, then the clamped boundary for the rest."""
    a, b = solids.rows[:, first], solids.rows[:, second]
    volume_a, volume_b = solids.volume[first], solids.volume[second]
    half_a, half_b = a[3:6], b[3:6]
    rotation, centre = _relative_pose(a[6:15], b[6:15], b[:3] - a[:3])
    thin = np.flatnonzero(solids.thin[first] | solids.thin[second])
    if len(thin):
        long_a, long_b = (x[15:, thin].astype(np.longdouble) for x in (a, b))
        axes_a, axes_b = (rotation_entries(np.cos(x[6:]), np.sin(x[6:])) for x in (long_a, long_b))
        pose = _relative_pose(np.array(axes_a), np.array(axes_b), long_b[:3] - long_a[:3])
        rotation[:, :, thin], centre[:, thin] = pose

    cosines = np.abs(rotation)
    distance = np.abs(centre)
    extent = cosines[:, 0] * half_b[0] + cosines[:, 1] * half_b[1] + cosines[:, 2] * half_b[2]
    apart = (distance >= extent + half_a).any(axis=0)
    b_inside = (distance + extent <= half_a).all(axis=0)
    distance = np.abs(rotation[0] * centre[0] + rotation[1] * centre[1] + rotation[2] * centre[2])
    extent = cosines[0] * half_a[0] + cosines[1] * half_a[1] + cosines[2] * half_a[2]
    apart |= (distance >= extent + half_b).any(axis=0)
    a_inside = (distance + extent <= half_b).all(axis=0)
    a_inside |= (a[15:] == b[15:]).all(axis=0)  # identical boxes: exactly 1, whatever the rounding

    volumes = np.where(b_inside, volume_b, np.where(a_inside, volume_a, 0.0))
    volumes[apart] = 0.0
    rest = np.flatnonzero(~(apart | b_inside | a_inside))
    if len(rest):
        total, smaller = (volume_a + volume_b)[rest], np.minimum(volume_a, volume_b)[rest]
        volume = _clamped_boundary(
            rotation[:, :, rest], centre[:, rest], half_a[:, rest], half_b[:, rest], total
        )
        volume[volume <= TOUCHING * total] = 0.0
        volumes[rest] = np.minimum(volume, smaller)
    return volumes


def _relative_pose(
    entries_a: NDArray[Any], entries_b: NDArray[Any], offset: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Box B in A's frame, from ``(9, K)`` rotations and the ``(3, K)`` offset of the centres.

    Returns B's axes, ``rotation[r, c] = (axis r of A) . (axis c of B)``, and its centre ``(3, K)``.
    """
    a, b = entries_a.reshape(3, 3, -1), entries_b.reshape(3, 3, -1)
    return _sum3([a[k][:, None] * b[k] for k in range(3)]), _sum3([a[k] * offset[k] for k in range(3)])


def _clamped_boundary(rotation: Array, centre: Array, half_a: Array, half_b: Array, total: Array) -> Array:
    """Sum of the six face integrals of B in A's frame, for K pairs.

    ``rotation`` ``(3, 3, K)``, ``centre`` and half sizes ``(3, K)``; ``total`` is the sum of the two volumes.
    """
    # z becomes the axis of A best aligned with one of B: upright pairs then keep two faces of six.
    cosines = np.abs(rotation)
    column = np.maximum(np.maximum(cosines[:, 0], cosines[:, 1]), cosines[:, 2]).argmax(axis=0)
    order = (column + np.array([[1], [2], [0]])) % 3
    pair = np.arange(len(column))
    rotation = rotation.transpose(0, 2, 1)[order, pair].transpose(0, 2, 1)
    centre, half_a = centre[order, pair], half_a[order, pair]

    closed_form = np.zeros(len(column))
    parts: list[tuple[Index, Array, Array, Array, Array]] = []
    for axis in range(3):
        k, m = (axis + 1) % 3, (axis + 2) % 3
        u, v, w = rotation[:, k] * half_b[k], rotation[:, m] * half_b[m], rotation[:, axis] * half_b[axis]
        reach_x, reach_y, reach_z = np.abs(u) + np.abs(v)
        area = rotation[2, axis] * half_b[k] * half_b[m]  # a quarter of the face's signed shadow
        ax, ay, az = half_a
        has_shadow = np.abs(area) * az > NEGLIGIBLE_FACE * total
        for sign in (1.0, -1.0):
            x, y, z = middle = centre + sign * w
            meets = has_shadow & (np.abs(x) - reach_x < ax) & (np.abs(y) - reach_y < ay)
            height = np.abs(z)
            whole = (np.abs(x) + reach_x <= ax) & (np.abs(y) + reach_y <= ay)
            whole &= (height - reach_z >= az) | (height + reach_z <= az)
            whole &= meets
            closed_form += np.where(whole, sign * 4.0 * area * np.minimum(np.maximum(z, -az), az), 0.0)
            cut = np.flatnonzero(meets & ~whole)
            if len(cut):
                parts.append((cut, np.full(len(cut), sign), middle[:, cut], u[:, cut], v[:, cut]))
    if not parts:
        return closed_form
    pairs, signs, middle, u, v = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
    integrals = face_integrals(middle, u, v, half_a[:, pairs])
    return closed_form + np.bincount(pairs, weights=signs * integrals, minlength=len(column))
