"""Rewards to advantages, in one place: :func:`assign_advantages`.

Group-relative advantages of GRPO (Shao et al., arXiv 2402.03300): a completion is compared with the other
completions of the same prompt,

    A_i = (R_i - mean(R)) / (std(R) + 1e-4)

and every token of completion i gets A_i. Variants, each a setting of ``RFTConfig``:

* ``scale="none"``: not divided (Dr. GRPO, arXiv 2503.20783); ``"task"``: divided by the spread of the task's
  rewards in the whole step (TRL's ``"batch"``, one task at a time; Liu et al., arXiv 2508.08221).
* ``baseline="leave_one_out"``: compared with the mean of the others (RLOO, arXiv 2402.14740).
* ``parts="separate"``: every part of the reward by itself (GDPO, arXiv 2601.05242).
* ``credit``: beside A_i, what a single box did for its answer, on the tokens that wrote the box. One scalar for a
  long answer is a noisy signal.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from rft3d.rewards import Comparison, Score, marginal_credit
from rft3d.training.config import RFTConfig, Scale
from rft3d.training.rollout import Group

EPS = 1e-4
"""Added to every spread, as TRL does; the 3D-RFT paper does not say."""


def assign_advantages(
    groups: Sequence[Group], config: RFTConfig, tokenizer: PreTrainedTokenizerBase
) -> list[Group]:
    """The groups of a step, of all ranks, with one advantage per token."""

    @cache
    def text_of(token: int) -> str:
        return str(tokenizer.decode([token], skip_special_tokens=True))

    out = list(groups)
    for task in dict.fromkeys(group.task for group in groups):
        places = [i for i, group in enumerate(groups) if group.task == task]
        mine = [groups[i] for i in places]
        for i, group, values in zip(places, mine, _per_completion(mine, config), strict=True):
            pieces = [[text_of(token) for token in c.tokens] for c in group.completions]
            credit = token_credit(config.credit, pieces, group.scores)
            rows = [a + config.credit_weight * np.asarray(row) for a, row in zip(values, credit, strict=True)]
            out[i] = replace(group, advantages=rows)
    return out


def _per_completion(groups: Sequence[Group], config: RFTConfig) -> list[NDArray[np.float64]]:
    """``(G,)`` advantages of each group of one task."""
    alone = config.baseline == "leave_one_out"
    if config.parts == "separate":
        parts = [np.array([[p.value for p in s.parts] for s in g.scores]) for g in groups]
        return separate_advantages(parts, [np.array([p.weight for p in g.scores[0].parts]) for g in groups])
    totals = [group.totals for group in groups]
    if config.scale == "task":
        return task_scaled(totals, leave_one_out=alone)
    return [group_advantages(rewards, config.scale, leave_one_out=alone) for rewards in totals]


def group_advantages(
    rewards: Sequence[float], scale: Scale = "group", eps: float = EPS, leave_one_out: bool = False
) -> NDArray[np.float64]:
    """``(G,)`` advantages ``(r - mean) / (std + eps)``; zeros when all rewards, one per completion, are equal.

    ``scale``: ``"group"`` divides by the group's standard deviation (over G - 1, as TRL does); ``"none"`` does
    not, nor does ``"task"``, which needs the other groups (:func:`task_scaled`). ``leave_one_out``: compare with
    the mean of the *other* completions, which is the difference to the group's mean times G / (G - 1). ValueError:
    a reward is not finite, or the group is empty.
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
    return centred / (values.std(ddof=1) + eps)


def task_scaled(
    rewards: Sequence[Sequence[float]], eps: float = EPS, leave_one_out: bool = False
) -> list[NDArray[np.float64]]:
    """Advantages of all groups of a task: centred in the group, divided by the spread of the whole task, so that
    in a mixture a task whose rewards differ little is not drowned by one whose rewards differ a lot."""
    spread = _spread(np.concatenate([np.asarray(group, dtype=np.float64) for group in rewards]))
    return [group_advantages(g, "none", leave_one_out=leave_one_out) / (spread + eps) for g in rewards]


def separate_advantages(
    parts: Sequence[NDArray[np.float64]], weights: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """GDPO: each of K reward parts compared and scaled in its group, summed by weight, scaled over the batch.

    ``parts[group]`` are ``(G, K)`` values, ``weights[group]`` ``(K,)``. TRL calls it ``normalize_then_sum``. The
    sums have mean 0 in each group, so only the batch's spread remains to be divided by.
    """
    sums = []
    for values, factors in zip(parts, weights, strict=True):
        columns = [w * group_advantages(column, "group") for column, w in zip(values.T, factors, strict=True)]
        sums.append(np.sum(columns, axis=0) if columns else np.zeros(len(values)))
    spread = _spread(np.concatenate(sums))
    return [values / (spread + EPS) for values in sums]


def _spread(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else 0.0


# ------------------------------------------------------------------------------ credit per box


def token_credit(kind: str, texts: Sequence[Sequence[str]], scores: Sequence[Score]) -> list[list[float]]:
    """Each box's :func:`~rft3d.rewards.marginal_credit` on its tokens (by their texts); zeros elsewhere."""
    if kind == "none" or not any(isinstance(score.evidence, Comparison) for score in scores):
        return [[0.0] * len(row) for row in texts]
    out = []
    for row, boxes in zip(texts, map(marginal_credit, scores), strict=True):
        owners = token_owners(row, len(boxes)) if any(boxes) else [None] * len(row)
        out.append([0.0 if owner is None else boxes[owner] for owner in owners])
    return out


def token_owners(texts: Sequence[str], boxes: int) -> list[int | None]:
    """Which box of the answer each token (given by its text) belongs to; None outside.

    A box owns the tokens from its ``{`` to its ``}``; one that closes a box and opens the next (``},\\n\\t{``)
    belongs to the one it closes. ``boxes``: how many the answer was read as; with another number of braces (in a
    thought or a label) it isn't known whose tokens are whose: None everywhere.
    """
    owners: list[int | None] = []
    box, inside = -1, False
    for text in texts:
        owner = box if inside else None
        for character in text:
            if character == "{":
                box, inside = box + 1, True
                owner = box if owner is None else owner
            elif character == "}":
                inside = False
        owners.append(owner)
    return owners if box + 1 == boxes else [None] * len(texts)
