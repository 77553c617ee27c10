"""The room around the furniture: wall, floor and ceiling finish, windows, doors, rugs, pictures, lights.

Faces of the room are numbered 0: x = -half_x, 1: x = +half_x, 2: y = -half_y, 3: y = +half_y, 4: floor,
5: ceiling. A *decal* is a rectangle on a face: ``(face, a0, a1, b0, b1, kind, r, g, b, p)`` in metres, where
(a, b) is (y, z) on faces 0-1, (x, z) on 2-3 and (x, y) on the floor.
"""

import math
from dataclasses import dataclass
from random import Random

import numpy as np

from rft3d.geometry.rotations import Array
from rft3d.scenes.rooms._layout import RoomLayout
from rft3d.scenes.rooms._parts import RGB, shade

WINDOW, DOOR, RUG, PICTURE = range(4)
PLANKS, TILES, CARPET = range(3)

WALLS: tuple[RGB, ...] = (
    (0.88, 0.86, 0.81), (0.83, 0.86, 0.88), (0.86, 0.88, 0.82), (0.90, 0.85, 0.79), (0.80, 0.83, 0.86),
    (0.88, 0.84, 0.86),
)  # fmt: skip
ACCENTS: tuple[RGB, ...] = ((0.55, 0.68, 0.72), (0.76, 0.62, 0.52), (0.62, 0.70, 0.58), (0.70, 0.66, 0.74))
WOODS: tuple[RGB, ...] = ((0.66, 0.48, 0.31), (0.55, 0.38, 0.24), (0.75, 0.60, 0.42), (0.60, 0.53, 0.46))
TILE_COLOURS: tuple[RGB, ...] = ((0.78, 0.78, 0.76), (0.66, 0.72, 0.74), (0.74, 0.68, 0.60))
CARPETS: tuple[RGB, ...] = ((0.60, 0.58, 0.55), (0.50, 0.54, 0.60), (0.66, 0.58, 0.50))


@dataclass(frozen=True, slots=True)
class Shell:
    """Everything the renderer needs besides parts and cameras, as flat float64 arrays.

    Attributes:
        room: ``(23,)`` half_x, half_y, height, four wall colours (12), floor colour (3), floor kind,
            skirting height, colour of skirting and ceiling (3).
        decals: ``(D, 10)`` see the module's docstring.
        light: ``(15,)`` ambient rgb, fill rgb, ceiling rgb, sun rgb, fill direction xyz.
        lamp: ``(3,)`` where the ceiling light shines from (above the ceiling, so that it reaches far).
        sun: ``(3,)`` where the sun stands (outside the window), and ``window``: the decal it shines through.
    """

    room: Array
    decals: Array
    light: Array
    lamp: Array
    sun: Array | None
    window: Array | None


def _blocked(layout: RoomLayout, face: int, a0: float, a1: float, b0: float) -> bool:
    """Whether something taller than ``b0`` stands before the stretch ``a0..a1`` of a wall."""
    for p in layout.placed:
        if p.z + p.thing.height < b0 + 0.05:
            continue
        area = p.footprint()
        reach_x, reach_y = area.reach
        if face < 2:
            gap = layout.half_x - abs(p.x) - reach_x if (p.x > 0) == (face == 1) else 9.0
            low, high = p.y - reach_y, p.y + reach_y
        else:
            gap = layout.half_y - abs(p.y) - reach_y if (p.y > 0) == (face == 3) else 9.0
            low, high = p.x - reach_x, p.x + reach_x
        if gap < 0.4 and low < a1 and high > a0:
            return True
    return False


def _hang(
    rng: Random, layout: RoomLayout, taken: list[list[float]], width: float, b0: float, tries: int
) -> tuple | None:
    """A free stretch of wall of ``width`` metres: (face, a0, a1), or None."""
    for _ in range(tries):
        face = rng.randrange(4)
        room = (layout.half_y if face < 2 else layout.half_x) - width / 2 - 0.25
        if room <= 0:
            continue
        middle = rng.uniform(-room, room)
        a0, a1 = middle - width / 2, middle + width / 2
        if any(d[0] == face and d[1] < a1 + 0.15 and d[2] > a0 - 0.15 for d in taken):
            continue
        if not _blocked(layout, face, a0, a1, b0):
            return face, a0, a1
    return None


