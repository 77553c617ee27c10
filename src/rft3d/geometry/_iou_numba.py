# pyright: basic
"""Box IoU, compiled: a scalar loop over pairs with early exits. The algorithm is told in :mod:`.iou`.

Imported lazily by :mod:`.iou`; importing compiles, or loads from numba's cache. There is no fastmath, so that a
pair gives the same bits in any batch.

Layout of a prepared box, ``(18,)``: centre 0-2, half sizes 3-5, rotation 6-14 (row-major), radius 15,
volume 16 (-1 marks an invalid box), 17 whether it is thin. ``work`` holds two buffers for a polygon's x, y
and z, as one array with offsets because swapping numba array variables costs reference counting.
"""

import numpy as np

from rft3d.geometry.compiling import compiled

TOUCHING = 2e-13
"""Overlaps below this share of the two volumes are rounding noise of touching boxes and count as 0."""
NEGLIGIBLE_FACE = 1e-17
"""Faces whose largest possible term is below this share of the two volumes are skipped."""
THIN_RATIO = 3e3
"""Longest over shortest side from which a relative pose is needed in extended precision.

The error of nearly parallel tilted plates is about 4e-17 times this ratio: rounding their rotation matrices
tilts them. ``longdouble`` (64-bit mantissa on x86) divides that by 2,000; elsewhere it may be plain float64.
"""
WIDTH = 48
"""Room for a polygon's vertices: 4, and one more for each of 6 planes; a clip can't add over half."""


@compiled()
def _prepare(boxes, cos, sin, valid):
    out = np.empty((boxes.shape[0], 18))
    for i in range(boxes.shape[0]):
        for k in range(3):
            out[i, k] = boxes[i, k]
            out[i, 3 + k] = 0.5 * boxes[i, 3 + k]
        ca, cb, cg = cos[i, 0], cos[i, 1], cos[i, 2]
        sa, sb, sg = sin[i, 0], sin[i, 1], sin[i, 2]
        out[i, 6], out[i, 7], out[i, 8] = ca * cg - sa * sb * sg, -sa * cb, ca * sg + sa * sb * cg
        out[i, 9], out[i, 10], out[i, 11] = sa * cg + ca * sb * sg, ca * cb, sa * sg - ca * sb * cg
        out[i, 12], out[i, 13], out[i, 14] = -cb * sg, sb, cb * cg
        hx, hy, hz = out[i, 3], out[i, 4], out[i, 5]
        out[i, 15] = np.sqrt(hx * hx + hy * hy + hz * hz)
        out[i, 16] = boxes[i, 3] * boxes[i, 4] * boxes[i, 5] if valid[i] else -1.0
        out[i, 17] = 1.0 if max(max(hx, hy), hz) > THIN_RATIO * min(min(hx, hy), hz) else 0.0
    return out


@compiled()
def _clip(work, p, n, axis, limit, sign):
    """Clip the polygon of n vertices at offset p to ``sign * coordinate[axis] <= limit``.

    Sutherland-Hodgman: each vertex if inside, then the crossing of the edge that leaves it. Writes to the
    other buffer and returns (vertices, its offset). Coordinate k of vertex i is ``work[p + k * WIDTH + i]``.
    """
    c = p + axis * WIDTH
    q = 3 * WIDTH - p
    m = q
    x, y, z, depth = work[p], work[p + WIDTH], work[p + 2 * WIDTH], sign * work[c] - limit
    for i in range(1, n + 1):
        j = i if i < n else 0
        nx, ny, nz = work[p + j], work[p + WIDTH + j], work[p + 2 * WIDTH + j]
        next_depth = sign * work[c + j] - limit
        # Both points are always written and counted only if wanted: cheaper than branches that the
        # processor can't predict. (0 / 0 gives a NaN that is not counted.)
        work[m], work[m + WIDTH], work[m + 2 * WIDTH] = x, y, z
        m += 1 if depth <= 0.0 else 0
        t = depth / (depth - next_depth)
        work[m] = x + t * (nx - x)
        work[m + WIDTH] = y + t * (ny - y)
        work[m + 2 * WIDTH] = z + t * (nz - z)
        work[m + axis * WIDTH] = sign * limit
        m += 1 if (depth <= 0.0) != (next_depth <= 0.0) else 0
        x, y, z, depth = nx, ny, nz, next_depth
    return m - q, q


