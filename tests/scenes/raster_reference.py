"""The readable renderer in plain numpy: what :mod:`rft3d.scenes.rooms._raster_numba` is compared with.

Z-buffer over part rectangles, then one shading pass, function by function as there. Array layouts are described in
:mod:`rft3d.scenes.rooms._render`. Points and normals are ``(N, 3)``, world frame, metres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Surface = tuple[F64, F64, F64, F64]
"""Colour ``(N, 3)``, glow ``(N,)``, darkening ``(N,)``, normal ``(N, 3)``."""

FAR = 1e9
NEAR = 0.05


def _guard(x: F64) -> F64:
    return np.where(np.abs(x) > 1e-12, x, 1e-12)


def _hit_box(o: F64, d: F64) -> F64:
    inverse = 1.0 / _guard(d)
    centre, reach = -o * inverse, np.abs(inverse)
    enter, leave = (centre - reach).max(-1), (centre + reach).min(-1)
    return np.where((enter <= leave) & (enter > NEAR), enter, FAR)


def _hit_cylinder(o: F64, d: F64, bottom: float, top: float) -> F64:
    """Smallest t > NEAR at which rays meet the unit cone stump, or FAR."""
    r0, k = 0.5 * (bottom + top), 0.5 * (top - bottom)
    slope, radius = k * d[..., 2], r0 + k * o[2]
    a = _guard(d[..., 0] ** 2 + d[..., 1] ** 2 - slope * slope)
    b = o[0] * d[..., 0] + o[1] * d[..., 1] - radius * slope
    disc = b * b - a * (o[0] * o[0] + o[1] * o[1] - radius * radius)
    root = np.sqrt(np.maximum(disc, 0.0))
    best = np.full(a.shape, FAR)
    for sign in (-1.0, 1.0):
        t = (-b + sign * root) / a
        good = (disc >= 0) & (t > NEAR) & (t < best) & (np.abs(o[2] + t * d[..., 2]) <= 1.0)
        best = np.where(good, t, best)
    iz = 1.0 / _guard(d[..., 2])
    for end, limit in ((-1.0, bottom), (1.0, top)):
        t = (end - o[2]) * iz
        x, y = o[0] + t * d[..., 0], o[1] + t * d[..., 1]
        best = np.where((t > NEAR) & (t < best) & (x * x + y * y <= limit * limit), t, best)
    return best


def _hit_ellipsoid(o: F64, d: F64) -> F64:
    a = _guard((d * d).sum(-1))
    b = d @ o
    disc = b * b - a * (o @ o - 1.0)
    t = (-b - np.sqrt(np.maximum(disc, 0.0))) / a
    return np.where((disc >= 0) & (t > NEAR), t, FAR)


def _raster(
    rays: F64, rects: NDArray, solids: F64, owner: NDArray, z: NDArray, ident: NDArray, alone: NDArray
) -> None:
    """Draw all parts of one view into ``z`` and ``ident``; ``alone[k]`` counts object k's pixels as if
    nothing else were there."""
    stamp = np.full(z.shape, -1, dtype=np.int32)
    for p, (u0, u1, v0, v1) in enumerate(rects.tolist()):
        if u0 >= u1 or v0 >= v1:
            continue
        ray = rays[p]
        u, v = np.arange(u0, u1)[None, :, None] + 0.5, np.arange(v0, v1)[:, None, None] + 0.5
        d = (ray[3:6] + ray[9:12] * v) + ray[6:9] * u
        shape, bottom, top = solids[p, 15:18]
        if shape == 0:
            t = _hit_box(ray[0:3], d)
        elif shape == 1:
            t = _hit_cylinder(ray[0:3], d, bottom, top)
        else:
            t = _hit_ellipsoid(ray[0:3], d)
        window = (slice(v0, v1), slice(u0, u1))
        hit = t < FAR
        alone[owner[p]] += int((hit & (stamp[window] != owner[p])).sum())
        stamp[window][hit] = owner[p]
        closer = hit & (t < z[window])
        z[window][closer] = t[closer]
        ident[window][closer] = p


def _shell(room: F64, eye: F64, d: F64) -> tuple[F64, NDArray[np.int32]]:
    """Distance along rays ``d (N, 3)`` to the room's faces, and ``-1 - face``."""
    d = _guard(d)
    high, low = room[:3], np.array([-room[0], -room[1], 0.0])
    t = (np.where(d > 0, high, low) - eye) / d
    axis = np.argmin(t, axis=-1)
    rows = np.arange(len(d))
    return t[rows, axis], (-1 - 2 * axis - (d[rows, axis] > 0)).astype(np.int32)


