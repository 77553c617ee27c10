"""What furniture is built of: coloured, textured solids in the furniture's own frame, and the paint box.

Furniture frame: x towards the front, y to its left, z up, metres. A part is a cuboid, a (tapered) cylinder
standing on its end, or an ellipsoid.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

RGB = tuple[float, float, float]

CUBOID, CYLINDER, ELLIPSOID = 0, 1, 2
PLAIN, WOOD, FABRIC, STRIPES, PANEL, SCREEN, PLAID = range(7)


class Solid(NamedTuple):
    """One solid. ``half`` sizes in metres; ``tilt`` turns a cuboid about y (radians, top towards +x).

    ``bottom``/``top`` are a cylinder's relative radii (the larger one is 1, so that its bounds are exact).
    ``a`` and ``b`` are the texture's parameters; ``glow`` in [0, 1] is light of its own.
    """

    shape: int
    x: float
    y: float
    z: float
    half_x: float
    half_y: float
    half_z: float
    tilt: float
    bottom: float
    top: float
    red: float
    green: float
    blue: float
    texture: int
    a: float
    b: float
    glow: float


Vec = tuple[float, float, float]


def cuboid(
    centre: Vec,
    size: Vec,
    rgb: RGB,
    texture: int = PLAIN,
    a: float = 0.0,
    b: float = 0.0,
    glow: float = 0.0,
    tilt: float = 0.0,
) -> Solid:
    """A cuboid of full ``size`` metres."""
    half = (size[0] / 2, size[1] / 2, size[2] / 2)
    return Solid(CUBOID, *centre, *half, tilt, 1.0, 1.0, *rgb, texture, a, b, glow)


def cylinder(
    centre: Vec,
    size: Vec,
    rgb: RGB,
    bottom: float = 1.0,
    top: float = 1.0,
    texture: int = PLAIN,
    a: float = 0.0,
    glow: float = 0.0,
) -> Solid:
    """An upright cylinder or cone stump inside ``size`` metres; radii relative (the larger becomes 1)."""
    widest = max(bottom, top)
    half = (size[0] / 2, size[1] / 2, size[2] / 2)
    return Solid(CYLINDER, *centre, *half, 0.0, bottom / widest, top / widest, *rgb, texture, a, 0.0, glow)


def ellipsoid(centre: Vec, size: Vec, rgb: RGB, texture: int = PLAIN, a: float = 0.0) -> Solid:
    """An ellipsoid inside ``size`` metres."""
    half = (size[0] / 2, size[1] / 2, size[2] / 2)
    return Solid(ELLIPSOID, *centre, *half, 0.0, 1.0, 1.0, *rgb, texture, a, 0.0, 0.0)


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
    low = [math.inf] * 3
    high = [-math.inf] * 3
    for part in parts:
        hx, hy, hz = part.half_x, part.half_y, part.half_z
        if part.tilt:
            c, s = abs(math.cos(part.tilt)), abs(math.sin(part.tilt))
            hx, hz = c * hx + s * hz, s * hx + c * hz
        low = [min(low[0], part.x - hx), min(low[1], part.y - hy), min(low[2], part.z - hz)]
        high = [max(high[0], part.x + hx), max(high[1], part.y + hy), max(high[2], part.z + hz)]
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


def size_scale(rng: Random) -> tuple[str, float]:
    """A word and the scale that it stands for: the same for all sizes of one thing."""
    scale = rng.uniform(0.87, 1.15)
    return "large" if scale > 1.06 else "small" if scale < 0.95 else "medium", scale
