"""Furniture made of parts: seats, beds, tables and storage (the appliances are next door).

A builder takes a random generator, a scale, a colour and its shade, and returns parts: x front, z up, metres.
Sizes and colours are typical of the class, so that shape and colour together tell what a thing is.
"""

from collections.abc import Callable, Sequence
from random import Random

from rft3d.files import excerpt
from rft3d.scenes.rooms import _appliances as appliances
from rft3d.scenes.rooms._parts import (
    DARK,
    FABRIC,
    METAL,
    PANEL,
    PLAID,
    RGB,
    STRIPES,
    WOOD,
    Built,
    Furniture,
    Solid,
    Top,
    bounds,
    cuboid,
    cylinder,
    ellipsoid,
    paint,
    shade,
)

Builder = Callable[[Random, float, str, RGB], Built]


def four_legs(dx: float, dy: float, height: float, thick: float, inset: float, rgb: RGB) -> list[Solid]:
    """Legs under the corners of a ``dx`` by ``dy`` metre top whose underside is at ``height``."""
    x, y = dx / 2 - inset - thick / 2, dy / 2 - inset - thick / 2
    size = (thick, thick, height)
    return [cuboid((sx * x, sy * y, height / 2), size, rgb) for sx in (-1, 1) for sy in (-1, 1)]