def _contact(room: F64, grid: F64, solids: F64) -> None:
    """Darken the floor near everything that stands on it."""
    n = grid.shape[0]
    sx, sy = 2 * room[0] / n, 2 * room[1] / n
    for part in solids:
        low = part[2] - part[14]
        if low > 0.5:
            continue
        strength = 0.42 / (1.0 + 12.0 * low)
        c, s = part[[3, 6]] / np.hypot(part[3], part[6])
        ex = abs(c) * part[12] + abs(s) * part[13] + 0.4
        ey = abs(s) * part[12] + abs(c) * part[13] + 0.4
        i0, i1 = max(0, int((part[0] - ex + room[0]) / sx)), min(n, int((part[0] + ex + room[0]) / sx) + 1)
        j0, j1 = max(0, int((part[1] - ey + room[1]) / sy)), min(n, int((part[1] + ey + room[1]) / sy) + 1)
        y = (np.arange(j0, j1)[:, None] + 0.5) * sy - room[1] - part[1]
        x = (np.arange(i0, i1)[None] + 0.5) * sx - room[0] - part[0]
        du = np.maximum(np.abs(c * x + s * y) - part[12], 0.0)
        dv = np.maximum(np.abs(c * y - s * x) - part[13], 0.0)
        f = 1.0 - strength / (1.0 + 90.0 * (du * du + dv * dv))
        patch = grid[j0:j1, i0:i1]
        patch[:] = np.minimum(patch, f) * 0.35 + patch * f * 0.65


def _shadow(camera: F64, texels: NDArray, points: F64, normals: F64, outside: float) -> F64:
    """Share of a light that reaches points: the shadow map's four nearest texels, blended."""
    n = texels.shape[0]
    local = (points + 0.02 * normals - camera[0:3]) @ camera[3:12].reshape(3, 3)
    depth = local[:, 2]
    inverse = 1.0 / np.maximum(NEAR, depth)
    u = camera[12] * local[:, 0] * inverse + camera[14] - 0.5
    v = camera[13] * local[:, 1] * inverse + camera[15] - 0.5
    uc, vc = np.clip(u, 0.0, n - 1.001), np.clip(v, 0.0, n - 1.001)
    i, j = uc.astype(np.int64), vc.astype(np.int64)
    fu, fv = uc - i, vc - j
    near = 40.0 * (depth - 0.03) - 1.0
    four = [
        np.clip(40.0 * texels[j + dj, i + di].astype(np.float64) - near, 0, 1)
        for dj in (0, 1)
        for di in (0, 1)
    ]
    a, b = four[0] + fu * (four[1] - four[0]), four[2] + fu * (four[3] - four[2])
    return np.where((depth > NEAR) & (u == uc) & (v == vc), a + fv * (b - a), outside)


def _direct(cameras: F64, maps: NDArray, light: F64, points: F64, normals: F64) -> tuple[F64, F64]:
    """(ceiling light, sun) that reach points, shadows included; the ceiling gets a constant glimmer."""
    to = cameras[0, 0:3] - points
    d2 = (to * to).sum(-1)
    bulb = np.maximum(0.0, (normals * to).sum(-1)) * 1.9 / (np.sqrt(d2) * (1.0 + 0.12 * d2))
    bulb = np.where(normals[:, 2] > -0.99, bulb, 0.4) * _shadow(cameras[0], maps[0], points, normals, 1.0)
    if light[9] <= 0.0:
        return bulb, np.zeros_like(bulb)
    to = cameras[1, 0:3] - points
    beam = np.maximum(0.0, (normals * to).sum(-1)) / np.sqrt((to * to).sum(-1))
    return bulb, beam * _shadow(cameras[1], maps[1], points, normals, 0.0)


