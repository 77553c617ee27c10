"""Which furniture a room gets, and where it stands: rejection sampling in plain Python.

Big things stand along walls with their front to the room, chairs at tables and desks, small things on
furniture that carries such things (a monitor on a desk), with the floor as the last resort. Footprints of
things on the floor never come closer than :data:`GAP_M`; things on one top neither.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rft3d.scenes.rooms._furniture import build
from rft3d.scenes.rooms._parts import Furniture, Rect, apart

GAP_M = 0.05
"""Least distance between two footprints on the floor, metres."""

SUPPORTS: dict[str, tuple[str, ...]] = {
    "pillow": ("bed", "couch"),
    "monitor": ("desk", "table", "dresser"),
    "computer": ("desk", "table"),
    "microwave": ("table", "dresser", "desk", "stand"),
    "lamp": ("stand", "desk", "dresser", "table"),
    "backpack": ("bed", "couch", "table"),
}
ALONG_WALL = frozenset(
    ("cabinet", "couch", "desk", "stand", "bed", "bathtub", "dresser", "toilet", "refrigerator", "stove")
)
THEMES: dict[str, Mapping[str, float]] = {
    "bedroom": {
        "bed": 4, "dresser": 3, "stand": 4, "lamp": 3, "pillow": 5, "desk": 1, "cabinet": 1.5, "chair": 1,
        "ottoman": 2, "backpack": 2, "bin": 0.5,
    },
    "living": {
        "couch": 4, "table": 2, "ottoman": 4, "lamp": 3, "pillow": 3.5, "cabinet": 2, "chair": 1.5,
        "monitor": 0.5, "backpack": 1, "stand": 1.5, "dresser": 1,
    },
    "office": {
        "desk": 4, "chair": 3, "monitor": 4, "computer": 5, "bin": 3, "cabinet": 2, "backpack": 3, "lamp": 1,
        "table": 0.7,
    },
    "kitchen": {
        "refrigerator": 5, "stove": 5, "microwave": 5, "table": 3, "chair": 2.5, "bin": 1.5, "cabinet": 1,
    },
    "bathroom": {
        "bathtub": 6, "toilet": 6, "bin": 2, "cabinet": 1.5, "stand": 1, "lamp": 0.7, "dresser": 1,
        "ottoman": 0.7,
    },
    "mixed": {},
}  # fmt: skip
"""How likely a class is in a kind of room; an empty one takes all classes alike."""

MOST: dict[str, int] = {
    "chair": 3, "pillow": 3, "table": 2, "lamp": 2, "cabinet": 2, "stand": 2, "bin": 2, "monitor": 2, "ottoman": 2,
    "backpack": 2, "desk": 2,
}  # fmt: skip
"""How many things of a class a room gets (1 unless named) while other classes are left."""

WALL_YAW = (0.0, math.pi, math.pi / 2, -math.pi / 2)
"""Yaw of furniture whose back is to the wall x = x0, x1, y = y0, y1."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Furniture in the room. ``x, y``: centre of its box; ``z``: its underside (metres); ``yaw`` radians,
    the world direction of its front. ``support``: index of what it stands on, None for the floor."""

    thing: Furniture
    x: float
    y: float
    z: float
    yaw: float
    support: int | None = None

    def footprint(self) -> Rect:
        return Rect(self.x, self.y, *self.thing.half, math.cos(self.yaw), math.sin(self.yaw))


@dataclass(frozen=True, slots=True)
class RoomLayout:
    """A furnished rectangular room around the world's origin; floor at z = 0 (metres)."""

    half_x: float
    half_y: float
    height: float
    theme: str
    placed: tuple[Placed, ...]


def wrap(angle: float) -> float:
    """``angle`` in (-pi, pi]."""
    return math.pi - (math.pi - angle) % (2 * math.pi)


