"""Rewards to advantages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rft3d.training.advantages import group_advantages, per_token

rewards = st.lists(st.floats(0, 3), min_size=2, max_size=16)


@given(rewards)
def test_group_scale_is_trls(values: list[float]) -> None:
    """TRL: ``(r - mean) / (std + 1e-4)`` with torch's unbiased standard deviation."""
    r = torch.tensor(values, dtype=torch.float64)
    expected = (r - r.mean()) / (r.std() + 1e-4)
    np.testing.assert_allclose(group_advantages(values), expected.numpy(), atol=1e-6)


@given(rewards, st.floats(-5, 5))
def test_a_common_bonus_changes_nothing(values: list[float], bonus: float) -> None:
    shifted = group_advantages([v + bonus for v in values])
    np.testing.assert_allclose(shifted, group_advantages(values), atol=1e-6)
    assert abs(shifted.sum()) < 1e-6


def test_the_settings() -> None:
    values = [0.0, 1.0, 1.0, 2.0]
    assert group_advantages(values, "none").tolist() == [-1, 0, 0, 1]
    assert group_advantages(values, eps=0, unbiased=False)[3] == pytest.approx(np.sqrt(2))
    assert group_advantages(values, eps=0)[3] == pytest.approx(np.sqrt(1.5))


@pytest.mark.parametrize("scale", ["group", "none"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 2.7])
def test_equal_rewards_give_exact_zeros(value: float, scale: str) -> None:
    """Also where the mean is not exact: 0.1 summed seven times."""
    assert not group_advantages([value] * 7, scale).any()  # type: ignore[arg-type]
    assert not group_advantages([value], scale).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [1.0, float("inf")]])
def test_rewards_must_be_finite(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        group_advantages(bad)


def test_leave_one_out_compares_with_the_others() -> None:
    rewards = [0.0, 1.0, 0.25, 0.5]
    others = [np.mean([r for j, r in enumerate(rewards) if j != i]) for i in range(4)]
    assert group_advantages(rewards, "none", leave_one_out=True) == pytest.approx(
        [r - mean for r, mean in zip(rewards, others, strict=True)]
    )
    assert group_advantages([0.3], leave_one_out=True).tolist() == [0.0]


def test_per_token_adds_credit_to_its_own_tokens() -> None:
    out = per_token([1.0, -1.0, 0.0], [3, 2, 1], [[0.5, 0.0, -0.5], None, [0.25]])
    assert out.tolist() == [1.5, 1.0, 0.5, -1.0, -1.0, 0.25]
    with pytest.raises(ValueError, match=r"token_credit\[0\] has 1 values for 2 tokens"):
        per_token([1.0], [2], [[0.5]])