def _colours(
    points: F64,
    ident: NDArray,
    cameras: F64,
    solids: F64,
    room: F64,
    decals: F64,
    light: F64,
    maps: NDArray,
    grid: F64,
) -> NDArray[np.uint8]:
    """Displayed colours ``(N, 3)`` of visible points."""
    n = len(points)
    paint, glow, dark, normals = np.empty((n, 3)), np.empty(n), np.empty(n), np.empty((n, 3))
    for face in range(6):
        here = ident == -1 - face
        paint[here], glow[here], dark[here], normals[here] = surface_shell(
            face, points[here], room, decals, grid
        )
    here = ident >= 0
    paint[here], glow[here], dark[here], normals[here] = surface_part(points[here], solids[ident[here]])
    bulb, beam = _direct(cameras, maps, light, points, normals)
    sky = dark * (0.85 + 0.15 * normals[:, 2])
    fill = dark * np.maximum(0.0, normals @ light[12:15])
    direct = bulb * (0.5 + 0.5 * dark)
    lights = np.stack([sky, fill, direct, beam], -1)
    incoming = lights @ light[:12].reshape(4, 3)
    value = paint * (incoming * (1.0 - 0.7 * glow)[:, None] + 0.98 * glow[:, None])
    value = np.where(value > 0.8, 0.8 + (value - 0.8) / (1.0 + 3.0 * (value - 0.8)), value)
    return np.minimum(255.0, value * 255.0 + 0.5).astype(np.uint8)


def draw(
    rays: F64, rects: NDArray, cameras: F64, solids: F64, owner: NDArray, room: F64, decals: F64, light: F64,
    maps: NDArray, grid: F64, rgb: NDArray, depth: NDArray, instances: NDArray, seen: NDArray, alone: NDArray,
) -> None:  # fmt: skip
    """Render all views of a scene: view 0 is the ceiling light, 1 the sun, the rest are frames.

    Fills ``maps``, ``grid`` and the five outputs in place; layouts in ``render.py``.
    """
    scrap, ignored = np.empty(maps.shape[1:], dtype=np.int32), np.zeros(alone.shape[1], dtype=np.int64)
    for view in range(2):
        if view == 0 or light[9] > 0.0:
            _raster(rays[view], rects[view], solids, owner, maps[view], scrap, ignored)
    _contact(room, grid, solids)
    height, width = depth.shape[1:]
    for k, camera in enumerate(cameras[2:]):
        fx, fy, cx, cy = camera[12:16]
        x, y = np.meshgrid((np.arange(width) + 0.5 - cx) / fx, (np.arange(height) + 0.5 - cy) / fy)
        d = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3) @ camera[3:12].reshape(3, 3).T
        flat_z, flat_ident = _shell(room, camera[0:3], d)
        z, ident = flat_z.reshape(height, width), flat_ident.reshape(height, width)
        _raster(rays[k + 2], rects[k + 2], solids, owner, z, ident, alone[k])
        points = camera[0:3] + z.reshape(-1, 1) * d
        colours = _colours(points, ident.ravel(), cameras, solids, room, decals, light, maps, grid)
        rgb[k], depth[k] = colours.reshape(height, width, 3), z
        instances[k] = np.where(ident >= 0, owner[np.maximum(ident, 0)] + 1, 0)
        seen[k] = np.bincount(instances[k].ravel(), minlength=len(seen[k]) + 1)[1:]


def _tri(x: F64) -> F64:
    """Triangle wave of period 1 between -1 and 1: a sine cheap enough for every pixel."""
    return np.abs(x - np.floor(x) - 0.5) * 4.0 - 1.0


def _hash(i: NDArray, j: NDArray | int) -> F64:
    """A fixed scatter of integers into [0, 1]."""
    k = i * 374761 + j * 668265
    k = (k ^ (k >> 7)) * 12741
    return ((k >> 5) & 1023) / 1023.0


def _frac(x: F64) -> F64:
    return x - np.floor(x)