@compiled()
def _area_2(work, p, n):
    """Twice the signed area of the polygon's xy shadow."""
    x0, y0 = work[p], work[p + WIDTH]
    ux, uy = work[p + 1] - x0, work[p + WIDTH + 1] - y0
    total = 0.0
    for i in range(2, n):
        vx, vy = work[p + i] - x0, work[p + WIDTH + i] - y0
        total += ux * vy - uy * vx
        ux, uy = vx, vy
    return total


@compiled()
def _moment_6(work, p, n):
    """Six times the integral of z dx dy over the polygon."""
    x0, y0, z0 = work[p], work[p + WIDTH], work[p + 2 * WIDTH]
    ux, uy, uz = work[p + 1] - x0, work[p + WIDTH + 1] - y0, work[p + 2 * WIDTH + 1]
    total = 0.0
    for i in range(2, n):
        vx, vy, vz = work[p + i] - x0, work[p + WIDTH + i] - y0, work[p + 2 * WIDTH + i]
        total += (ux * vy - uy * vx) * (z0 + uz + vz)
        ux, uy, uz = vx, vy, vz
    return total


@compiled()
def _face_integral(work, x, y, z, rx, ry, rz, ax, ay, az):
    """Integral of clamp(z, -az, az) dx dy over the quad in ``work`` within |x| <= ax, |y| <= ay.

    The quad has its middle at x, y, z and reaches rx, ry, rz beyond it: planes it can't reach are left out.
    """
    n, p = 4, 0
    slack = 1.0 + 1e-12
    if (abs(x) + rx) * slack > ax:
        sign = 1.0 if x >= 0.0 else -1.0
        n, p = _clip(work, p, n, 0, ax, sign)
        if n > 0 and (rx - abs(x)) + 1e-12 * rx > ax:
            n, p = _clip(work, p, n, 0, ax, -sign)
    if n > 0 and (abs(y) + ry) * slack > ay:
        sign = 1.0 if y >= 0.0 else -1.0
        n, p = _clip(work, p, n, 1, ay, sign)
        if n > 0 and (ry - abs(y)) + 1e-12 * ry > ay:
            n, p = _clip(work, p, n, 1, ay, -sign)
    integral = 0.0
    if n > 0 and (abs(z) + rz) * slack > az:
        sign = 1.0 if z >= 0.0 else -1.0
        for _ in range(2):  # the part beyond a plane is clamped to it
            before_n, before_p = n, p
            n, p = _clip(work, p, n, 2, az, sign)
            lost = _area_2(work, before_p, before_n)
            if n > 0:
                lost -= _area_2(work, p, n)
            integral += sign * (0.5 * az * lost)
            sign = -sign
            if n == 0 or not (rz - abs(z)) + 1e-12 * rz > az:
                break
    if n > 0:
        integral += _moment_6(work, p, n) / 6.0
    return integral


