"""The loss: weights per token, clipping, KL, and that any cut into micro-batches gives the same gradient."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rft3d.training.losses import LossKind, kl_k3, policy_loss, sequence_weights
from rft3d.training.update import covariance_mask

KINDS = get_args(LossKind)
groups_of_lengths = st.lists(
    st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=4
).filter(lambda groups: any(map(sum, groups)))


def token_weights(lengths: list[list[int]], kind: LossKind, limit: int = 10) -> list[float]:
    weights = sequence_weights(lengths, kind, limit)
    return [
        w
        for group, ws in zip(lengths, weights, strict=True)
        for n, w in zip(group, ws, strict=True)
        for _ in range(n)
    ]


@given(groups_of_lengths)
def test_weights_sum_to_one_over_tokens(lengths: list[list[int]]) -> None:
    assert sum(token_weights(lengths, "token")) == pytest.approx(1)
    assert sum(token_weights(lengths, "dapo")) == pytest.approx(1)
    if all(n for group in lengths for n in group):
        assert sum(token_weights(lengths, "grpo")) == pytest.approx(1)
    share = sum(map(sum, lengths)) / (10 * sum(map(len, lengths)))
    assert sum(token_weights(lengths, "dr_grpo")) == pytest.approx(share)


def test_what_each_kind_averages_over() -> None:
    lengths = [[1, 3], [4, 4]]
    assert sequence_weights(lengths, "token", 10) == [[1 / 8, 1 / 8], [1 / 16, 1 / 16]]
    assert sequence_weights(lengths, "grpo", 10) == [[1 / 4, 1 / 12], [1 / 16, 1 / 16]]
    assert sequence_weights(lengths, "dapo", 10) == [[1 / 12, 1 / 12], [1 / 12, 1 / 12]]
    assert sequence_weights(lengths, "dr_grpo", 10) == [[1 / 40, 1 / 40], [1 / 40, 1 / 40]]
    assert sequence_weights([[0, 2]], "grpo", 10)[0][0] == 0
    with pytest.raises(ValueError, match="'ppo'"):
        sequence_weights(lengths, "ppo", 10)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_any_cut_gives_the_same_gradient(kind: LossKind) -> None:
    rng = np.random.default_rng(0)
    lengths = [[3, 1, 5], [2, 2, 7], [4, 1, 1]]
    weights = torch.tensor(token_weights(lengths, kind), dtype=torch.float64)
    count = len(weights)
    old, advantages, ref, start = (torch.from_numpy(rng.normal(0, 0.3, count)) for _ in range(4))

    def gradient(cuts: list[int]) -> torch.Tensor:
        logps = start.clone().requires_grad_()
        for a, b in zip([0, *cuts], [*cuts, count], strict=True):
            part = slice(a, b)
            policy_loss(
                logps[part], old[part], advantages[part], weights[part], ref[part], beta=0.1
            ).loss.backward()
        assert logps.grad is not None
        return logps.grad

    whole = gradient([])
    assert whole.abs().max() > 1e-3
    for cuts in ([9], [9, 20], [1, 2, 3, 17], list(range(1, count))):
        torch.testing.assert_close(gradient(cuts), whole, atol=1e-15, rtol=1e-12)


def test_kl_is_never_negative_and_zero_at_equality() -> None:
    a, b = torch.randn(2, 500, dtype=torch.float64)
    assert (kl_k3(a, b) > 0).all()
    assert (kl_k3(a, a) == 0).all()
    # an unbiased estimate: over samples of p its mean is the KL
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    assert float((p * kl_k3(p.log(), q.log())).sum()) == pytest.approx(
        float((p * (p / q).log()).sum()), rel=1e-5
    )


def loss_and_gradient(ratio: float, advantage: float, **options: float) -> tuple[float, float, float]:
    """Loss, its derivative by the log-probability, and clip share of one token of weight 1."""
    logp = torch.tensor([np.log(ratio)], dtype=torch.float64, requires_grad=True)
    one = torch.ones(1, dtype=torch.float64)
    result = policy_loss(logp, torch.zeros_like(one), advantage * one, one, **options)  # type: ignore[arg-type]
    (grad,) = torch.autograd.grad(result.loss, logp)
    return float(result.loss.detach()), float(grad), float(result.clip_share)


@pytest.mark.parametrize(
    ("ratio", "advantage", "acts"),
    [(1.5, 1, True), (1.5, -1, False), (0.5, -1, True), (0.5, 1, False), (1.1, 1, False), (0.9, -1, False)],
)
def test_clipping_only_stops_moves_that_went_far_enough(ratio: float, advantage: float, acts: bool) -> None:
    loss, grad, share = loss_and_gradient(ratio, advantage)
    assert share == float(acts)
    assert grad == pytest.approx(0 if acts else -ratio * advantage)
    bound = 1.2 if ratio > 1 else 0.8
    assert loss == pytest.approx(-(bound if acts else ratio) * advantage)


def test_upper_clip_can_be_wider() -> None:
    assert loss_and_gradient(1.25, 1)[1] == 0
    assert loss_and_gradient(1.25, 1, epsilon_high=0.28)[1] == pytest.approx(-1.25)
    assert loss_and_gradient(0.75, -1, epsilon_high=0.28)[1] == 0


def test_on_policy_gradient_is_the_analytic_one() -> None:
    """Advantage times weight, and the derivative of k3: ``beta * (1 - ref / policy)``."""
    generator = torch.Generator().manual_seed(0)
    logps, advantages, ref = torch.randn(3, 20, generator=generator, dtype=torch.float64)
    weights = torch.rand(20, generator=generator, dtype=torch.float64)
    logps.requires_grad_()
    plain = policy_loss(logps, logps.detach(), advantages, weights)
    (grad,) = torch.autograd.grad(plain.loss, logps)
    torch.testing.assert_close(grad, -advantages * weights)
    assert float(plain.kl) == 0 and float(plain.clip_share) == 0
    with_kl = policy_loss(logps, logps.detach(), advantages, weights, ref, beta=0.5)
    (grad,) = torch.autograd.grad(with_kl.loss, logps)
    expected = weights * (-advantages + 0.5 * (1 - (ref - logps.detach()).exp()))
    torch.testing.assert_close(grad, expected)
    assert not with_kl.kl.requires_grad and not with_kl.clip_share.requires_grad


def test_gspo_has_one_ratio_per_sequence_and_cispo_keeps_every_gradient() -> None:
    """Against the papers' formulas, written out for two sequences."""
    logps = torch.tensor([-1.0, -2.0, -0.5, -0.1, -3.0], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([-1.3, -1.2, -0.9, -0.2, -2.0], dtype=torch.float64)
    advantages = torch.tensor([1.0, 1.0, -2.0, -2.0, -2.0], dtype=torch.float64)
    sequence, weights = torch.tensor([7, 7, 3, 3, 3]), torch.full((5,), 0.2, dtype=torch.float64)

    def loss(kind: LossKind, **more: float) -> torch.Tensor:
        return policy_loss(
            logps,
            old,
            advantages,
            weights,
            kind=kind,
            sequence=sequence,
            **more,  # type: ignore[arg-type]
        ).loss

    ratios = torch.stack([(logps[:2] - old[:2]).mean().exp(), (logps[2:] - old[2:]).mean().exp()])
    clipped = ratios.clamp(0.9, 1.1)
    a, n = torch.tensor([1.0, -2.0]), torch.tensor([2, 3])
    wanted = -(torch.minimum(ratios * a, clipped * a) * n * 0.2).sum()
    (ours,) = torch.autograd.grad(loss("gspo", epsilon=0.1), logps)
    (theirs,) = torch.autograd.grad(wanted, logps)
    torch.testing.assert_close(ours, theirs)
    assert ours[:2].eq(ours[0]).all() and ours[2:].eq(ours[2]).all()
    (cispo,) = torch.autograd.grad(loss("cispo", epsilon_high=0.2), logps)
    torch.testing.assert_close(cispo, -(logps - old).exp().clamp(max=1.2).detach() * advantages * 0.2)
    (grpo,) = torch.autograd.grad(loss("grpo"), logps)
    assert grpo.eq(0).any() and not cispo.eq(0).any()
    with pytest.raises(ValueError, match="which sequence"):
        policy_loss(logps, old, advantages, weights, kind="gspo")


def test_clip_cov_takes_out_what_would_sharpen_the_policy_most() -> None:
    """By hand: likely tokens of good answers and unlikely ones of bad answers, the furthest first."""
    logps = torch.tensor([-0.1, -3.0, -0.2, -4.0, -1.0, -1.0])
    advantages = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    # the mean of logps is -1.55, so the products are 1.45, -1.45, 1.35, 2.45, -0.55, -0.55
    assert covariance_mask(logps, advantages, 0.2).tolist() == [1, 1, 1, 0, 1, 1]
    assert covariance_mask(logps, advantages, 0.4).tolist() == [0, 1, 1, 0, 1, 1]
    assert covariance_mask(logps, advantages, 1.0).tolist() == [0, 1, 0, 0, 1, 1], "only positive ones"
    assert covariance_mask(logps, advantages, 0.1).tolist() == [1] * 6, "less than one token"
    # the entropy of a softmax falls by what an update along the advantages adds to those products
    scores = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gains = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def entropy(step: float) -> float:
        p = (scores + step * gains).softmax(-1)
        return float(-(p * p.log()).sum())

    p = scores.softmax(-1)
    covariance = float((p * (p.log() - (p * p.log()).sum()) * (gains - (p * gains).sum())).sum())
    assert (entropy(1e-6) - entropy(-1e-6)) / 2e-6 == pytest.approx(-covariance, rel=1e-5)


def test_beta_needs_a_reference() -> None:
    one = torch.ones(3)
    with pytest.raises(ValueError, match=r"beta=0\.1 needs ref_logps"):
        policy_loss(one, one, one, one, beta=0.1)