def choose_labels(rng: Random, labels: Sequence[str], count: int) -> tuple[str, list[str]]:
    """A theme and ``count`` class names; carriers come before what they carry."""
    allowed = set(labels)
    fitting = [name for name, weights in THEMES.items() if not weights or len(allowed & set(weights)) >= 3]
    theme = rng.choice(fitting)
    weights = THEMES[theme] or dict.fromkeys(labels, 1.0)
    pool = [name for name in labels if name in weights]
    chosen: list[str] = []
    while len(chosen) < count:
        free = [name for name in pool if chosen.count(name) < MOST.get(name, 1)]
        free = free or [name for name in labels if chosen.count(name) < MOST.get(name, 1)] or list(labels)
        name = rng.choices(free, [weights.get(k, 0.5) for k in free])[0]
        carriers = [k for k in SUPPORTS.get(name, ()) if k in allowed]
        if carriers and not any(k in chosen for k in carriers) and len(chosen) + 2 <= count:
            chosen.append(rng.choice(carriers[:2]))
        chosen.append(name)
    return theme, chosen


def furnish(rng: Random, labels: Sequence[str], count: int, grow: float = 0.0) -> RoomLayout:
    """A room with up to ``count`` things (fewer when the room is full).

    ``grow``: metres added to the room's sides; the caller raises it when too few things fitted.
    """
    theme, names = choose_labels(rng, labels, count)
    things = [build(name, rng) for name in names]
    areas = [t.half[0] * t.half[1] for t in things]
    side = math.sqrt(5.5 + 12.0 * sum(areas)) + rng.uniform(0.0, 0.8) + grow
    side = max(3.3 + grow, side)
    longer = rng.uniform(0.88, 1.14)  # a room's length over the side of the square with its area
    room = RoomLayout(side * longer / 2, side / longer / 2, rng.uniform(2.45, 2.8), theme, ())
    # Walls and big things first: what stands freely or on others finds a place later.
    order = sorted(range(len(things)), key=lambda k: (_stage(things[k]), -areas[k]))
    placed: list[Placed] = []
    for k in order:
        spot = _place(rng, room, things[k], placed)
        if spot is not None:
            placed.append(spot)
    return RoomLayout(room.half_x, room.half_y, room.height, theme, tuple(placed))


def _stage(thing: Furniture) -> int:
    if thing.label in ALONG_WALL:
        return 0
    if thing.label == "table":
        return 1
    return 3 if thing.label in SUPPORTS else 2


def _place(rng: Random, room: RoomLayout, thing: Furniture, placed: list[Placed]) -> Placed | None:
    """A free spot for ``thing``, or None after a fair number of tries."""
    carried = thing.label in SUPPORTS and not (thing.floor and (thing.label == "lamp" or rng.random() < 0.5))
    if carried:
        hosts = [k for k, p in enumerate(placed) if p.thing.label in SUPPORTS[thing.label] and p.thing.tops]
        rng.shuffle(hosts)
        for host in hosts:
            for _ in range(6):
                spot = _on_top(rng, thing, host, placed)
                if spot is not None:
                    return spot
    for _ in range(30):
        if thing.label in ALONG_WALL:
            spot = _at_wall(rng, room, thing)
        elif thing.label == "chair":
            spot = _at_table(rng, thing, placed) or _anywhere(rng, room, thing)
        elif thing.label == "lamp" or (thing.label in ("bin", "backpack", "computer") and rng.random() < 0.7):
            spot = _at_wall(rng, room, thing)
        else:
            spot = _anywhere(rng, room, thing)
        if spot is not None and _free(room, spot, placed):
            return spot
    return None


def _free(room: RoomLayout, spot: Placed, placed: list[Placed]) -> bool:
    area = spot.footprint()
    reach_x, reach_y = area.reach
    if abs(spot.x) + reach_x > room.half_x - 0.01 or abs(spot.y) + reach_y > room.half_y - 0.01:
        return False
    return all(p.support is not None or apart(area, p.footprint(), GAP_M) for p in placed)


