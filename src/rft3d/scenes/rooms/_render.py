"""Pictures, depth and instance ids of a furnished room.

A scene is a few dozen solids, each an affine image of a unit cube, cylinder or ball. A view's rays are linear
in the pixel, so a ray in the frame of a solid is ``o + t (A + B u + C v)``: setting this up for all views and
parts is one numpy expression, and drawing tests each part only inside its projected bounding rectangle. The
ceiling light and the sun are two more pinhole views (shadow maps); the sun's frustum is the window.

The drawing itself is compiled (``_raster_numba``); ``tests/scenes/raster_reference.py`` is the same in plain numpy,
and a test compares the pictures.

Arrays handed to it (V views: 0 ceiling light, 1 sun, 2.. frames; P parts; float64 unless said otherwise):
``rays (V, P, 12)`` o, A, B, C · ``rects (V, P, 4)`` int32 half-open u0, u1, v0, v1 ·
``cameras (V, 16)`` eye, camera-to-world rotation (row-major), fx, fy, cx, cy ·
``solids (P, 25)`` centre, part-to-world rotation (row-major), half sizes, shape, bottom and top radius, rgb,
texture, a, b, glow · ``owner (P,)`` int32 object index · ``room, decals, light`` see
:mod:`rft3d.scenes.rooms._shell` · ``maps (2, S, S)`` shadow maps, filled by the drawing · ``grid (S, S)`` contact
darkening of the floor, filled by the drawing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.rooms._layout import Placed
from rft3d.scenes.rooms._shell import Shell

F64 = NDArray[np.float64]

SHADOW_SIZE = 160
CONTACT_SIZE = 64
NEAR_M = 0.05
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
_GRID = (np.arange(5) - 2) / 2.2
_INNER = np.array([[x, y, z] for x in _GRID for y in _GRID for z in _GRID[::2]], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Parts:
    """All solids of a room in the world frame, those of one object side by side; see the module."""

    solids: F64
    owner: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the frames show.

    ``rgb (F, H, W, 3)`` uint8 · ``depth (F, H, W)`` float32 metres along the camera's z ·
    ``instances (F, H, W)`` int32 object index + 1, 0 for the room ·
    ``seen (F, N)`` visible pixels per object · ``alone (F, N)`` pixels of each if nothing else were there.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    instances: NDArray[np.int32]
    seen: NDArray[np.int64]
    alone: NDArray[np.int64]


def world_parts(placed: Sequence[Placed]) -> Parts:
    """The parts of placed furniture, moved to the world frame."""
    rows = np.array(
        [
            (s.shape, *s.centre, *s.size, s.tilt, s.bottom, s.top, *s.rgb, s.texture, s.a, s.b, s.glow)
            for p in placed
            for s in p.thing.parts
        ]
    )
    counts = [len(p.thing.parts) for p in placed]
    owner = np.repeat(np.arange(len(placed), dtype=np.int32), counts)
    low = np.array([p.thing.low for p in placed])
    high = np.array([p.thing.high for p in placed])
    middle = (low + high) / 2
    middle[:, 2] = low[:, 2]
    base = np.array([(p.x, p.y, p.z) for p in placed])
    yaw = np.array([p.yaw for p in placed])[owner]
    local = rows[:, 1:4] - middle[owner]
    c, s = np.cos(yaw), np.sin(yaw)
    ct, st = np.cos(rows[:, 7]), np.sin(rows[:, 7])
    out = np.zeros((len(rows), 25))
    out[:, 0:3] = base[owner]
    out[:, 0] += c * local[:, 0] - s * local[:, 1]
    out[:, 1] += s * local[:, 0] + c * local[:, 1]
    out[:, 2] += local[:, 2]
    # Rz(yaw) @ Ry(tilt), row by row.
    out[:, 3], out[:, 4], out[:, 5] = c * ct, -s, c * st
    out[:, 6], out[:, 7], out[:, 8] = s * ct, c, s * st
    out[:, 9], out[:, 11] = -st, ct
    out[:, 12:15] = rows[:, 4:7] / 2
    out[:, 15] = rows[:, 0]
    out[:, 16:25] = rows[:, 8:17]
    return Parts(out, owner)


def _lamp_view(shell: Shell) -> tuple[F64, F64, list[float]]:
    """The ceiling light, looking straight down; covers the floor and everything up to 1.2 m."""
    x, y, z = shell.lamp
    reach_x = (shell.room[0] + abs(x)) / (z - 1.2)
    reach_y = (shell.room[1] + abs(y)) / (z - 1.2)
    half = SHADOW_SIZE / 2
    down = np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]])
    return shell.lamp, down, [half / reach_x, half / reach_y, half, half]


def _sun_view(shell: Shell) -> tuple[F64, F64, list[float]]:
    """The sun, looking level into the room; its picture is exactly the window's pane."""
    if shell.sun is None or shell.window is None:
        return np.array([0.0, 0.0, 50.0]), np.eye(3), [1.0, 1.0, -1e6, -1e6]
    face, a0, a1, b0, b1 = shell.window[:5]
    wall = int(face)
    forward = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0]][wall])
    down = np.array([0, 0, -1.0])
    right = np.cross(down, forward)
    depth = -float(forward @ shell.sun) - (shell.room[0] if wall < 2 else shell.room[1])
    sign = right[1] if wall < 2 else right[0]
    along = shell.sun[1] if wall < 2 else shell.sun[0]
    left, rite = sorted((sign * (a0 + 0.06 - along) / depth, sign * (a1 - 0.06 - along) / depth))
    top, bottom = (shell.sun[2] - b1 + 0.06) / depth, (shell.sun[2] - b0 - 0.06) / depth
    fx, fy = SHADOW_SIZE / (rite - left), SHADOW_SIZE / (bottom - top)
    return shell.sun, np.stack([right, down, forward], axis=1), [fx, fy, -left * fx, -top * fy]