def chair(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    w, seat, back = 0.46 * s, 0.45 * rng.uniform(0.95, 1.08), 0.45 * s
    top = (0.0, 0.0, seat - 0.025)
    parts = [cuboid(top, (w, w, 0.05), rgb, FABRIC, 1.0)]
    parts.append(cuboid((-w / 2 + 0.01, 0, seat + back / 2 + 0.03), (0.04, w * 0.94, back), rgb, tilt=-0.1))
    if rng.random() < 0.35:  # an office chair: column and star foot
        parts.append(cylinder((0, 0, seat / 2 - 0.01), (0.07, 0.07, seat - 0.1), METAL))
        parts += [cuboid((0, 0, 0.04), (w, 0.06, 0.05), DARK), cuboid((0, 0, 0.04), (0.06, w, 0.05), DARK)]
        for side in (-1, 1):
            parts.append(cuboid((0, side * w * 0.48, seat + 0.17), (0.26 * s, 0.045, 0.035), DARK))
            parts.append(cuboid((0, side * w * 0.48, seat + 0.08), (0.04, 0.035, 0.17), DARK))
    else:
        leg = shade(rgb, 0.55) if name != "black" else METAL
        parts += four_legs(w, w, seat - 0.05, 0.042, 0.0, leg)
    return Built(parts)


def ottoman(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    w, h = 0.55 * s, 0.42 * rng.uniform(0.92, 1.08)
    d = w * rng.uniform(0.85, 1.1)
    if rng.random() < 0.5:
        parts = [cylinder((0, 0, h / 2 + 0.02), (w, w, h - 0.1), rgb, texture=STRIPES, a=9.0)]
        parts.append(cylinder((0, 0, h - 0.04), (w * 1.03, w * 1.03, 0.08), shade(rgb, 1.12)))
        parts.append(cylinder((0, 0, 0.035), (w * 0.8, w * 0.8, 0.07), DARK))
    else:
        parts = [cuboid((0, 0, h / 2 - 0.01), (d, w, h - 0.16), rgb, FABRIC, 1.0)]
        parts.append(cuboid((0, 0, h - 0.05), (d * 1.03, w * 1.03, 0.1), shade(rgb, 1.12), FABRIC, 1.0))
        parts += four_legs(d, w, 0.08, 0.05, 0.03, DARK)
    return Built(parts)


def couch(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    w, d, h, seat = rng.uniform(1.65, 2.0) * s, 0.88 * s, 0.8 * rng.uniform(0.95, 1.08), 0.43
    arm = 0.17 * s
    light = shade(rgb, 1.12)
    parts = [cuboid((0, 0, 0.06 + (seat - 0.2) / 2), (d, w, seat - 0.2), rgb, FABRIC, 1.0)]
    parts.append(cuboid((-d / 2 + 0.11, 0, h / 2 + 0.03), (0.22, w, h - 0.06), rgb, FABRIC, 1.0))
    for side in (-1, 1):
        centre = (0, side * (w - arm) / 2, 0.06 + 0.28)
        parts.append(cuboid(centre, (d, arm, 0.56), shade(rgb, 0.94), FABRIC, 1.0))
    inner, count = w - 2 * arm, 3 if w > 1.9 else 2
    for k in range(count):
        y = -inner / 2 + inner * (k + 0.5) / count
        size = (d - 0.23, inner / count - 0.012, 0.15)
        parts.append(cuboid((0.115, y, seat - 0.075), size, light, FABRIC, 1.0))
    parts += four_legs(d, w, 0.07, 0.06, 0.04, DARK)
    tops = (Top(-d / 2 + 0.23, d / 2, -inner / 2, inner / 2, seat),)
    return Built(parts, tops)


def bed(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    _, wood = paint(rng, "brown", "beige")
    length, w, mattress = 2.0 * min(s, 1.08), rng.uniform(1.0, 1.65) * s, 0.5 * rng.uniform(0.92, 1.08)
    parts = [cuboid((0, 0, 0.17), (length, w, 0.2), wood, WOOD, 1.0)]
    parts.append(cuboid((0, 0, mattress - 0.12), (length - 0.06, w - 0.06, 0.22), (0.93, 0.92, 0.89)))
    cover, cloth = length * rng.uniform(0.58, 0.7), rng.choice((PLAID, STRIPES, FABRIC))
    x = length / 2 - cover / 2 + 0.005
    parts.append(cuboid((x, 0, mattress - 0.1), (cover, w + 0.02, 0.23), rgb, cloth, rng.uniform(4, 7), 5.0))
    head = (-length / 2 - 0.03, 0, 0.48 * s)
    parts.append(cuboid(head, (0.06, w + 0.04, 0.96 * s), shade(wood, 0.9), WOOD, 2.0))
    parts += four_legs(length, w, 0.08, 0.08, 0.02, shade(wood, 0.7))
    tops = (Top(-length / 2 + 0.03, length / 2, -w / 2 + 0.05, w / 2 - 0.05, mattress + 0.016),)
    return Built(parts, tops)


def pillow(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.42 * s, 0.6 * s * rng.uniform(0.9, 1.08), 0.19 * s
    cloth = STRIPES if rng.random() < 0.4 else FABRIC
    parts = [ellipsoid((0, 0, h / 2), (d, w, h), rgb, cloth, 9.0)]
    parts.append(cuboid((0, 0, h / 2), (d * 0.94, w * 0.94, h * 0.1), shade(rgb, 0.92)))
    parts.append(ellipsoid((0, 0, h / 2), (d * 0.98, w * 0.8, h * 0.92), rgb, cloth, 9.0))
    parts.append(ellipsoid((0, 0, h / 2), (d * 0.8, w * 0.98, h * 0.92), rgb, cloth, 9.0))
    return Built(parts, floor=False)


def table(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    h = 0.74 * rng.uniform(0.96, 1.03)
    leg = shade(rgb, 0.72)
    if rng.random() < 0.35:  # round, on one column
        w = rng.uniform(0.85, 1.1) * s
        parts = [cylinder((0, 0, h - 0.02), (w, w, 0.04), rgb, texture=WOOD, a=1.0)]
        parts.append(cylinder((0, 0, h / 2), (0.1, 0.1, h - 0.05), leg))
        parts.append(cylinder((0, 0, 0.02), (w * 0.55, w * 0.55, 0.04), leg))
        reach = w * 0.34
        tops = (Top(-reach, reach, -reach, reach, h),)
    else:
        d, w = rng.uniform(0.72, 0.9) * s, rng.uniform(1.1, 1.55) * s
        parts = [cuboid((0, 0, h - 0.02), (d, w, 0.04), rgb, WOOD, 1.0)]
        parts.append(cuboid((0, 0, h - 0.07), (d - 0.14, w - 0.14, 0.07), leg))
        parts += four_legs(d, w, h - 0.04, 0.06, 0.03, leg)
        tops = (Top(-d / 2, d / 2, -w / 2, w / 2, h),)
    return Built(parts, tops)


def desk(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.66 * s, rng.uniform(1.15, 1.45) * s, 0.74 * rng.uniform(0.97, 1.03)
    side = shade(rgb, 0.85)
    parts = [cuboid((0, 0, h - 0.018), (d, w, 0.036), rgb, WOOD, 3.0)]
    flip = rng.choice((-1, 1))
    drawers = (0, flip * (w / 2 - 0.21), h / 2 - 0.018)
    parts.append(cuboid(drawers, (d - 0.06, 0.4, h - 0.037), side, PANEL, 3.0, 1.0))
    parts.append(cuboid((0, -flip * (w / 2 - 0.025), h / 2 - 0.018), (d - 0.04, 0.04, h - 0.037), side))
    parts.append(cuboid((-d / 2 + 0.04, 0, h * 0.62), (0.03, w - 0.1, h * 0.5), shade(rgb, 0.75)))
    return Built(parts, (Top(-d / 2, d / 2, -w / 2, w / 2, h),))


def stand(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.4 * s, rng.uniform(0.42, 0.56) * s, 0.55 * s
    side = shade(rgb, 0.88)
    parts = [cuboid((0, 0, h - 0.015), (d, w, 0.03), rgb, WOOD, 1.0)]
    for sign in (-1, 1):
        parts.append(cuboid((0, sign * (w / 2 - 0.015), h / 2 - 0.015), (d, 0.03, h - 0.03), side))
    parts.append(cuboid((0, 0, 0.1), (d - 0.01, w - 0.06, 0.03), side, WOOD, 1.0))
    parts.append(cuboid((-d / 2 + 0.01, 0, h / 2), (0.02, w - 0.06, h - 0.1), shade(rgb, 0.6)))
    parts.append(cuboid((0.0, 0, h - 0.11), (d - 0.01, w - 0.06, 0.15), shade(rgb, 1.05), PANEL, 1.9, 1.0))
    return Built(parts, (Top(-d / 2, d / 2, -w / 2, w / 2, h),))


def dresser(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.48 * s, rng.uniform(1.0, 1.4) * s, 0.85 * s
    parts = [cuboid((0, 0, h / 2 + 0.02), (d - 0.02, w - 0.03, h - 0.1), rgb, PANEL, 3.0, 2.0)]
    parts.append(cuboid((0, 0, h - 0.015), (d, w, 0.03), shade(rgb, 1.08), WOOD, 1.0))
    parts += four_legs(d, w, 0.08, 0.06, 0.02, shade(rgb, 0.55))
    return Built(parts, (Top(-d / 2, d / 2, -w / 2, w / 2, h),))


def cabinet(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.44 * s, rng.uniform(0.75, 1.15) * s, rng.uniform(1.35, 1.85) * s
    h = min(h, 2.1)
    parts = [cuboid((0, 0, h / 2 + 0.02), (d - 0.03, w - 0.03, h - 0.12), rgb, PANEL, 1.0, 2.0)]
    parts.append(cuboid((0, 0, h - 0.02), (d, w, 0.04), shade(rgb, 0.82), WOOD, 1.0))
    parts.append(cuboid((-0.02, 0, 0.04), (d - 0.06, w - 0.05, 0.08), shade(rgb, 0.5)))
    if rng.random() < 0.5:  # doors below, drawers in the middle
        middle = (0.01, 0, h * 0.45)
        parts.append(cuboid(middle, (d - 0.03, w - 0.04, 0.22), shade(rgb, 0.9), PANEL, 1.9, 2.0))
    return Built(parts)


def backpack(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.18 * s, 0.33 * s, 0.46 * s
    parts = [cuboid((0, 0, h * 0.42), (d, w, h * 0.84), rgb, FABRIC, 1.0)]
    parts.append(ellipsoid((0, 0, h * 0.8), (d, w, h * 0.4), rgb))
    pocket = (d * 0.68, 0, h * 0.27)
    parts.append(cuboid(pocket, (d * 0.5, w * 0.78, h * 0.42), shade(rgb, 0.75), FABRIC, 1.0))
    for side in (-1, 1):
        parts.append(cuboid((-d * 0.6, side * w * 0.28, h * 0.5), (d * 0.22, w * 0.14, h * 0.72), DARK))
    return Built(parts)


BUILDERS: dict[str, tuple[Builder, tuple[str, ...]]] = {
    "chair": (chair, ("red", "orange", "yellow", "green", "blue", "brown", "black", "brown")),
    "pillow": (pillow, ("white", "yellow", "red", "blue", "orange", "pink")),
    "cabinet": (cabinet, ("brown", "white", "grey", "beige", "blue")),
    "table": (table, ("brown", "beige", "white", "brown")),
    "lamp": (appliances.lamp, ("yellow", "orange", "white", "yellow", "pink")),
    "couch": (couch, ("grey", "blue", "green", "red", "beige", "grey")),
    "desk": (desk, ("white", "grey", "beige", "black")),
    "stand": (stand, ("brown", "white", "red", "black")),
    "bed": (bed, ("blue", "red", "purple", "green", "pink", "grey")),
    "backpack": (backpack, ("red", "orange", "blue", "green", "purple", "yellow")),
    "bathtub": (appliances.bathtub, ("white", "white", "beige", "pink")),
    "ottoman": (ottoman, ("pink", "purple", "orange", "yellow", "green")),
    "dresser": (dresser, ("brown", "beige", "white", "green")),
    "bin": (appliances.bin_, ("green", "grey", "blue", "black", "red", "green")),
    "toilet": (appliances.toilet, ("white", "white", "white", "beige", "pink")),
    "refrigerator": (appliances.refrigerator, ("white", "grey", "grey", "white", "red", "black")),
    "stove": (appliances.stove, ("white", "grey", "black", "grey")),
    "microwave": (appliances.microwave, ("white", "grey", "black", "red")),
    "monitor": (appliances.monitor, ("black", "black", "grey", "white")),
    "computer": (appliances.computer, ("black", "grey", "white", "black")),
}
"""A builder and colours (one twice is likelier) a class of :data:`rft3d.scenes.types.CATE20`, in its order."""


def build(label: str, rng: Random) -> Furniture:
    """A new thing of class ``label``. Raises ``ValueError`` for a class that has no builder."""
    if label not in BUILDERS:
        raise ValueError(f"label must be one of {', '.join(BUILDERS)}, got {label!r}")
    builder, colours = BUILDERS[label]
    scale = rng.uniform(0.87, 1.15)
    word = "large" if scale > 1.06 else "small" if scale < 0.95 else "medium"
    colour, rgb = paint(rng, *colours)
    made = builder(rng, scale, colour, rgb)
    return Furniture(label, tuple(made.parts), colour, rgb, word, *bounds(made.parts), made.tops, made.floor)


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """``labels`` as a tuple, or ``ValueError`` on unknown, repeated or no names."""
    unknown = [name for name in labels if name not in BUILDERS]
    if unknown:
        raise ValueError(f"RoomConfig.labels: unknown {excerpt(unknown)}; known: {', '.join(BUILDERS)}")
    if not labels or len(set(labels)) != len(labels):
        raise ValueError(f"RoomConfig.labels must be distinct and at least one, got {excerpt(labels)}")
    return tuple(labels)
