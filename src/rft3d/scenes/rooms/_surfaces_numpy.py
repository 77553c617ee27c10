"""What a point of a room looks like, in plain numpy: textures, decals, normals, contact darkening.

The second half of :mod:`rft3d.scenes.rooms._raster_numpy`. Points are ``(N, 3)`` metres, world frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Surface = tuple[F64, F64, F64, F64]
"""Colour ``(N, 3)``, glow ``(N,)``, darkening ``(N,)``, normal ``(N, 3)``."""


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
