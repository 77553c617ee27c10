"""Exact match, mean relative accuracy and the format parts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft3d.answers import ParseFailure, split_sections
from rft3d.rewards import Part, exact_match, format_part, mean_relative_accuracy, zero_parts
from rft3d.rewards.score import think_format_part


def test_exact_match() -> None:
    assert exact_match("B", "B") == Part("exact_match", 1.0, "'B' is 'B'")
    assert exact_match("b", " B").value == 1
    assert exact_match("A", "B") == Part("exact_match", 0.0, "'A' is not 'B'")


@pytest.mark.parametrize(
    ("answer", "truth", "wanted"),
    [
        (2, 2, 1),
        (1.9, 2, 1),  # 5 % off sits exactly on the last threshold, by the float 1 - 0.95
        (3, 4, 0.6),
        (2.2, 2, 0.9),
        (1.8, 2, 0.9),  # just inside in floats: linspace has 0.8999999999999999
        (3, 2, 0.1),
        (1, 2, 0.1),
        (0.9, 2, 0),
        (-2, 2, 0),
        (-2, -2, 1),
        (-1.5, -2, 0.6),
        (0, 0, 1),
        (0.001, 0, 0),
        (math.nan, 2, 0),
        (math.inf, 2, 0),
        (1e308, 1e-308, 0),
    ],
)
def test_mra_by_hand(answer: float, truth: float, wanted: float) -> None:
    assert mean_relative_accuracy(answer, truth).value == wanted


def test_mra_reason_and_errors() -> None:
    assert mean_relative_accuracy(3, 4).reason == "3 for 4, 25.0% off: 6 of 10 thresholds"
    with pytest.raises(ValueError, match="truth must be finite"):
        mean_relative_accuracy(1, math.nan)


@given(st.floats(0.1, 100), st.floats(0, 3), st.floats(0, 3), st.sampled_from([-1, 1]))
def test_mra_never_pays_for_a_worse_number(truth: float, a: float, b: float, side: int) -> None:
    near, far = sorted((a, b))
    better = mean_relative_accuracy(truth * (1 + side * near), truth).value
    worse = mean_relative_accuracy(truth * (1 + side * far), truth).value
    assert 0 <= worse <= better <= 1


def test_format_parts() -> None:
    assert format_part(None) == Part("format", 1.0, "the answer can be read")
    assert format_part(ParseFailure("no closing ]")) == Part("format", 0.0, "no closing ]")
    assert think_format_part(split_sections("<think>t</think><answer>B</answer>")).value == 1
    for text in (
        "B",
        "<answer>B</answer>",
        "<think>t</think><answer>B",
        "<think>t</think><answer> </answer>",
    ):
        part = think_format_part(split_sections(text))
        assert part.value == 0 and part.reason
    assert zero_parts(["a", "b"], "no closing ]") == (
        Part("a", 0.0, "no closing ]"),
        Part("b", 0.0, "no closing ]"),
    )