def make_cameras(shell: Shell, T_world_cameras: F64, K: F64) -> F64:
    """``cameras (V, 16)``: the two lights followed by the frames' cameras."""
    out = np.empty((2 + len(T_world_cameras), 16))
    for k, (eye, rotation, lens) in enumerate((_lamp_view(shell), _sun_view(shell))):
        out[k, 0:3], out[k, 3:12], out[k, 12:16] = eye, rotation.ravel(), lens
    out[2:, 0:3] = T_world_cameras[:, :3, 3]
    out[2:, 3:12] = T_world_cameras[:, :3, :3].reshape(-1, 9)
    out[2:, 12:16] = (K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    return out


def part_rays(cameras: F64, parts: Parts, width: int, height: int) -> tuple[F64, NDArray[np.int32]]:
    """``rays (V, P, 12)`` and ``rects (V, P, 4)``: see the module's docstring. Parts behind a view get empty
    rectangles, parts that reach behind it the whole picture."""
    eyes, rots = cameras[:, 0:3], cameras[:, 3:12].reshape(-1, 3, 3)
    centres, halves = parts.solids[:, 0:3], parts.solids[:, 12:15]
    rotations = parts.solids[:, 3:12].reshape(-1, 3, 3)
    inverse = rotations.transpose(0, 2, 1) / halves[:, :, None]
    spin = inverse[None] @ rots[:, None]
    fx, fy, cx, cy = (cameras[:, None, None, k] for k in range(12, 16))
    rays = np.empty((len(eyes), len(parts.solids), 12))
    offset = eyes[:, None] - centres[None]
    rays[..., 0:3] = (inverse[None] @ offset[..., None])[..., 0]
    rays[..., 6:9] = spin[..., 0] / fx
    rays[..., 9:12] = spin[..., 1] / fy
    rays[..., 3:6] = spin[..., 2] - rays[..., 6:9] * cx - rays[..., 9:12] * cy
    # Corners in the view: the part's half axes seen from the view, added up with all signs.
    axes = rots.transpose(0, 2, 1)[:, None] @ (rotations * halves[:, None, :])[None]
    middle = -(offset @ rots)
    corners = middle[:, :, None, :] + _CORNERS @ axes.transpose(0, 1, 3, 2)
    depth = corners[..., 2]
    safe = np.maximum(depth, NEAR_M)
    u = corners[..., 0] / safe * fx + cx
    v = corners[..., 1] / safe * fy + cy
    limits = np.array([[SHADOW_SIZE] * 2] * 2 + [[width, height]] * (len(eyes) - 2))
    wide, high = limits[:, 0, None], limits[:, 1, None]
    rects = np.stack(
        [
            np.clip(np.ceil(u.min(-1) - 0.5), 0, wide),
            np.clip(np.floor(u.max(-1) - 0.5) + 1, 0, wide),
            np.clip(np.ceil(v.min(-1) - 0.5), 0, high),
            np.clip(np.floor(v.max(-1) - 0.5) + 1, 0, high),
        ],
        axis=-1,
    )
    whole = np.stack([np.zeros_like(wide), wide, np.zeros_like(high), high], axis=-1)
    rects = np.where((depth.min(-1) < NEAR_M)[..., None], whole, rects)
    rects[depth.max(-1) < NEAR_M] = 0
    return rays, rects.astype(np.int32)


def in_view_share(boxes: F64, T_world_cameras: F64, K: F64, width: int, height: int) -> F64:
    """``(F, N)`` share of each upright box's volume that projects into each frame (75 sample points).

    ``boxes (N, 9)``: yaw only.
    """
    c, s = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    local = _INNER[None] * (boxes[:, None, 3:6] / 2)
    points = np.stack(
        [c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1], local[..., 2]], -1
    )
    points = (points + boxes[:, None, :3]).reshape(-1, 3)
    R, t = T_world_cameras[:, :3, :3], T_world_cameras[:, :3, 3]
    camera = (points[None] - t[:, None]) @ R
    z = np.maximum(camera[..., 2], NEAR_M)
    u = camera[..., 0] / z * K[0, 0] + K[0, 2]
    v = camera[..., 1] / z * K[1, 1] + K[1, 2]
    inside = (camera[..., 2] > NEAR_M) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
    return inside.reshape(len(R), len(boxes), -1).mean(-1)