def _at_wall(rng: Random, room: RoomLayout, thing: Furniture) -> Placed:
    """Back to a wall, front to the room."""
    wall = rng.randrange(4)
    yaw = WALL_YAW[wall] + (math.radians(rng.uniform(-4, 4)) if rng.random() < 0.4 else 0.0)
    reach_x, reach_y = (reach + 0.015 for reach in Placed(thing, 0.0, 0.0, 0.0, yaw).footprint().reach)
    off = rng.uniform(0.0, 0.06)
    along_x, along_y = room.half_x - reach_x, room.half_y - reach_y
    if wall < 2:
        x = (along_x - off) * (-1 if wall == 0 else 1)
        y = rng.uniform(-1, 1) * along_y
    else:
        x = rng.uniform(-1, 1) * along_x
        y = (along_y - off) * (-1 if wall == 2 else 1)
    return Placed(thing, x, y, 0.0, wrap(yaw))


def _anywhere(rng: Random, room: RoomLayout, thing: Furniture) -> Placed:
    square = rng.randrange(4) * math.pi / 2 + math.radians(rng.uniform(-12, 12))
    reach = 0.72  # free-standing things keep to the middle of the room
    x, y = rng.uniform(-reach, reach) * room.half_x, rng.uniform(-reach, reach) * room.half_y
    return Placed(thing, x, y, 0.0, wrap(square))


def _at_table(rng: Random, thing: Furniture, placed: list[Placed]) -> Placed | None:
    """Before a desk's front or at any side of a table, facing it."""
    hosts = [p for p in placed if p.thing.label in ("table", "desk")]
    if not hosts or rng.random() < 0.15:
        return None
    host = rng.choice(hosts)
    side = 0 if host.thing.label == "desk" else rng.randrange(4)
    direction = host.yaw + side * math.pi / 2
    depth, width = host.thing.half if side % 2 == 0 else host.thing.half[::-1]
    reach = depth + thing.half[0] + GAP_M + rng.uniform(0.02, 0.25)
    slide = rng.uniform(-0.5, 0.5) * max(0.0, width - thing.half[1])
    c, s = math.cos(direction), math.sin(direction)
    yaw = direction + math.pi + math.radians(rng.uniform(-12, 12))
    return Placed(thing, host.x + c * reach - s * slide, host.y + s * reach + c * slide, 0.0, wrap(yaw))


def _on_top(rng: Random, thing: Furniture, host: int, placed: list[Placed]) -> Placed | None:
    """On a top of ``placed[host]``, where it fits beside what is already there."""
    under = placed[host]
    top = rng.choice(under.thing.tops)
    turn = 0.0 if thing.label in ("monitor", "microwave") else math.radians(rng.uniform(-15, 15))
    reach_x, reach_y = Placed(thing, 0.0, 0.0, 0.0, turn).footprint().reach
    room_x, room_y = (top.x1 - top.x0) / 2 - reach_x, (top.y1 - top.y0) / 2 - reach_y
    if room_x < 0.0 or room_y < 0.0:
        return None
    # Pillows lie at the head of a bed and at the back of a couch; screens stand at the back of a desk.
    if thing.label in ("pillow", "monitor"):
        u = -room_x + rng.uniform(0.0, 0.06) if room_x > 0.06 else 0.0
    else:
        u = rng.uniform(-0.8, 0.8) * room_x
    v = rng.uniform(-0.95, 0.95) * room_y
    mid_x = (under.thing.low[0] + under.thing.high[0]) / 2
    mid_y = (under.thing.low[1] + under.thing.high[1]) / 2
    u += (top.x0 + top.x1) / 2 - mid_x
    v += (top.y0 + top.y1) / 2 - mid_y
    cos, sin = math.cos(under.yaw), math.sin(under.yaw)
    x, y = under.x + cos * u - sin * v, under.y + sin * u + cos * v
    z = top.z - under.thing.low[2] + 0.003
    spot = Placed(thing, x, y, z, wrap(under.yaw + turn), host)
    area = spot.footprint()
    if all(p.support != host or apart(area, p.footprint(), 0.02) for p in placed):
        return spot
    return None
