"""A slow, exact, independent IoU of oriented boxes, to test the fast ones against.

The classical scheme: the faces of each solid, clipped to the other one, bound the intersection; its volume is
a third of the sum of (plane offset x area). A face shared by both solids must count once, which is safe here
only because the arithmetic is exact: ``fractions.Fraction`` for rational (Pythagorean) rotations, where
coplanarity needs no tolerance at all, or mpmath with 60 digits for arbitrary float64 angles.

Nothing here is shared with ``rft3d.geometry``: no numpy, another algorithm, another rotation formula.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath

Number = Any  # Fraction or mpmath.mpf: only + - * / and comparisons are used
Vector = tuple[Number, Number, Number]

DIGITS = 60
COPLANAR = mpmath.mpf(10) ** -40
"""For mpmath rotations only: tells planes apart at 60 digits, far below float64 and far above rounding."""


@dataclass(frozen=True)
class Solid:
    """Centre, half sizes and the three world-frame axes of a box, plus the tolerance of its number type."""

    centre: Vector
    half: Vector
    axes: tuple[Vector, Vector, Vector]
    tolerance: Number


def dot(a: Vector, b: Vector) -> Number:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def combine(a: Vector, factor: Number, b: Vector) -> Vector:
    return (a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2])


def turn(axis: int, cos: Number, sin: Number) -> Callable[[Vector], Vector]:
    """Rotation about a coordinate axis."""
    j, k = (axis + 1) % 3, (axis + 2) % 3

    def apply(p: Vector) -> Vector:
        q = list(p)
        q[j], q[k] = cos * p[j] - sin * p[k], sin * p[j] + cos * p[k]
        return (q[0], q[1], q[2])

    return apply


def solid_from_cos_sin(
    centre: Sequence[float], size: Sequence[float], turns: Sequence[tuple[Number, Number]], tolerance: Number
) -> Solid:
    """``turns``: (cos, sin) of yaw, roll, pitch. Floats become exact numbers of the type of ``tolerance``."""
    number = type(tolerance)
    yaw, roll, pitch = (turn(axis, *t) for axis, t in zip((2, 0, 1), turns, strict=True))
    units = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    axes = tuple(yaw(roll(pitch(tuple(map(number, unit))))) for unit in units)
    return Solid(
        tuple(number(c) for c in centre),  # type: ignore[arg-type]
        tuple(number(s) / 2 for s in size),  # type: ignore[arg-type]
        axes,  # type: ignore[arg-type]
        tolerance,
    )


def solid_from_box(box: Sequence[float]) -> Solid:
    """The solid of a float64 9-DoF box, at ``DIGITS`` digits."""
    mpmath.mp.dps = DIGITS
    turns = [(mpmath.cos(mpmath.mpf(a)), mpmath.sin(mpmath.mpf(a))) for a in map(float, box[6:9])]
    return solid_from_cos_sin([float(v) for v in box[:3]], [float(v) for v in box[3:6]], turns, +COPLANAR)


def pythagorean(m: int, n: int) -> tuple[Fraction, Fraction, float]:
    """Rational (cos, sin) on the unit circle, and the float64 angle nearest to theirs."""
    d = m * m + n * n
    cos, sin = Fraction(m * m - n * n, d), Fraction(2 * m * n, d)
    return cos, sin, math.atan2(sin, cos)


def planes(solid: Solid) -> list[tuple[Vector, Number]]:
    """Outward (normal, offset) with ``normal . p <= offset`` inside, in the order -x +x -y +y -z +z."""
    found = []
    for axis, half in zip(solid.axes, solid.half, strict=True):
        for sign in (-1, 1):
            normal = (sign * axis[0], sign * axis[1], sign * axis[2])
            found.append((normal, dot(normal, solid.centre) + half))
    return found


def face_polygon(solid: Solid, face: int) -> list[Vector]:
    k, sign = divmod(face, 2)
    middle = combine(solid.centre, solid.half[k] * (1 if sign else -1), solid.axes[k])
    j, m = (k + 1) % 3, (k + 2) % 3
    corners = []
    for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        corner = combine(middle, s * solid.half[j], solid.axes[j])
        corners.append(combine(corner, t * solid.half[m], solid.axes[m]))
    return corners


def clip(polygon: list[Vector], normal: Vector, offset: Number, tolerance: Number) -> list[Vector]:
    depths = [dot(normal, p) - offset for p in polygon]
    kept = []
    for i, (p, depth) in enumerate(zip(polygon, depths, strict=True)):
        before, depth_before = polygon[i - 1], depths[i - 1]
        if (depth <= tolerance) != (depth_before <= tolerance):
            t = depth_before / (depth_before - depth)
            kept.append(tuple(b + t * (a - b) for a, b in zip(p, before, strict=True)))
        if depth <= tolerance:
            kept.append(p)
    return kept


def area(polygon: list[Vector], normal: Vector) -> Number:
    total = normal[0] * 0
    for p, q in itertools.pairwise(polygon[1:]):
        total += dot(normal, cross(combine(p, -1, polygon[0]), combine(q, -1, polygon[0])))
    return abs(total) / 2


def intersection_volume(a: Solid, b: Solid) -> Number:
    tolerance = a.tolerance
    planes_a, planes_b = planes(a), planes(b)
    triple = tolerance * 0
    for solid, own, other, first in ((a, planes_a, planes_b, True), (b, planes_b, planes_a, False)):
        for face, (normal, offset) in enumerate(own):
            shared = any(
                abs(offset - d) <= tolerance
                and all(abs(x - y) <= tolerance for x, y in zip(normal, n, strict=True))
                for n, d in other
            )
            if shared and not first:
                continue
            polygon = face_polygon(solid, face)
            for n, d in other:
                polygon = clip(polygon, n, d, tolerance)
                if len(polygon) < 3:
                    break
            else:
                triple += (offset - dot(normal, a.centre)) * area(polygon, normal)
    return triple / 3


def exact_iou(a: Solid, b: Solid) -> float:
    """Intersection over union of two solids of one number type, correctly rounded (nearly) to float64."""
    shared = intersection_volume(a, b)
    volume_a, volume_b = (8 * s.half[0] * s.half[1] * s.half[2] for s in (a, b))
    return float(shared / (volume_a + volume_b - shared))
