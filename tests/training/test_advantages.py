"""Rewards to advantages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rft3d.training.advantages import group_advantages, separate_advantages

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


def test_separate_parts_are_trls_normalize_then_sum() -> None:
    """TRL's own lines, on two groups of eight with three parts; a part that pays everybody alike adds nothing."""
    rng = np.random.default_rng(0)
    parts = [rng.random((8, 3)) * [1.0, 0.01, 5.0] for _ in range(2)]
    parts[1][:, 0] = 0.7
    weights = np.array([1.0, 0.5, 2.0])
    grouped = torch.tensor(np.stack(parts))
    reward_k = (grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)
    summed = (reward_k * torch.tensor(weights)).sum(-1).view(-1)
    theirs = (summed - summed.mean()) / (summed.std() + 1e-4)
    ours = np.concatenate(separate_advantages(parts, [weights, weights]))
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-9)
    total = [group_advantages(list(p @ weights)) for p in parts]
    assert np.abs(np.concatenate(total) - ours).max() > 0.3, "the sum drowns the part with a small spread"
