"""Credit per object: what a single box did for its answer, paid to the tokens that wrote it.

One scalar for a long answer is a noisy signal. :data:`CREDITS` names the ways to say what a box was worth:

* ``marginal``: R(all boxes) - R(all but this one), for the task's own reward
  (:func:`rft3d.rewards.marginal_credit`). Every box has one; wrong and repeated boxes are below 0.
* ``attempts``: GRPO's advantage one level down. A box is compared with the boxes that the group's other
  answers wrote for the same true object, in units of their spread. A box without an object has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, pstdev
from typing import Literal

from transformers import PreTrainedTokenizerBase

from rft3d.rewards import Score, marginal_credit

Credit = Literal["none", "attempts", "marginal"]
LEAST_SPREAD = 0.01
"""Added to the spread of attempts, so that those that differ by rounding don't count fully."""


def token_owners(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], boxes: int) -> list[int | None]:
    """Which box of the answer each token belongs to; None outside, and everywhere if boxes can't be told apart.

    A box owns the tokens from its ``{`` up to and including its ``}``; a token that closes one box and
    opens the next (``},\\n\\t{``) belongs to the one it closes. ``boxes``: how many the answer was read as; with
    another number of braces (in a thought or a label) it isn't known whose tokens are whose.
    """
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
    return owners if box + 1 == boxes else [None] * len(tokens)


def marginal(scores: Sequence[Score]) -> list[list[float]]:
    """Each box's :func:`~rft3d.rewards.marginal_credit`, answer by answer."""
    return [list(marginal_credit(score)) for score in scores]


def attempts(scores: Sequence[Score]) -> list[list[float]]:
    """``(value - mean) / (spread + 0.01)`` over the group's boxes for the same true object; 0 without an object.

    A missed object does not count: whether to name it is the matter of the sequence's reward.
    """
    paid = [_paid(score) for score in scores]
    found: dict[int, list[float]] = {}
    for boxes in paid:
        for value, owner in boxes:
            if owner is not None:
                found.setdefault(owner, []).append(value)
    mean = {owner: fmean(values) for owner, values in found.items()}
    unit = {owner: pstdev(values) + LEAST_SPREAD for owner, values in found.items()}
    return [[0.0 if o is None else (v - mean[o]) / unit[o] for v, o in boxes] for boxes in paid]


CREDITS: dict[str, Callable[[Sequence[Score]], list[list[float]]]] = {
    "attempts": attempts,
    "marginal": marginal,
}


def token_credit(
    kind: str,
    tokenizer: PreTrainedTokenizerBase,
    tokens: Sequence[Sequence[int]],
    scores: Sequence[Score],
) -> list[list[float]]:
    """``CREDITS[kind]`` of a group's answers on the tokens of each; zeros for ``none`` and outside boxes."""
    if kind == "none" or all(score.comparison is None for score in scores):
        return [[0.0] * len(row) for row in tokens]
    out = []
    for row, boxes in zip(tokens, CREDITS[kind](scores), strict=True):
        owners = token_owners(tokenizer, row, len(boxes)) if any(boxes) else [None] * len(row)
        out.append([0.0 if owner is None else boxes[owner] for owner in owners])
    return out


def _paid(score: Score) -> Sequence[tuple[float, int | None]]:
    """What each predicted box was paid, and for which true object: its shaped value where the reward is shaped."""
    if score.comparison is None:
        return ()
    shaped = any(part.name == "matched_diou" for part in score.parts)
    return score.comparison.shaped if shaped else score.comparison.assigned