@compiled()
def _clamped_boundary(solids, i, j, work, pose):
    """Sum of box j's face integrals; ``pose`` ``(3, 4)`` holds its axes and centre in box i's frame."""
    iz = 0
    best = -1.0
    for r in range(3):  # z := the axis of A best aligned with one of B; upright pairs keep two faces
        aligned = max(max(abs(pose[r, 0]), abs(pose[r, 1])), abs(pose[r, 2]))
        if aligned > best:
            best = aligned
            iz = r
    ix, iy = (iz + 1) % 3, (iz + 2) % 3
    ax, ay, az = solids[i, 3 + ix], solids[i, 3 + iy], solids[i, 3 + iz]
    negligible = NEGLIGIBLE_FACE * (solids[i, 16] + solids[j, 16])
    closed_form = 0.0
    clipped = 0.0
    for axis in range(3):
        k, m = (axis + 1) % 3, (axis + 2) % 3
        hk, hm, hf = solids[j, 3 + k], solids[j, 3 + m], solids[j, 3 + axis]
        area = pose[iz, axis] * hk * hm
        if not abs(area) * az > negligible:
            continue
        ux, uy, uz = pose[ix, k] * hk, pose[iy, k] * hk, pose[iz, k] * hk
        vx, vy, vz = pose[ix, m] * hm, pose[iy, m] * hm, pose[iz, m] * hm
        rx, ry, rz = abs(ux) + abs(vx), abs(uy) + abs(vy), abs(uz) + abs(vz)
        for sign in (1.0, -1.0):
            x = pose[ix, 3] + sign * (pose[ix, axis] * hf)
            y = pose[iy, 3] + sign * (pose[iy, axis] * hf)
            z = pose[iz, 3] + sign * (pose[iz, axis] * hf)
            if not (abs(x) - rx < ax and abs(y) - ry < ay):
                continue
            height = abs(z)
            if abs(x) + rx <= ax and abs(y) + ry <= ay and (height - rz >= az or height + rz <= az):
                closed_form += sign * 4.0 * area * min(max(z, -az), az)
                continue
            work[0], work[WIDTH], work[2 * WIDTH] = x - ux - vx, y - uy - vy, z - uz - vz
            work[1], work[WIDTH + 1], work[2 * WIDTH + 1] = x + ux - vx, y + uy - vy, z + uz - vz
            work[2], work[WIDTH + 2], work[2 * WIDTH + 2] = x + ux + vx, y + uy + vy, z + uz + vz
            work[3], work[WIDTH + 3], work[2 * WIDTH + 3] = x - ux + vx, y - uy + vy, z - uz + vz
            clipped += sign * _face_integral(work, x, y, z, rx, ry, rz, ax, ay, az)
    return closed_form + clipped


@compiled()
def _intersection(solids, i, j, same, work, pose, given):
    """Intersection volume of box i, the larger, with box j: early exits, then the clamped boundary.

    ``pose`` ``(3, 4)``: box j's axes and centre in box i's frame, worked out here unless it is ``given``.
    """
    tx, ty, tz = solids[j, 0] - solids[i, 0], solids[j, 1] - solids[i, 1], solids[j, 2] - solids[i, 2]
    inside = True
    for r in range(3):
        if not given:
            a0, a1, a2 = solids[i, 6 + r], solids[i, 9 + r], solids[i, 12 + r]
            for c in range(3):
                pose[r, c] = a0 * solids[j, 6 + c] + a1 * solids[j, 9 + c] + a2 * solids[j, 12 + c]
            pose[r, 3] = a0 * tx + a1 * ty + a2 * tz
        extent = (
            abs(pose[r, 0]) * solids[j, 3] + abs(pose[r, 1]) * solids[j, 4] + abs(pose[r, 2]) * solids[j, 5]
        )
        distance = abs(pose[r, 3])
        if distance >= extent + solids[i, 3 + r]:
            return 0.0
        if distance + extent > solids[i, 3 + r]:
            inside = False
    b_inside = inside
    inside = True
    for c in range(3):
        distance = abs(pose[0, c] * pose[0, 3] + pose[1, c] * pose[1, 3] + pose[2, c] * pose[2, 3])
        extent = (
            abs(pose[0, c]) * solids[i, 3] + abs(pose[1, c]) * solids[i, 4] + abs(pose[2, c]) * solids[i, 5]
        )
        if distance >= extent + solids[j, 3 + c]:
            return 0.0
        if distance + extent > solids[j, 3 + c]:
            inside = False
    if b_inside:
        return solids[j, 16]
    if inside or same:
        return solids[i, 16]
    volume = _clamped_boundary(solids, i, j, work, pose)
    if volume <= TOUCHING * (solids[i, 16] + solids[j, 16]):
        return 0.0
    return min(volume, min(solids[i, 16], solids[j, 16]))


