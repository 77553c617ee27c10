"""Rewards for option letters and numbers: exact match, and VSI-Bench's mean relative accuracy (MRA)."""

import math

import numpy as np

from rft3d.rewards.score import Part

# ``1 - theta`` in floating point, from NumPy's linspace as every harness has it: the last is
# 0.050000000000000044, so an answer that is 5 % off (1.9 for 2) just passes the inclusive comparison.
TOLERANCES: tuple[float, ...] = tuple(float(1 - theta) for theta in np.linspace(0.5, 0.95, 10))


def exact_match(answer: str, truth: str) -> Part:
    """1 when the two texts are equal up to case and surrounding space, else 0."""
    equal = answer.strip().casefold() == truth.strip().casefold()
    return Part("exact_match", float(equal), f"{answer!r} {'is' if equal else 'is not'} {truth!r}")


def mean_relative_accuracy(answer: int | float, truth: int | float, inclusive: bool = True) -> Part:
    """MRA: how many of ten thresholds theta = 0.5, 0.55 … 0.95 an answer passes, as a share.

    It passes theta when ``|answer - truth| / |truth| <= 1 - theta``.

    ``inclusive=False`` compares with ``<``, as the papers print it; the harnesses (and published
    numbers) use ``<=``. A truth of 0 is defined as all or nothing: 1 for the answer 0. A NaN or
    infinite answer earns 0; ValueError when ``truth`` itself is not finite.

    Examples:
        >>> mean_relative_accuracy(9, 10).reason
        '9 for 10, 10.0% off: 9 of 10 thresholds'
    """
    if not math.isfinite(truth):
        raise ValueError(f"mean_relative_accuracy: truth must be finite, got {truth}")
    if not math.isfinite(answer):
        return Part("mra", 0.0, f"{answer} is not a finite number")
    if truth == 0:
        return Part("mra", float(answer == 0), f"{answer:g} for 0")
    error = abs(answer - truth) / abs(truth)
    passed = sum(error <= bound if inclusive else error < bound for bound in TOLERANCES)
    return Part("mra", passed / 10, f"{answer:g} for {truth:g}, {error:.1%} off: {passed} of 10 thresholds")
