"""What one step's answers look like, apart from what they were paid: the inputs of the alarms.

Pure functions over answers that are already read, so that a synthetic policy can be tested without a
model. Keys go to ``metrics.jsonl`` as ``watch/<signal>/<task>``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure
from rft3d.geometry import box_iou_pairs, boxes_valid
from rft3d.rewards.score import Score

SAME_BOX_IOU = 0.9
"""A prediction repeats an earlier one of its answer when it has the same label and at least this IoU."""

FEWEST_PROMPTS = 6
"""Below so many prompts a step, equal answers say nothing."""


@dataclass(frozen=True)
class Answered:
    """One completion as its task parsed it, and the gold answer parsed the same way."""

    sample_id: str
    answer: object
    gold: object
    score: Score


def signals(task: str, answers: Sequence[Answered]) -> dict[str, float]:
    """The signals of one task's answers in one step; only those that its kind of answer has.

    ``boxes_per_truth``: predicted boxes over true ones. ``duplicates``: share of predicted boxes that repeat
    an earlier one of the same answer. ``box_volume_m3``: geometric mean volume of the predicted boxes;
    ``volume_per_truth``: over that of the true ones. ``precision``, ``recall``: pooled hits at the task's
    threshold. ``same_answer``: share of the commonest frame index or option letter; ``same_truth``: share
    that this one has in the truths (each prompt counts once).
    """
    read = [a for a in answers if not isinstance(a.answer, ParseFailure)]
    out: dict[str, float] = {}
    out |= _list_signals([a for a in answers if isinstance(a.gold, tuple)])
    out |= _volumes(read)
    out |= _sameness([a for a in read if isinstance(a.gold, str | FrameBox)])
    return {f"watch/{name}/{task}": value for name, value in out.items()}


def repeated_boxes(boxes: Sequence[LabelledBox]) -> int:
    """How many boxes repeat an earlier box of the list: same label, IoU of at least :data:`SAME_BOX_IOU`."""
    if len(boxes) < 2:
        return 0
    array = np.array([box.box for box in boxes], dtype=np.float64)
    labels = np.array([box.label for box in boxes])
    first, second = np.triu_indices(len(boxes), 1)
    # an IoU this high needs centres closer than a tenth of the diagonal: the cheap test goes first
    apart = np.linalg.norm(array[first, :3] - array[second, :3], axis=1)
    near = (labels[first] == labels[second]) & (apart <= 0.1 * np.linalg.norm(array[first, 3:6], axis=1))
    near &= boxes_valid(array)[first] & boxes_valid(array)[second]
    if not near.any():
        return 0
    first, second = first[near], second[near]
    same = box_iou_pairs(array[first], array[second]) >= SAME_BOX_IOU
    return len(set(second[same].tolist()))


def _list_signals(answers: Sequence[Answered]) -> dict[str, float]:
    """Of detection lists; an unreadable answer names nothing."""
    if not answers:
        return {}
    lists = [_boxes_of(a.answer) for a in answers]
    named, true = sum(map(len, lists)), sum(len(_boxes_of(a.gold)) for a in answers)
    out: dict[str, float] = {}
    if true:
        out["boxes_per_truth"] = named / true
    if named:
        out["duplicates"] = sum(repeated_boxes(boxes) for boxes in lists) / named
    hits = [value for a in answers if isinstance(value := a.score.details.get("n_hits"), int)]
    if len(hits) == len(answers):
        if named:
            out["precision"] = sum(hits) / named
        if true:
            out["recall"] = sum(hits) / true
    return out


def _volumes(answers: Sequence[Answered]) -> dict[str, float]:
    predicted = _log_volumes([box for a in answers for box in _numbers_of(a.answer)])
    true = _log_volumes([box for a in answers for box in _numbers_of(a.gold)])
    if not len(predicted) or not len(true):
        return {}
    return {
        "box_volume_m3": float(np.exp(predicted.mean())),
        "volume_per_truth": float(np.exp(predicted.mean() - true.mean())),
    }


def _sameness(answers: Sequence[Answered]) -> dict[str, float]:
    prompts = {a.sample_id: _choice_of(a.gold) for a in answers}
    if len(prompts) < FEWEST_PROMPTS:
        return {}
    given = Counter(_choice_of(a.answer) for a in answers)
    common, count = given.most_common(1)[0]
    return {
        "same_answer": count / len(answers),
        "same_truth": sum(choice == common for choice in prompts.values()) / len(prompts),
    }


def _choice_of(answer: object) -> object:
    return answer.frame if isinstance(answer, FrameBox) else answer


def _boxes_of(answer: object) -> tuple[LabelledBox, ...]:
    return answer if isinstance(answer, tuple) else ()


def _numbers_of(answer: object) -> list[tuple[float, ...]]:
    if isinstance(answer, FrameBox):
        return [answer.box]
    return [item.box for item in _boxes_of(answer)]


def _log_volumes(boxes: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Logarithms of the volumes of the valid boxes."""
    array = np.array(boxes, dtype=np.float64).reshape(-1, 9)
    return np.log(array[boxes_valid(array), 3:6]).sum(axis=1)
