"""Clip-Cov: tokens that would make the policy's entropy collapse get no gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rft3d.training.rollout import Group


def covariance_mask(logps: Tensor, advantages: Tensor, share: float) -> Tensor:
    """``(N,)`` 1 for the tokens that learn, 0 for those that make the entropy collapse (Clip-Cov).

    What an update takes from the policy's entropy is the covariance of log-probability and advantage (arXiv
    2505.22617), and a few tokens have most of it. The ``share`` of the tokens with the largest positive
    ``(logp - mean)(advantage - mean)`` gets no gradient. The paper draws as many at random from a band; here
    the largest are taken, so that a run needs no random numbers for it.
    """
    together = (logps - logps.mean()) * (advantages - advantages.mean())
    most = int(share * len(logps))
    keep = torch.ones_like(logps)
    if most:
        worst = together.topk(most).indices
        keep[worst[together[worst] > 0]] = 0.0
    return keep


def token_weights(group: Group, weights: Sequence[float], clip_cov: float) -> Tensor:
    """A weight a token, from one a completion; 0 where Clip-Cov takes the token out."""
    told = torch.tensor([w for w, c in zip(weights, group.completions, strict=True) for _ in c.tokens])
    if not clip_cov:
        return told
    logps = torch.tensor([p for c in group.completions for p in c.logps])
    return told * covariance_mask(logps, torch.tensor(np.concatenate(group.advantages)).float(), clip_cov)
