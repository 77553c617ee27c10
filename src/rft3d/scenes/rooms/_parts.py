"""The small geometry of rooms: solids that furniture is built of, rectangles on the floor, and the paint box.

Furniture frame: x towards the front, y to its left, z up, metres. A part is a cuboid, a (tapered) cylinder
standing on its end, or an ellipsoid. Rectangles are in plain Python: placement asks thousands of tiny questions,
and for one pair at a time floats are faster than arrays.
"""

import math
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, NamedTuple

RGB = tuple[float, float, float]
Vec = tuple[float, float, float]

CUBOID, CYLINDER, ELLIPSOID = 0, 1, 2
PLAIN, WOOD, FABRIC, STRIPES, PANEL, SCREEN, PLAID = range(7)


class Solid(NamedTuple):
    """One solid of full ``size`` metres. ``tilt`` turns a cuboid about y (radians, top towards +x).

    ``a`` and ``b`` are the texture's parameters; ``glow`` in [0, 1] is light of its own. ``bottom``/``top`` are
    a cylinder's relative radii (the larger one is 1, so that its bounds are exact).
    """

    shape: int
    centre: Vec
    size: Vec
    rgb: RGB
    texture: int = PLAIN
    a: float = 0.0
    b: float = 0.0
    glow: float = 0.0
    tilt: float = 0.0
    bottom: float = 1.0
    top: float = 1.0


cuboid = partial(Solid, CUBOID)
ellipsoid = partial(Solid, ELLIPSOID)


def cylinder(centre: Vec, size: Vec, rgb: RGB, bottom: float = 1.0, top: float = 1.0, **look: Any) -> Solid:
    """An upright cylinder or cone stump inside ``size`` metres; radii relative (the larger becomes 1)."""
    widest = max(bottom, top)
    return Solid(CYLINDER, centre, size, rgb, bottom=bottom / widest, top=top / widest, **look)


class Top(NamedTuple):
    """A horizontal rectangle of the furniture frame on which small things can stand (metres)."""

    x0: float
    x1: float
    y0: float
    y1: float
    z: float


class Built(NamedTuple):
    """What a builder makes: parts, tops, and whether the thing stands on the floor by nature."""

    parts: list[Solid]
    tops: tuple[Top, ...] = ()
    floor: bool = True


@dataclass(frozen=True, slots=True)
class Furniture:
    """A built thing in its own frame, not yet placed.

    ``low``/``high``: tight bounds of the parts. ``floor``: whether it stands on the floor by nature
    (a floor lamp), as opposed to on other furniture.
    """

    label: str
    parts: tuple[Solid, ...]
    colour: str
    rgb: RGB
    size: str
    low: Vec
    high: Vec
    tops: tuple[Top, ...] = ()
    floor: bool = True

    @property
    def half(self) -> tuple[float, float]:
        """Half depth (x) and half width (y), metres."""
        return (self.high[0] - self.low[0]) / 2, (self.high[1] - self.low[1]) / 2

    @property
    def height(self) -> float:
        return self.high[2] - self.low[2]


def bounds(parts: list[Solid]) -> tuple[Vec, Vec]:
    """Tight axis-aligned bounds of ``parts`` in the furniture frame, metres."""
    low, high = [math.inf] * 3, [-math.inf] * 3
    for part in parts:
        (x, y, z), (hx, hy, hz) = part.centre, (side / 2 for side in part.size)
        if part.tilt:
            c, s = abs(math.cos(part.tilt)), abs(math.sin(part.tilt))
            hx, hz = c * hx + s * hz, s * hx + c * hz
        low = [min(low[0], x - hx), min(low[1], y - hy), min(low[2], z - hz)]
        high = [max(high[0], x + hx), max(high[1], y + hy), max(high[2], z + hz)]
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