@compiled(inline="always")
def _ordered_iou(solids, i, j, boxes, work, forth, back, given):
    """IoU of two valid boxes; the larger goes first, ties are ordered by the nine numbers.

    ``forth`` is room for the pose of j in i's frame, ``back`` for that of i in j's.
    """
    difference = solids[j, 16] - solids[i, 16]
    same = False
    if difference == 0.0:
        for k in range(9):
            difference = boxes[j, k] - boxes[i, k]
            if difference != 0.0:
                break
        same = difference == 0.0
    if difference > 0.0:
        volume = _intersection(solids, j, i, same, work, back, given)
    else:
        volume = _intersection(solids, i, j, same, work, forth, given)
    return min(volume / (solids[i, 16] + solids[j, 16] - volume), 1.0)


@compiled()
def _iou(solids, i, j, boxes, work, pose):
    """IoU of two boxes; 0 where one is invalid, NaN where a thin one needs :func:`iou_of_thin`."""
    tx, ty, tz = solids[j, 0] - solids[i, 0], solids[j, 1] - solids[i, 1], solids[j, 2] - solids[i, 2]
    reach = solids[i, 15] + solids[j, 15]
    if tx * tx + ty * ty + tz * tz >= reach * reach or solids[i, 16] < 0.0 or solids[j, 16] < 0.0:
        return 0.0
    if solids[i, 17] + solids[j, 17] > 0.0:
        return np.nan
    return _ordered_iou(solids, i, j, boxes, work, pose, pose, False)


_PREPARED = "float64[:,::1], float64[:,::1], float64[:,::1], boolean[::1]"


@compiled(f"float64[:,::1]({_PREPARED}, int64)")
def iou_matrix(boxes, cos, sin, valid, n):
    """IoU ``(n, m)`` of the first n boxes with the m others; the arguments come from ``iou._prepare``."""
    solids = _prepare(boxes, cos, sin, valid)
    out = np.empty((n, boxes.shape[0] - n))
    work, pose = np.empty(6 * WIDTH), np.empty((3, 4))
    for i in range(n):
        for j in range(n, boxes.shape[0]):
            out[i, j - n] = _iou(solids, i, j, boxes, work, pose)
    return out


@compiled(f"float64[::1]({_PREPARED}, int64)")
def iou_pairs(boxes, cos, sin, valid, n):
    """IoU ``(n,)`` of box i with box n + i, of 2 n boxes; arguments as for :func:`iou_matrix`."""
    solids = _prepare(boxes, cos, sin, valid)
    out = np.empty(n)
    work, pose = np.empty(6 * WIDTH), np.empty((3, 4))
    for i in range(n):
        out[i] = _iou(solids, i, n + i, boxes, work, pose)
    return out


@compiled(f"float64[::1]({_PREPARED}, int64[::1], int64[::1], float64[:,::1], float64[:,::1])")
def iou_of_thin(boxes, cos, sin, valid, first, second, forth, back):
    """IoU ``(K,)`` of the pairs (first[k], second[k]), of which the caller knows the poses.

    ``forth`` ``(3 K, 4)``: the second's axes and centre in the first's frame; ``back``: the other way round.
    """
    solids = _prepare(boxes, cos, sin, valid)
    out = np.empty(len(first))
    work = np.empty(6 * WIDTH)
    for k in range(len(first)):
        a, b = forth[3 * k : 3 * k + 3], back[3 * k : 3 * k + 3]
        out[k] = _ordered_iou(solids, first[k], second[k], boxes, work, a, b, True)
    return out
