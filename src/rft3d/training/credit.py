"""Per-object credit: which tokens of a detection answer belong to which box.

One scalar for a long answer is a noisy signal. The reward knows each predicted box's own matched
IoU; this module hands it to the tokens that wrote the box: centred over the answer's boxes, so that it
moves credit between objects without changing the answer's total, or against what the same true object
earned in the other answers of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

from transformers import PreTrainedTokenizerBase

from rft3d.rewards.types import Score


def object_credit(
    tokenizer: PreTrainedTokenizerBase,
    tokens: Sequence[int],
    score: Score,
    baselines: Sequence[float] | None = None,
    units: Sequence[float] | None = None,
) -> list[float]:
    """One credit per token; zeros where values are missing or the text's braces are not its boxes'.

    ``score.details["credit"]`` (where the reward is shaped, ``["shaped_credit"]``) holds one value in [0, 1]
    per predicted box, in output order. A box owns
    the tokens from its ``{`` up to and including its ``}``; a token that closes one box and opens the
    next (``},\\n\\t{``) belongs to the one it closes.

    ``baselines``: what each box is compared with (:func:`object_baselines`); None: the answer's mean.
    ``units``: what the difference is divided by; None: nothing.
    """
    values = box_values(score)
    out = [0.0] * len(tokens)
    if not values or (baselines is None and len(values) < 2):
        return out
    means = [sum(values) / len(values)] * len(values) if baselines is None else baselines
    if len(means) != len(values):
        raise ValueError(f"{len(means)} baselines for {len(values)} boxes; one a box is needed")
    owners: list[int | None] = []
    box, inside = -1, False
    for token in tokens:
        owner = box if inside else None
        for character in str(tokenizer.decode([token], skip_special_tokens=True)):
            if character == "{":
                box, inside = box + 1, True
                owner = box if owner is None else owner
            elif character == "}":
                inside = False
        owners.append(owner)
    if box + 1 != len(values):  # braces in a thought or a label: whose tokens are whose is not known
        return out
    scales = [1.0] * len(values) if units is None else units
    return [0.0 if owner is None else (values[owner] - means[owner]) / scales[owner] for owner in owners]


def box_values(score: Score) -> list[float]:
    """What each predicted box was paid, in output order: its share of the shaped reward, or its matched IoU."""
    values = score.details.get("shaped_credit", score.details.get("credit"))
    return [float(value) for value in values] if isinstance(values, (list, tuple)) else []


def attempt_baselines(
    scores: Sequence[Score], least_spread: float = 0.01
) -> tuple[list[list[float]], list[list[float]]]:
    """Baselines and units per box: mean and spread over the group's *attempts at the same true object*.

    GRPO's advantage once more, one level down: an object takes the place of the prompt, the boxes that the
    answers wrote for it that of the completions. A missed object does not count (whether to name it is the
    matter of the sequence's reward), nor does a box without an object, whose credit is 0.

    ``least_spread`` is added to the spread, so that attempts that differ by rounding don't count fully.
    """
    attempts: dict[int, list[float]] = {}
    for score in scores:
        for value, owner in _boxes(score):
            if owner is not None:
                attempts.setdefault(owner, []).append(value)
    mean = {owner: fmean(values) for owner, values in attempts.items()}
    spread = {owner: pstdev(values) + least_spread for owner, values in attempts.items()}
    baselines = [[v if o is None else mean[o] for v, o in _boxes(score)] for score in scores]
    return baselines, [[1.0 if o is None else spread[o] for _, o in _boxes(score)] for score in scores]


def object_baselines(scores: Sequence[Score]) -> list[list[float]]:
    """For every box of a group's answers: what the *same true object* earned on average over the group.

    An object that nobody finds easily (small, hidden) earns little in every answer; compared with the other
    objects of its answer it is always to blame, compared with itself it isn't. So the credit loses the part of
    its variance that comes from objects being unequally hard. An answer that misses an object counts 0
    in that object's mean. A box that got no object is compared with the mean over all boxes of the
    group: it earned 0 where its tokens could have written an average box. Unreadable answers count as
    missing everything.

    The baseline depends on which object the box was matched to, so it is no longer one for which the policy
    gradient is unbiased: nothing rewards writing an easy object instead of a hard one. Which objects to name
    stays the matter of the sequence's own reward.
    """
    sums: dict[int, float] = {}
    every: list[float] = []
    for score in scores:
        for value, owner in _boxes(score):
            every.append(value)
            if owner is not None:
                sums[owner] = sums.get(owner, 0.0) + value
    overall = sum(every) / len(every) if every else 0.0
    return [
        [overall if owner is None else sums[owner] / len(scores) for _, owner in _boxes(score)]
        for score in scores
    ]


def _boxes(score: Score) -> list[tuple[float, int | None]]:
    """(value, index of the true object) of each predicted box."""
    owners: Any = score.details.get("owners", ())
    return list(zip(box_values(score), owners, strict=True))