PALETTE: dict[str, RGB] = {
    "red": (0.74, 0.16, 0.15), "orange": (0.88, 0.47, 0.14), "yellow": (0.90, 0.76, 0.22),
    "green": (0.25, 0.52, 0.28), "blue": (0.18, 0.34, 0.66), "purple": (0.46, 0.27, 0.56),
    "pink": (0.88, 0.56, 0.64), "brown": (0.47, 0.29, 0.17), "beige": (0.82, 0.71, 0.54),
    "white": (0.93, 0.93, 0.91), "grey": (0.55, 0.56, 0.58), "black": (0.13, 0.13, 0.14),
}  # fmt: skip


def paint(rng: Random, *names: str) -> tuple[str, RGB]:
    """One of the named colours (repeat a name to favour it), slightly varied."""
    name = rng.choice(names)
    value = rng.uniform(0.9, 1.08)
    red, green, blue = (min(1.0, max(0.03, c * value + rng.uniform(-0.025, 0.025))) for c in PALETTE[name])
    return name, (red, green, blue)


def shade(rgb: RGB, factor: float) -> RGB:
    """``rgb`` made darker (factor < 1) or lighter, clipped to [0, 1]."""
    return min(1.0, rgb[0] * factor), min(1.0, rgb[1] * factor), min(1.0, rgb[2] * factor)


METAL: RGB = (0.62, 0.63, 0.65)
DARK: RGB = (0.10, 0.10, 0.11)


class Rect(NamedTuple):
    """A rectangle: centre, half sizes along its own axes, cosine and sine of its yaw (metres)."""

    x: float
    y: float
    hx: float
    hy: float
    c: float
    s: float

    @property
    def reach(self) -> tuple[float, float]:
        """Half extents along the world's x and y."""
        c, s = abs(self.c), abs(self.s)
        return c * self.hx + s * self.hy, s * self.hx + c * self.hy

    def corners(self) -> list[tuple[float, float]]:
        """The four corners, counter-clockwise."""
        ax, ay, bx, by = self.c * self.hx, self.s * self.hx, -self.s * self.hy, self.c * self.hy
        return [
            (self.x + ax + bx, self.y + ay + by),
            (self.x - ax + bx, self.y - ay + by),
            (self.x - ax - bx, self.y - ay - by),
            (self.x + ax - bx, self.y + ay - by),
        ]

    def distance(self, x: float, y: float) -> float:
        """Metres from a point to the solid rectangle; 0 inside."""
        dx, dy = x - self.x, y - self.y
        u = abs(self.c * dx + self.s * dy) - self.hx
        v = abs(self.c * dy - self.s * dx) - self.hy
        return math.hypot(max(u, 0.0), max(v, 0.0))


def apart(a: Rect, b: Rect, margin: float) -> bool:
    """Whether a separating axis leaves at least ``margin`` metres between the rectangles."""
    dx, dy = b.x - a.x, b.y - a.y
    far = math.hypot(a.hx, a.hy) + math.hypot(b.hx, b.hy) + margin
    if dx * dx + dy * dy > far * far:
        return True
    cc = abs(a.c * b.c + a.s * b.s)
    ss = abs(a.c * b.s - a.s * b.c)
    return (
        abs(a.c * dx + a.s * dy) > a.hx + b.hx * cc + b.hy * ss + margin
        or abs(a.c * dy - a.s * dx) > a.hy + b.hx * ss + b.hy * cc + margin
        or abs(b.c * dx + b.s * dy) > b.hx + a.hx * cc + a.hy * ss + margin
        or abs(b.c * dy - b.s * dx) > b.hy + a.hx * ss + a.hy * cc + margin
    )


def gap(a: Rect, b: Rect) -> float:
    """Smallest distance between two rectangles, metres; 0 when they overlap."""
    if not apart(a, b, 0.0):
        return 0.0
    # The closest pair of two disjoint convex polygons always includes a vertex of one of them.
    return min(min(b.distance(x, y) for x, y in a.corners()), min(a.distance(x, y) for x, y in b.corners()))
