"""Policy-gradient losses as pure functions of log-probabilities.

Every variant is the same clipped surrogate, summed with different weights per sequence
(:func:`sequence_weights`). The weights are known before the forward pass, from the completion
lengths alone, so that any split into micro-batches or ranks gives the same gradient.

* ``token``: one over the group's total tokens, averaged over groups (3D-RFT's loss, arXiv 2603.04976).
* ``grpo``: mean over a sequence's tokens, then over sequences (arXiv 2402.03300).
* ``dapo``: one over all tokens of the batch (arXiv 2503.14476).
* ``dr_grpo``: one over sequences times the maximal length (arXiv 2503.20783).
* ``gspo``: weights of ``grpo``; one ratio per sequence, the geometric mean of its tokens' (arXiv 2507.18071).
* ``cispo``: weights of ``dapo``; the ratio is clipped from above and held constant, so that every token keeps a
  gradient (MiniMax-M1, arXiv 2506.13585).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from rft3d.training.config import LossKind


def sequence_weights(lengths: Sequence[Sequence[int]], kind: LossKind, max_length: int) -> list[list[float]]:
    """The factor of every token of each sequence; ``lengths[group][i]`` tokens, over *all* ranks. Empty sequences
    get weight 0. All but those of ``dr_grpo`` sum to 1 over tokens."""
    groups = [list(group) for group in lengths]
    total = sum(map(sum, groups))
    sequences = sum(map(len, groups))
    if kind == "token":
        filled = sum(1 for group in groups if sum(group))
        return [[1.0 / (filled * sum(group)) if n else 0.0 for n in group] for group in groups]
    if kind in ("grpo", "gspo"):
        return [[1.0 / (sequences * n) if n else 0.0 for n in group] for group in groups]
    if kind in ("dapo", "cispo"):
        return [[1.0 / total if n else 0.0 for n in group] for group in groups]
    if kind == "dr_grpo":
        return [[1.0 / (sequences * max_length) if n else 0.0 for n in group] for group in groups]
    raise ValueError(f"loss is {kind!r}; it must be one of {', '.join(get_args(LossKind))}")


@dataclass(frozen=True)
class PolicyLoss:
    """``loss`` to differentiate; the rest is detached, weighted as the loss is."""

    loss: Tensor
    kl: Tensor
    clip_share: Tensor


def kl_k3(logps: Tensor, ref_logps: Tensor) -> Tensor:
    """Schulman's low-variance estimate of KL(policy ‖ reference) per token, always >= 0."""
    delta = ref_logps - logps
    return delta.exp() - delta - 1


def policy_loss(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    weights: Tensor,
    ref_logps: Tensor | None = None,
    beta: float = 0.0,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    kl_bias_correction: bool = False,
    kind: LossKind = "token",
    sequence: Tensor | None = None,
) -> PolicyLoss:
    """Clipped surrogate (PPO) with an optional KL term; all inputs ``(N,)``, one entry per token.

    ``logps``: of the current policy, with gradient; ``old_logps``: of the one that sampled (``logps.detach()``
    when on-policy); ``ref_logps``: of the reference, needed when ``beta``, the KL's weight, is above 0.
    ``weights``: from :func:`sequence_weights`. The ratio is clipped to ``[1 - epsilon, 1 + epsilon_high]`` (equal
    by default).

    ``kl_bias_correction``: multiply the KL estimate by the ratio, with its gradient (DeepSeek-V3.2, arXiv
    2512.02556; TRL's default since 1.16). Without it k3's gradient is not that of the KL. ``kind``: ``gspo`` and
    ``cispo`` have a surrogate of their own; the others differ by their weights alone. ``sequence``: which sequence
    each token belongs to, any integers; needed by ``gspo``, with whole sequences.
    """
    log_ratio = logps - old_logps
    if kind == "gspo":
        if sequence is None:
            raise ValueError("loss 'gspo' needs to know which sequence a token belongs to")
        log_ratio = sequence_mean(log_ratio, sequence)
    ratio = log_ratio.exp()
    high = epsilon if epsilon_high is None else epsilon_high
    clipped = ratio.clamp(1 - epsilon, 1 + high)
    if kind == "cispo":
        surrogate = ratio.clamp(max=1 + high).detach() * advantages * logps
    else:
        surrogate = torch.minimum(ratio * advantages, clipped * advantages)
    per_token = -surrogate
    kl = torch.zeros_like(logps)
    if ref_logps is not None:
        kl = kl_k3(logps, ref_logps) * (ratio if kl_bias_correction else 1.0)
        per_token = per_token + beta * kl
    elif beta > 0:
        raise ValueError(f"beta={beta} needs ref_logps")
    if kind == "cispo":
        acting = ratio > 1 + high
    else:
        acting = (ratio < 1 - epsilon) & (advantages < 0) | (ratio > 1 + high) & (advantages > 0)
    share = weights / weights.sum().clamp_min(1e-12)
    loss = (per_token * weights).sum()
    return PolicyLoss(loss, (kl.detach() * share).sum(), (acting.float() * share).sum())


def sequence_mean(values: Tensor, sequence: Tensor) -> Tensor:
    """``(N,)`` values, each the mean over the tokens of its sequence."""
    _, index = sequence.unique(return_inverse=True)
    sums = values.new_zeros(int(index.max()) + 1).index_add(0, index, values)
    return (sums / torch.bincount(index))[index]
