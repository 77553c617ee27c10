"""Rewards to advantages: pure functions on one group's rewards.

Group-relative advantages of GRPO (Shao et al., arXiv 2402.03300): a completion is compared with the
other completions of the same prompt. ``scale="none"`` is Dr. GRPO's (Liu et al., arXiv 2503.20783).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scale = Literal["group", "task", "none"]


def group_advantages(
    rewards: Sequence[float],
    scale: Scale = "group",
    eps: float = 1e-4,
    unbiased: bool = True,
    leave_one_out: bool = False,
) -> NDArray[np.float64]:
    """``(G,)`` advantages ``(r - mean) / (std + eps)``; zeros when all rewards are equal.

    Args:
        rewards: one total per completion of one prompt; must be finite.
        scale: ``"group"`` divides by the group's standard deviation; ``"none"`` does not, nor does
            ``"task"``, which needs the other groups (:func:`task_scaled`).
        eps: added to the standard deviation (1e-4 in TRL; not given in the 3D-RFT paper).
        unbiased: divide by G - 1 in the standard deviation, as TRL does.
        leave_one_out: compare with the mean of the *other* completions (RLOO, Ahmadian et al., arXiv
            2402.14740), which is the difference to the group's mean times G / (G - 1).

    Raises:
        ValueError: a reward is not finite, or the group is empty.
    """
    values = np.asarray(rewards, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"rewards must be a non-empty list of finite numbers, got {list(rewards)!r}")
    centred = values - values.mean()
    # Equal rewards can leave rounding dust that the division would blow up to full-size advantages.
    if np.ptp(values) < 1e-12:
        return np.zeros_like(values)
    if leave_one_out and values.size > 1:
        centred *= values.size / (values.size - 1)
    if scale != "group" or values.size == 1:
        return centred
    return centred / (values.std(ddof=1 if unbiased else 0) + eps)


def per_token(
    advantages: Sequence[float], lengths: Sequence[int], token_credit: Sequence[Sequence[float] | None]
) -> NDArray[np.float64]:
    """``(sum(lengths),)`` advantages, one per token: the completion's own plus optional credit.

    ``token_credit[i]`` is added token by token (say, a box's own matched IoU on its own tokens), or None.

    Raises:
        ValueError: a credit list is not as long as its completion.
    """
    out: list[float] = []
    for i, (advantage, length, credit) in enumerate(zip(advantages, lengths, token_credit, strict=True)):
        if credit is not None and len(credit) != length:
            raise ValueError(f"token_credit[{i}] has {len(credit)} values for {length} tokens")
        out += [advantage + (0.0 if credit is None else credit[t]) for t in range(length)]
    return np.asarray(out, dtype=np.float64)


def task_scaled(
    rewards: Sequence[Sequence[float]], eps: float = 1e-4, unbiased: bool = True, leave_one_out: bool = False
) -> list[NDArray[np.float64]]:
    """Advantages of all groups of a task: centred in the group, divided by the spread of the whole task.

    ``scale_rewards="batch"`` of TRL, for one task at a time: in a mixture, a task whose rewards differ
    little is not drowned by one whose rewards differ a lot, and inside a task a group that agrees more
    than others keeps a smaller advantage (Liu et al., arXiv 2508.08221).
    """
    every = np.concatenate([np.asarray(group, dtype=np.float64) for group in rewards])
    spread = every.std(ddof=1 if unbiased else 0) if every.size > 1 else 0.0
    return [group_advantages(g, "none", leave_one_out=leave_one_out) / (spread + eps) for g in rewards]