def _texture(kind: NDArray, a: F64, b: F64, q: F64, metres: F64, front: NDArray) -> tuple[F64, F64]:
    """(factor on the colour, factor on the glow) at points of parts: unit coordinates q, metres."""
    qy, qz = q[:, 1], q[:, 2]
    lx, ly, lz = metres.T
    wood = 1.0 + 0.07 * _tri(9.0 * lx + 0.35 * _tri(1.3 * ly + a) + 5.0 * lz)
    fabric = 1.0 + 0.05 * a * _tri(16.0 * ly + 3.0 * lz) * _tri(16.0 * lx + 3.0 * lz)
    stripes = np.where(_frac(ly * a) < 0.5, 0.74, 1.08)
    rows, cols = np.floor(a + 0.5), np.floor(b + 0.5)
    fy, fz = _frac((qy + 1.0) * 0.5 * cols), _frac((qz + 1.0) * 0.5 * rows)
    doors = (rows < 1.5) & (cols > 1.5)
    grip = (np.abs(qy) > 0.06) & (np.abs(qy) < 0.12) & (np.abs(qz) < 0.12)
    knob = np.where(doors, grip, (np.abs(fy - 0.5) < 0.11) & (np.abs(fz - 0.5) < 0.08))
    seam = (np.abs(fy - 0.5) > 0.47) | (np.abs(fz - 0.5) > 0.5 - 0.02 * rows)
    panel = np.where(front, np.where(seam, 0.5, np.where(knob, 0.32, 1.0)), 0.92)
    pane = (np.abs(qy - 0.3 + 0.1 * a) < 0.42) & (np.abs(qz + 0.1) < 0.5)
    screen = np.where(front, np.where(pane, 1.35, 0.75 + 0.2 * qz), 0.2)
    plaid = np.where(_frac(ly * a) < 0.4, 0.78, 1.06) * np.where(_frac(lx * b) < 0.4, 0.82, 1.04)
    factor = np.choose(kind.astype(np.int64), [np.ones_like(a), wood, fabric, stripes, panel, screen, plaid])
    return factor, np.where((kind == 5) & ~front, 0.0, 1.0)


def _floor_colour(kind: int, x: F64, y: F64) -> F64:
    """Factor on the floor's colour at points of it."""
    if kind == 0:
        i = np.floor(x / 0.16).astype(np.int64)
        length = y / 1.3 + _hash(i, 17)
        j = np.floor(length).astype(np.int64)
        factor = 0.86 + 0.26 * _hash(i, j) + 0.03 * _tri(7.0 * x + 0.4 * _tri(0.9 * y))
        return np.where((x / 0.16 - i < 0.06) | (length - j < 0.012), factor * 0.72, factor)
    if kind == 1:
        i, j = np.floor(x / 0.4).astype(np.int64), np.floor(y / 0.4).astype(np.int64)
        joint = (x / 0.4 - i < 0.035) | (y / 0.4 - j < 0.035)
        return np.where(joint, 0.74, 0.95 + 0.09 * _hash(i, j))
    return 0.96 + 0.07 * _hash(np.floor(x / 0.03).astype(np.int64), np.floor(y / 0.03).astype(np.int64))


def _decal(decal: F64, a: F64, b: F64) -> tuple[F64, F64]:
    """Colour ``(N, 3)`` and glow of a decal at (a, b) metres."""
    _, a0, a1, b0, b1, kind, *rgb, vary = decal.tolist()
    u, v = (a - a0) / (a1 - a0), (b - b0) / (b1 - b0)
    edge = np.minimum(np.minimum(a - a0, a1 - a), np.minimum(b - b0, b1 - b))
    plain = np.array(rgb)
    glow = np.zeros_like(u)
    if kind == 0:
        bar = (edge < 0.06) | (np.abs(u - 0.5) * (a1 - a0) < 0.025) | (np.abs(v - 0.55) * (b1 - b0) < 0.02)
        hill = v < 0.32 + 0.1 * _tri(u * 0.7 + vary) + 0.03 * _tri(u * 2.3 + vary)
        sky = np.stack([0.95 - 0.3 * v, 1.0 - 0.14 * v, np.full_like(v, 1.02)], -1)
        view = np.where(hill[:, None], (0.45, 0.62, 0.42), sky)
        return np.where(bar[:, None], plain, view), np.where(bar, 0.0, 1.0)
    if kind == 1:
        frame = np.minimum(np.minimum(a - a0, a1 - a), b1 - b) < 0.07
        inset = (np.abs(u - 0.5) < 0.3) & (((v > 0.1) & (v < 0.42)) | ((v > 0.5) & (v < 0.92)))
        f = np.where(frame, 1.12, np.where(inset, 0.9, 1.0))
        f = np.where((np.abs(u - 0.84) < 0.03) & (np.abs(v - 0.48) < 0.015), 0.35, f)
        return plain * f[:, None], glow
    if kind == 2:
        inner = 1.0 + 0.08 * _tri(a * 2.2 + vary) * _tri(b * 2.2)
        f = np.where(edge >= 0.12, inner, np.where(edge > 0.05, 0.8, 1.0))
        return plain * f[:, None], glow
    f = np.where(v > 0.4 + 0.2 * _tri(u * 1.1 + vary), 0.75 + 0.4 * v, 0.55)
    colour = np.where((edge < 0.07)[:, None], (0.92, 0.92, 0.90), plain * f[:, None])
    return np.where((edge < 0.03)[:, None], (0.16, 0.13, 0.11), colour), glow


