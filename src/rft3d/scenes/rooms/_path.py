"""The walk of the camera: a person standing in the free part of the room, turning slowly.

Eye height, downward pitch, roll and jitter are those of a hand-held phone. No eye is inside or right above
furniture, so that no picture is taken from within an object.
"""

import math
from random import Random

import numpy as np

from rft3d.geometry.rotations import Array
from rft3d.scenes.rooms._layout import RoomLayout
from rft3d.scenes.rooms._parts import Rect

Point = tuple[float, float]

EYE_M = 1.5
PITCH_DEG = 17.0
"""Eye height and downward pitch that clips vary around."""


def intrinsics(width: int, height: int, fov_deg: float) -> Array:
    """``(3, 3)`` pinhole K with square pixels, the given horizontal field of view, centre in the middle."""
    focal = width / 2 / math.tan(math.radians(fov_deg) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=np.float64)


def pose(eye: tuple[float, float, float], heading: float, down: float, roll: float) -> Array:
    """``T_world_camera`` (OpenCV) of a camera looking along ``heading`` (yaw, radians), ``down``
    radians below the horizon, turned by ``roll`` about its optical axis."""
    ch, sh, cd, sd = math.cos(heading), math.sin(heading), math.cos(down), math.sin(down)
    right, under = np.array([sh, -ch, 0.0]), np.array([-sd * ch, -sd * sh, -cd])
    cr, sr = math.cos(roll), math.sin(roll)
    T = np.eye(4)
    T[:3, 0], T[:3, 1] = cr * right + sr * under, -sr * right + cr * under
    T[:3, 2], T[:3, 3] = (cd * ch, cd * sh, -sd), eye
    return T


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _clear(x: float, y: float, room: RoomLayout, solids: list[Rect]) -> bool:
    if abs(x) > room.half_x - 0.25 or abs(y) > room.half_y - 0.25:
        return False
    return all(solid.distance(x, y) > 0.22 for solid in solids)


def _aim(x: float, y: float, room: RoomLayout, reach: float) -> tuple[float, float]:
    """Score of standing at (x, y) and the heading that covers most objects within ``reach`` radians."""
    seen = [(math.atan2(p.y - y, p.x - x), math.hypot(p.x - x, p.y - y)) for p in room.placed]
    best, heading = -1e9, 0.0
    for start, _ in seen:
        angles = [_wrap(angle - start) for angle, _ in seen]
        inside = [a for a in angles if -0.02 <= a <= 2 * reach]
        middle = start + (min(inside) + max(inside)) / 2
        score = 0.0
        for angle, distance in seen:
            if abs(_wrap(angle - middle)) <= reach:
                # Too close: cut off by the picture's lower edge. Far: few pixels.
                score += 1.0 if distance > 1.3 else 0.25 if distance > 0.8 else -0.6
                score -= 0.06 * abs(distance - 2.2)
        if score > best:
            best, heading = score, middle
    return best, heading


def camera_path(
    rng: Random, room: RoomLayout, frames: int, fov_deg: float, pan_deg: float, shake: tuple[float, float]
) -> list[Array] | None:
    """``frames`` camera poses, or None when there is nowhere to stand.

    ``shake``: how much the hand shakes, and how far eye height and pitch stray from 1.5 m and 17 degrees.
    """
    jitter, variation = shake
    solids = [p.footprint() for p in room.placed if p.support is None]
    pan = math.radians(pan_deg) * rng.uniform(0.85, 1.15)
    reach = (math.radians(fov_deg) * 0.8 + pan) / 2
    best, spot, heading = -1e9, None, 0.0
    found = 0
    for _ in range(120):
        x = rng.uniform(-1, 1) * (room.half_x - 0.3)
        y = rng.uniform(-1, 1) * (room.half_y - 0.3)
        if not _clear(x, y, room, solids):
            continue
        found += 1
        score, angle = _aim(x, y, room, reach)
        if score > best:
            best, spot, heading = score, (x, y), angle
        if found == 14:
            break
    if spot is None:
        return None
    steps = [k / max(1, frames - 1) - 0.5 for k in range(frames)]
    track = _stroll(rng, room, solids, spot, heading, steps)
    pan *= rng.choice((-1, 1))
    height = EYE_M + variation * rng.uniform(-0.15, 0.15)
    x, y = track[len(track) // 2]
    slopes = [
        math.atan2(height - p.z - p.thing.height / 2, max(0.8, math.hypot(p.x - x, p.y - y)))
        for p in room.placed
    ]
    wanted = min(math.radians(24), max(math.radians(11), sum(slopes) / len(slopes)))
    down = math.radians(PITCH_DEG) + variation * (wanted - math.radians(PITCH_DEG))
    sway, drift = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(-2.5, 2.5))
    poses = []
    for (px, py), s in zip(track, steps, strict=True):
        bob = 0.02 * jitter * math.sin(sway + 9.0 * s)
        eye = (px + rng.gauss(0, 0.008) * jitter, py + rng.gauss(0, 0.008) * jitter, height + bob)
        yaw = heading + pan * s + math.radians(rng.gauss(0, 0.8)) * jitter
        pitch = down + drift * s * 2 * jitter + math.radians(rng.gauss(0, 0.5)) * jitter
        roll = math.radians(1.2 * math.sin(sway + 5.0 * s) + rng.gauss(0, 0.4)) * jitter
        poses.append(pose(eye, yaw, pitch, roll))
    return poses


def _stroll(
    rng: Random, room: RoomLayout, solids: list[Rect], spot: Point, heading: float, steps: list[float]
) -> list[Point]:
    """A straight stretch of 0.2-0.8 m through ``spot``, roughly sideways; shorter if the way is blocked."""
    length = rng.uniform(0.35, 0.8)
    direction = heading + math.pi / 2 + rng.uniform(-0.6, 0.6)
    dx, dy = math.cos(direction), math.sin(direction)
    while length > 0.04:
        track = [(spot[0] + dx * length * s, spot[1] + dy * length * s) for s in steps]
        if all(_clear(x, y, room, solids) for x, y in track):
            return track
        length *= 0.6
    return [spot] * len(steps)
