"""Box IoU against the exact reference; the reference itself against known answers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from rft3d.geometry import box_iou_pairs

from .families import FAMILIES, pairs, parallel_plates
from .reference import Solid, exact_iou, pythagorean, solid_from_box, solid_from_cos_sin


def test_reference_knows_the_octagon_of_two_squares() -> None:
    shared = 2 * (np.sqrt(2) - 1)
    turned = [0, 0, 0, 1, 1, 1, np.pi / 4, 0, 0]
    iou = exact_iou(solid_from_box([0, 0, 0, 1, 1, 1, 0, 0, 0]), solid_from_box(turned))
    assert iou == pytest.approx(shared / (2 - shared), abs=1e-15)


def test_reference_knows_the_cube_inside_a_cube_on_its_corner() -> None:
    """A unit cube cut by one standing on its corner, same centre: 3/4 of it for the 60-degree turn."""
    turn = np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]]) / 3  # 60 degrees about the diagonal
    axes = tuple(tuple(Fraction(round(3 * v), 3) for v in column) for column in turn.T)
    half = (Fraction(1, 2),) * 3
    zero = (Fraction(0),) * 3
    straight = Solid(zero, half, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), Fraction(0))
    assert exact_iou(straight, Solid(zero, half, axes, Fraction(0))) == pytest.approx(0.75 / 1.25, abs=1e-16)


@pytest.mark.parametrize("family", FAMILIES)
def test_exact_to_1e12_on_every_family(family: str) -> None:
    a, b = pairs(family, 14)
    exact = [exact_iou(solid_from_box(p), solid_from_box(q)) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(box_iou_pairs(a, b), exact, rtol=0, atol=1e-12)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="longdouble is float64 on this machine")
@pytest.mark.parametrize("ratio", [2e6, 1e9])
def test_exact_to_1e9_for_extreme_plates(ratio: float) -> None:
    a, b = parallel_plates(ratio)(np.random.default_rng(3), 14)
    exact = [exact_iou(solid_from_box(p), solid_from_box(q)) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(box_iou_pairs(a, b), exact, rtol=0, atol=1e-9)


TURNS = [(1, 0), (0, 1), (2, 1), (3, 2), (4, 1), (7, 4), (1, 1)]


def test_exact_on_rational_rotations_with_shared_planes() -> None:
    """Fractions end to end: identical, touching, coplanar and nested boxes with no tolerance in the truth."""
    rng = np.random.default_rng(0)
    boxes: list[list[list[float]]] = []
    exact: list[float] = []
    for _ in range(80):
        turns = [pythagorean(*TURNS[k]) for k in rng.integers(0, len(TURNS), 3)]
        solids, floats = [], []
        for extra_yaw in (0, int(rng.integers(0, 2))):
            centre = rng.integers(-2, 3, 3) / 4
            size = rng.integers(1, 9, 3) / 4
            cos, sin, yaw = turns[0]
            if extra_yaw:
                cos, sin, yaw = -sin, cos, yaw + np.pi / 2
            used = [(cos, sin), turns[1][:2], turns[2][:2]]
            solids.append(solid_from_cos_sin(centre, size, used, Fraction(0)))
            floats.append([*centre, *size, yaw, turns[1][2], turns[2][2]])
        boxes.append(floats)
        exact.append(exact_iou(*solids))
    a, b = np.array(boxes).transpose(1, 0, 2)
    np.testing.assert_allclose(box_iou_pairs(a, b), exact, rtol=0, atol=1e-12)
    assert len(set(exact)) > 30
