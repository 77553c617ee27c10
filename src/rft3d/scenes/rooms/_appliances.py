"""Furniture made of parts, continued: lamps, bathroom, kitchen and office machines.

Same convention as :mod:`rft3d.scenes.rooms._furniture`: x front, z up, metres.
"""

from random import Random

from rft3d.scenes.rooms._parts import (
    DARK,
    FABRIC,
    METAL,
    PANEL,
    RGB,
    SCREEN,
    Built,
    cuboid,
    cylinder,
    ellipsoid,
    shade,
)


def lamp(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    if rng.random() < 0.5:  # on the floor
        h, w, standing = rng.uniform(1.35, 1.6) * s, 0.42 * s, True
        parts = [cylinder((0, 0, 0.015), (0.3 * s, 0.3 * s, 0.03), DARK)]
        parts.append(cylinder((0, 0, h / 2), (0.035, 0.035, h - 0.1), DARK))
        parts.append(cylinder((0, 0, h - 0.16), (w, w, 0.32), rgb, 1.0, 0.6, glow=0.75))
    else:
        h, w, standing = rng.uniform(0.42, 0.56) * s, 0.3 * s, False
        body = rng.choice((METAL, DARK, (0.75, 0.72, 0.65)))
        parts = [cylinder((0, 0, 0.012), (0.16 * s, 0.16 * s, 0.024), body)]
        parts.append(ellipsoid((0, 0, h * 0.3), (0.13 * s, 0.13 * s, h * 0.5), body))
        parts.append(cylinder((0, 0, h * 0.78), (w, w, h * 0.44), rgb, 1.0, 0.6, glow=0.75))
    return Built(parts, floor=standing)


def bathtub(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h, rim = 0.74 * s, 1.6 * s, 0.56 * rng.uniform(0.95, 1.08), 0.08
    parts = [cuboid((0, 0, 0.1), (d - 0.02, w - 0.02, 0.2), shade(rgb, 0.9))]
    water = (0.62, 0.80, 0.86) if rng.random() < 0.6 else shade(rgb, 0.97)
    parts.append(cuboid((0, 0, 0.25), (d - 2 * rim, w - 2 * rim, 0.1), water))
    for side in (-1, 1):
        parts.append(cuboid((side * (d - rim) / 2, 0, h / 2), (rim, w, h), rgb))
        parts.append(cuboid((0, side * (w - rim) / 2, h / 2), (d - 2 * rim, rim, h), rgb))
    parts.append(cylinder((0, w / 2 - rim / 2, h + 0.07), (0.05, 0.05, 0.14), METAL))
    parts.append(cuboid((0, w / 2 - rim / 2 - 0.06, h + 0.13), (0.04, 0.16, 0.03), METAL))
    return Built(parts)


def toilet(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    seat = 0.42 * s
    lid = rng.choice(((0.93, 0.93, 0.9), (0.35, 0.22, 0.13), DARK))
    parts = [cylinder((0.1, 0, seat / 2), (0.4 * s, 0.36 * s, seat), rgb, 0.6, 1.0)]
    parts.append(cylinder((0.1, 0, seat + 0.015), (0.46 * s, 0.38 * s, 0.03), lid))
    parts.append(cuboid((-0.18 * s, 0, seat / 2 - 0.01), (0.22 * s, 0.24 * s, seat - 0.02), rgb))
    parts.append(cuboid((-0.22 * s, 0, seat + 0.17), (0.18 * s, 0.44 * s, 0.34), rgb))
    parts.append(cuboid((-0.22 * s, 0, seat + 0.355), (0.2 * s, 0.47 * s, 0.03), shade(rgb, 0.92)))
    parts.append(cylinder((-0.22 * s, 0, seat + 0.378), (0.06, 0.06, 0.016), METAL))
    return Built(parts)


def refrigerator(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.66 * s, 0.7 * s * rng.uniform(0.92, 1.15), min(2.05, 1.72 * s)
    split = h * rng.choice((0.36, 0.66))
    parts = [cuboid((-0.03, 0, h / 2), (d - 0.06, w, h), shade(rgb, 0.85))]
    parts.append(cuboid((d / 2 - 0.03, 0, (0.05 + split) / 2), (0.06, w, split - 0.06), rgb))
    parts.append(cuboid((d / 2 - 0.03, 0, (split + h) / 2), (0.06, w, h - split - 0.02), rgb))
    y = rng.choice((-1, 1)) * (w / 2 - 0.07)
    grip = METAL if name != "grey" else DARK
    parts.append(cuboid((d / 2 + 0.02, y, split - 0.2), (0.04, 0.035, 0.28), grip))
    parts.append(cuboid((d / 2 + 0.02, y, split + 0.2), (0.04, 0.035, 0.28), grip))
    return Built(parts)


def stove(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.62 * s, 0.66 * s, 0.9 * rng.uniform(0.97, 1.03)
    parts = [cuboid((0, 0, h / 2), (d, w, h), rgb)]
    parts.append(cuboid((d / 2 + 0.006, 0, h * 0.42), (0.012, w * 0.8, h * 0.42), (0.05, 0.05, 0.06)))
    parts.append(cuboid((d / 2 + 0.03, 0, h * 0.7), (0.05, w * 0.8, 0.03), METAL))
    parts.append(cuboid((0, 0, h + 0.006), (d, w, 0.012), (0.07, 0.07, 0.08)))
    for sx in (-1, 1):
        for sy in (-1, 1):
            hot = (0.75, 0.22, 0.10) if rng.random() < 0.3 else (0.36, 0.36, 0.38)
            centre = (sx * d * 0.22, sy * w * 0.24, h + 0.018)
            parts.append(cylinder(centre, (0.19 * s, 0.19 * s, 0.014), hot))
    parts.append(cuboid((-d / 2 + 0.03, 0, h + 0.1), (0.06, w, 0.18), shade(rgb, 0.9)))
    return Built(parts)


def microwave(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    d, w, h = 0.36 * s, 0.5 * s, 0.29 * s
    parts = [
        cuboid((0, 0, h / 2 + 0.01), (d, w, h - 0.02), rgb),
        cuboid((d / 2 + 0.005, w * 0.12, h / 2 + 0.01), (0.01, w * 0.66, h * 0.72), (0.06, 0.07, 0.08)),
        cuboid((d / 2 + 0.005, -w * 0.38, h / 2 + 0.01), (0.01, w * 0.17, h * 0.76), (0.25, 0.3, 0.33)),
        cuboid((d / 2 + 0.02, -w * 0.25, h / 2 + 0.01), (0.02, 0.02, h * 0.66), METAL),
        cuboid((0, 0, 0.006), (d * 0.8, w * 0.8, 0.012), DARK),
    ]
    return Built(parts, floor=False)


def monitor(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    w, h, lift = 0.58 * s, 0.36 * s, 0.13
    z = lift + h / 2
    parts = [cuboid((0, 0, z), (0.035, w, h), rgb)]
    hue = rng.uniform(0.0, 3.0)
    glass = (0.022, 0.0, z)
    parts.append(cuboid(glass, (0.01, w - 0.04, h - 0.04), (0.25, 0.5, 0.8), SCREEN, hue, glow=0.7))
    parts.append(cuboid((-0.03, 0, lift * 0.8), (0.025, 0.07, lift * 1.4), rgb))
    parts.append(cuboid((0, 0, 0.01), (0.19 * s, 0.26 * s, 0.02), rgb))
    return Built(parts, floor=False)


def computer(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    if rng.random() < 0.6:  # a tower
        d, w, h = 0.44 * s, 0.2 * s, 0.44 * s
        parts = [cuboid((0, 0, h / 2), (d, w, h), rgb)]
        parts.append(cuboid((d / 2 + 0.006, 0, h * 0.55), (0.012, w * 0.86, h * 0.8), shade(rgb, 0.55)))
        parts.append(cuboid((d / 2 + 0.014, 0, h * 0.85), (0.008, w * 0.7, 0.03), METAL))
        light = (d / 2 + 0.014, 0, h * 0.45)
        parts.append(cuboid(light, (0.008, w * 0.22, 0.05), (0.2, 0.75, 0.95), glow=0.8))
        return Built(parts)
    d, w = 0.25 * s, 0.36 * s
    parts = [cuboid((0, 0, 0.012), (d, w, 0.024), rgb)]
    parts.append(cuboid((-0.02, 0, 0.0255), (d * 0.5, w * 0.86, 0.003), shade(rgb, 0.4), PANEL, 1.9, 9.0))
    x, z = -d / 2 - 0.03, 0.024 + d * 0.46
    parts.append(cuboid((x, 0, z), (0.014, w, d * 0.94), rgb, tilt=-0.26))
    inner = (x + 0.009, 0.0, z + 0.003)
    size, hue = (0.006, w - 0.03, d * 0.84), rng.uniform(0.0, 3.0)
    parts.append(cuboid(inner, size, (0.3, 0.55, 0.8), SCREEN, hue, glow=0.7, tilt=-0.26))
    return Built(parts, floor=False)


def bin_(rng: Random, s: float, name: str, rgb: RGB) -> Built:
    h, w = rng.uniform(0.36, 0.6) * s, rng.uniform(0.28, 0.36) * s
    if rng.random() < 0.6:
        parts = [cylinder((0, 0, h / 2), (w, w, h), rgb, 0.75, 1.0)]
        parts.append(cylinder((0, 0, h + 0.008), (w * 0.9, w * 0.9, 0.016), (0.05, 0.05, 0.05)))
        parts.append(cylinder((0, 0, h * 0.94), (w * 1.04, w * 1.04, 0.03), shade(rgb, 0.8)))
    else:
        parts = [cuboid((0, 0, h / 2), (w, w * 1.1, h), rgb, FABRIC, 0.0)]
        parts.append(cuboid((0, 0, h + 0.02), (w * 1.05, w * 1.15, 0.04), shade(rgb, 0.7)))
        parts.append(cuboid((w / 2 + 0.02, 0, 0.03), (0.06, 0.1, 0.02), METAL))
    return Built(parts)