def render(parts: Parts, shell: Shell, T_world_cameras: F64, K: F64, width: int, height: int) -> Rendered:
    """Draw every frame.

    Args:
        T_world_cameras: ``(F, 4, 4)`` OpenCV camera poses.
        K: ``(3, 3)`` intrinsics of all frames.
    """
    from rft3d.scenes.rooms._raster_numba import draw_views  # lazy: numba takes half a second to import

    frames, objects = len(T_world_cameras), int(parts.owner[-1]) + 1
    cameras = make_cameras(shell, T_world_cameras, K)
    rays, rects = part_rays(cameras, parts, width, height)
    maps = np.full((2, SHADOW_SIZE, SHADOW_SIZE), 1e9, dtype=np.float32)
    bar = round(0.022 * SHADOW_SIZE)  # the window's cross bars stand right at the pane: nearer than anything
    maps[1, :, SHADOW_SIZE // 2 - bar : SHADOW_SIZE // 2 + bar] = 0.0
    maps[1, round(0.45 * SHADOW_SIZE) - bar : round(0.45 * SHADOW_SIZE) + bar] = 0.0
    out = Rendered(
        np.empty((frames, height, width, 3), dtype=np.uint8),
        np.empty((frames, height, width), dtype=np.float32),
        np.empty((frames, height, width), dtype=np.int32),
        np.zeros((frames, objects), dtype=np.int64),
        np.zeros((frames, objects), dtype=np.int64),
    )
    grid = np.ones((CONTACT_SIZE, CONTACT_SIZE))
    draw_views(
        rays, rects, cameras, parts.solids, parts.owner, shell.room, shell.decals, shell.light, maps, grid,
        out.rgb, out.depth, out.instances, out.seen, out.alone,
    )  # fmt: skip
    return out