def _decals(rng: Random, layout: RoomLayout) -> list[list[float]]:
    out: list[list[float]] = []
    width, top = rng.uniform(1.1, 1.7), rng.uniform(2.05, 2.25)
    spot = _hang(rng, layout, out, width, 0.95, 16)
    if spot:
        out.append([*spot, rng.uniform(0.9, 1.05), top, WINDOW, 0.95, 0.95, 0.94, rng.random()])
    spot = _hang(rng, layout, out, 0.9, 0.0, 10)
    if spot:
        door = rng.choice(((0.90, 0.90, 0.88), (0.55, 0.38, 0.25), (0.70, 0.62, 0.52)))
        out.append([*spot, 0.0, 2.02, DOOR, *door, 0.0])
    for _ in range(rng.randrange(3)):
        w, h = rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.6)
        spot = _hang(rng, layout, out, w, 1.3, 6)
        if spot:
            hue = (rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.8))
            out.append([*spot, 1.62 - h / 2, 1.62 + h / 2, PICTURE, *hue, rng.random()])
    if rng.random() < 0.6 and layout.theme not in ("bathroom", "kitchen"):
        hx, hy = layout.half_x * rng.uniform(0.3, 0.5), layout.half_y * rng.uniform(0.3, 0.5)
        x, y = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)
        rug = rng.choice(((0.70, 0.62, 0.52), (0.45, 0.52, 0.58), (0.60, 0.40, 0.36), (0.72, 0.70, 0.66)))
        out.append([4, x - hx, x + hx, y - hy, y + hy, RUG, *rug, rng.random()])
    return out


def finish_room(rng: Random, layout: RoomLayout) -> Shell:
    """Finish, decoration and light of a furnished room, deterministic in ``rng``."""
    wall = rng.choice(WALLS)
    walls = [list(wall) for _ in range(4)]
    if rng.random() < 0.45:
        walls[rng.randrange(4)] = list(rng.choice(ACCENTS))
    if layout.theme in ("bathroom", "kitchen"):
        kind, floor = TILES, rng.choice(TILE_COLOURS)
    elif rng.random() < 0.7:
        kind, floor = PLANKS, rng.choice(WOODS)
    else:
        kind, floor = CARPET, rng.choice(CARPETS)
    flat = [c for colour in walls for c in colour]
    room = [layout.half_x, layout.half_y, layout.height, *flat, *shade(floor, rng.uniform(0.92, 1.08))]
    room += [kind, 0.09, 0.94, 0.94, 0.93]
    decals = _decals(rng, layout)
    lamp = np.array([rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5), layout.height + 0.7])
    window = next((d for d in decals if d[5] == WINDOW), None)
    warm = rng.uniform(-0.05, 0.05)
    level = 1.0 + rng.uniform(-0.1, 0.1)
    ambient = [0.47 * level, 0.47 * level, 0.48 * level]
    bulb = 0.62 * (1 + rng.uniform(-0.12, 0.12))
    ceiling = [bulb * (1.03 + warm), bulb, bulb * (0.95 - warm)]
    fill, sunlight, toward, sun = [0.0] * 3, [0.0] * 3, [0.0, 0.0, 1.0], None
    if window is not None:
        face = int(window[0])
        inward = [(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)][face]
        toward = [-inward[0] * 0.94, -inward[1] * 0.94, 0.34]
        fill = [0.15, 0.16, 0.18]
        power = rng.uniform(0.35, 0.65)
        sunlight = [power, power * 0.93, power * 0.8]
        sun = _sun(rng, layout, window)
    return Shell(
        np.array(room, dtype=np.float64),
        np.array(decals, dtype=np.float64).reshape(-1, 10),
        np.array([*ambient, *fill, *ceiling, *sunlight, *toward], dtype=np.float64),
        lamp,
        sun,
        None if window is None else np.array(window, dtype=np.float64),
    )


def _sun(rng: Random, layout: RoomLayout, window: list[float]) -> Array:
    """A sun near the window: its rays through the pane diverge slightly."""
    face, middle = int(window[0]), (window[1] + window[2]) / 2
    away, side = 4.5, rng.uniform(-3.0, 3.0)
    height = (window[3] + window[4]) / 2 + away * math.tan(math.radians(rng.uniform(28, 45)))
    if face < 2:
        sign = -1 if face == 0 else 1
        return np.array([sign * (layout.half_x + away), middle + side, height])
    sign = -1 if face == 2 else 1
    return np.array([middle + side, sign * (layout.half_y + away), height])
