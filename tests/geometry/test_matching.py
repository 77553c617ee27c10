"""One-to-one matching against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from rft3d.geometry import greedy_match, optimal_match

Array = NDArray[np.float64]


def random_iou(seed: int) -> Array:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(0, 6, 2)
    # A coarse grid: many ties, many zeros, many values equal to a threshold.
    return rng.choice([0, 0, 0.25, 0.5, 0.75, 1.0], (n, m))


def greedy_by_hand(iou: Array, threshold: float) -> list[tuple[int, int]]:
    free = list(range(iou.shape[1]))
    found = []
    for row in range(iou.shape[0]):
        if not free:
            break
        column = max(free, key=lambda c: (iou[row, c], -c))
        if iou[row, column] > threshold:
            found.append((row, column))
            free.remove(column)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_greedy_is_the_rule_in_words(seed: int) -> None:
    iou = random_iou(seed)
    before = iou.copy()
    for threshold in (0.0, 0.25, 0.5):
        assert greedy_match(iou, threshold) == greedy_by_hand(iou, threshold)
    assert np.array_equal(iou, before)


@pytest.mark.parametrize("seed", range(60))
def test_optimal_reaches_the_best_total(seed: int) -> None:
    iou = random_iou(seed)
    tall = iou if iou.shape[0] >= iou.shape[1] else iou.T
    orders = itertools.permutations(range(tall.shape[0]), tall.shape[1])
    best = max(sum(tall[row, column] for column, row in enumerate(order)) for order in orders)
    matches = optimal_match(iou)
    assert sum(iou[i, j] for i, j in matches) == pytest.approx(best)
    assert all(iou[i, j] > 0 for i, j in matches)
    for side in zip(*matches, strict=True):
        assert len(set(side)) == len(side)


def test_output_order_decides_greedy_not_the_score() -> None:
    iou = np.array([[0.3, 0.0], [0.9, 0.4]])
    assert greedy_match(iou, 0.25) == [(0, 0), (1, 1)]
    assert greedy_match(iou[::-1], 0.25) == [(0, 0)]


def test_a_miss_leaves_its_column_free() -> None:
    assert greedy_match([[0.2], [0.8]], 0.25) == [(1, 0)]


def test_an_iou_at_the_threshold_is_a_miss() -> None:
    assert greedy_match([[0.25]], 0.25) == []


def test_errors_and_empties() -> None:
    for shape in ((0, 0), (0, 3), (3, 0)):
        assert greedy_match(np.zeros(shape), 0.5) == []
        assert optimal_match(np.zeros(shape)) == []
    for match in (lambda iou: greedy_match(iou, 0.5), optimal_match):
        with pytest.raises(ValueError, match=r"iou must have shape \(N, M\), got \(3,\)"):
            match(np.zeros(3))
        with pytest.raises(ValueError, match=r"iou\[1, 0\] is NaN"):
            match(np.array([[0.5], [np.nan]]))