def _corner(d: F64) -> F64:
    """Darkening ``d`` metres from another face of the room."""
    k = np.maximum(0.0, 1.0 - 1.7 * d)
    return 1.0 - 0.28 * k * k


def _lookup(grid: F64, x: F64, y: F64, hx: float, hy: float) -> F64:
    """Bilinear value of the floor's contact grid."""
    n = grid.shape[0]
    gx = np.clip((x + hx) / (2 * hx) * n - 0.5, 0.0, n - 1.001)
    gy = np.clip((y + hy) / (2 * hy) * n - 0.5, 0.0, n - 1.001)
    i, j = gx.astype(np.int64), gy.astype(np.int64)
    fu, fv = gx - i, gy - j
    low = grid[j, i] * (1 - fu) + grid[j, i + 1] * fu
    high = grid[j + 1, i] * (1 - fu) + grid[j + 1, i + 1] * fu
    return low * (1 - fv) + high * fv


def surface_shell(face: int, points: F64, room: F64, decals: F64, grid: F64) -> Surface:
    """Surface at points of one face of the room."""
    px, py, pz = points.T
    hx, hy, height = room[:3]
    ax, ay, az = _corner(hx - np.abs(px)), _corner(hy - np.abs(py)), _corner(np.minimum(pz, height - pz))
    glow, normal = np.zeros(len(points)), np.zeros_like(points)
    if face == 5:
        normal[:, 2] = -1.0
        return np.broadcast_to(room[20:23], points.shape), glow, ax * ay, normal
    if face == 4:
        colour = room[15:18] * _floor_colour(int(room[18]), px, py)[:, None]
        dark = ax * ay * _lookup(grid, px, py, hx, hy)
        normal[:, 2] = 1.0
        a, b = px, py
    else:
        b = pz
        a, dark = (py, ay * az) if face < 2 else (px, ax * az)
        normal[:, face // 2] = 1.0 - 2.0 * (face % 2)
        f = np.where(pz < room[19] - 0.012, 0.93, 0.7)[:, None]
        colour = np.where((pz < room[19])[:, None], room[20:23] * f, room[3 + 3 * face : 6 + 3 * face])
    for decal in decals[decals[:, 0] == face]:
        inside = (a > decal[1]) & (a < decal[2]) & (b > decal[3]) & (b < decal[4])
        colour[inside], glow[inside] = _decal(decal, a[inside], b[inside])
    return colour, glow, dark, normal


def surface_part(points: F64, s: F64) -> Surface:
    """Surface at points of parts; ``s (N, 25)`` is each point's row of ``solids``."""
    R, half = s[:, 3:12].reshape(-1, 3, 3), s[:, 12:15]
    metres = ((points - s[:, 0:3])[:, None] @ R)[:, 0]
    q = metres / half
    axis = np.argmax(np.abs(q), axis=-1)
    rows = np.arange(len(q))
    flat = np.zeros_like(q)
    flat[rows, axis] = np.where(q[rows, axis] > 0, 1.0, -1.0)
    k = 0.5 * (s[:, 17] - s[:, 16])
    radius = 0.5 * (s[:, 16] + s[:, 17]) + k * q[:, 2]
    side = np.stack([q[:, 0] / half[:, 0], q[:, 1] / half[:, 1], -radius * k / half[:, 2]], -1)
    end = np.zeros_like(q)
    end[:, 2] = np.where(q[:, 2] > 0, 1.0, -1.0)
    stump = np.where((np.abs(q[:, 2]) > 1.0 - 1e-6)[:, None], end, side)
    shape = s[:, 15, None]
    local = np.where(shape == 0, flat, np.where(shape == 1, stump, q / half))
    local = local / np.sqrt((local * local).sum(-1, keepdims=True))
    normal = (R @ local[..., None])[..., 0]
    front = (s[:, 15] == 0) & (axis == 0) & (q[:, 0] > 0)
    f, g = _texture(s[:, 21], s[:, 22], s[:, 23], q, metres, front)
    depth = np.maximum(0.0, 1.0 - 3.0 * points[:, 2])
    dark = (1.0 - 0.25 * depth * depth) * np.where(normal[:, 2] < -0.5, 0.6, 1.0)
    return s[:, 18:21] * f[:, None], s[:, 24] * g, dark, normal
