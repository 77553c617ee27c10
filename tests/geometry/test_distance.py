"""Distance between solid boxes against a bounded least-squares solver and against known answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from tests.geometry.helpers import box_reparametrisations

from rft3d.geometry import (
    box_distance,
    box_iou,
    matrix_from_euler_zxy,
    pose_from,
    transform_boxes,
)

Array = NDArray[np.float64]


def slow_distance(a: Array, b: Array) -> float:
    """Minimise |R_a p + c_a - R_b q - c_b| over the two boxes: a convex problem in six bounded numbers."""
    axes = np.hstack([matrix_from_euler_zxy(a[6:]), -matrix_from_euler_zxy(b[6:])])
    half = 0.5 * np.concatenate([a[3:6], b[3:6]])
    solution = lsq_linear(axes, b[:3] - a[:3], (-half, half), method="bvls", tol=1e-15)
    return float(np.sqrt(2 * solution.cost))


def random_pair(rng: np.random.Generator, upright: bool, thin: bool) -> Array:
    boxes = np.concatenate(
        [rng.uniform(-1.5, 1.5, (2, 3)), rng.uniform(0.1, 2, (2, 3)), rng.uniform(-4, 4, (2, 3))], axis=1
    )
    if upright:
        boxes[:, 7:] = 0
    if thin:
        boxes[0, 5] = 1e-3
        boxes[1, 3:5] = 1e-3
    return boxes


@pytest.mark.parametrize(("upright", "thin"), list(itertools.product([False, True], repeat=2)))
def test_equals_the_slow_solver(upright: bool, thin: bool) -> None:
    rng = np.random.default_rng(7)
    distances = []
    for _ in range(120):
        a, b = random_pair(rng, upright, thin)
        expected = slow_distance(a, b)
        distances.append(box_distance(a, b))
        assert distances[-1] == pytest.approx(expected, abs=1e-7)
    assert 10 < np.count_nonzero(distances) < 120  # the family holds both apart and overlapping pairs


def test_zero_exactly_where_solids_overlap() -> None:
    rng = np.random.default_rng(8)
    for _ in range(200):
        a, b = random_pair(rng, upright=False, thin=False)
        overlap = box_iou(a[None], b[None])[0, 0] > 0
        assert (box_distance(a, b) == 0.0) == overlap


@pytest.mark.parametrize("side", [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)])
def test_known_gaps_to_a_face_an_edge_and_a_corner(side: tuple[int, int, int]) -> None:
    a = np.array([0.2, 0.1, -0.3, 1, 2, 3, 0, 0, 0])
    b = np.array([0, 0, 0, 0.5, 0.6, 0.7, 0, 0, 0])
    gap = np.array([0.1, 0.2, 0.3])
    b[:3] = a[:3] + np.array(side) * (0.5 * (a[3:6] + b[3:6]) + gap)
    expected = np.linalg.norm(np.abs(side) * gap)
    assert box_distance(a, b) == pytest.approx(expected, abs=1e-14)
    pose = pose_from(matrix_from_euler_zxy([0.5, 1.1, -2]), [100, -50, 20])
    moved = transform_boxes(pose, np.stack([a, b]))
    assert box_distance(*moved) == pytest.approx(expected, abs=1e-12)


def test_crossed_edges() -> None:
    """Two cubes that face each other with an edge, turned by 90 degrees against each other."""
    a = np.array([0, 0, 0, 1, 1, 1, np.pi / 4, 0, 0])  # an edge along z at x = sqrt(1/2)
    b = np.array([3, 0, 0, 1, 1, 1, 0, 0, np.pi / 4])  # an edge along y at x = 3 - sqrt(1/2)
    assert box_distance(a, b) == pytest.approx(3 - 2 * np.sqrt(0.5), abs=1e-14)


def test_overlaps_without_a_corner_inside() -> None:
    cross = np.array([0, 0, 0, 4, 0.2, 0.2, 0, 0, 0]), np.array([0.3, 0, 0, 0.2, 4, 0.2, 0.1, 0, 0])
    assert box_distance(*cross) == 0.0
    nested = np.array([0, 0, 0, 4, 4, 4, 0.3, 0, 0]), np.array([0.3, 0, 0, 0.2, 0.2, 0.2, 0, 1, 0])
    assert box_distance(*nested) == box_distance(*nested[::-1]) == 0.0
    touching = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0]), np.array([1, 0, 0, 1, 1, 1, 0, 0, 0])
    assert box_distance(*touching) == 0.0


def test_symmetric_and_blind_to_the_parametrisation() -> None:
    rng = np.random.default_rng(9)
    for _ in range(10):
        a, b = random_pair(rng, upright=False, thin=False)
        b[:3] += 2
        expected = box_distance(a, b)
        assert box_distance(b, a) == pytest.approx(expected, abs=1e-13)
        for way in box_reparametrisations(a)[::5]:
            assert box_distance(way, b) == pytest.approx(expected, abs=1e-13)


def test_errors() -> None:
    good = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0.0])
    with pytest.raises(ValueError, match=r"box_b must have shape \(9,\), got \(1, 9\)"):
        box_distance(good, good[None])
    for bad in (-1.0, np.nan):
        broken = good.copy()
        broken[4] = bad
        with pytest.raises(ValueError, match="box_a must be finite with positive size"):
            box_distance(broken, good)
