"""A list of labelled boxes against the true list, compared once; every reward of such lists reads it.

A *set reward* is a function ``Comparison -> Part``; :data:`SET_REWARDS` names them all. What one box is worth to
any of them is its marginal reward (:func:`rft3d.rewards.marginal_credit`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rft3d.answers import LabelledBox
from rft3d.geometry import optimal_match
from rft3d.rewards.balanced import balanced_f1, balanced_matched_iou
from rft3d.rewards.detection import (
    DetectionMatch,
    detection_f1,
    detection_matched_diou,
    detection_matched_iou,
    detection_mean_iou,
    label_ious,
    match_detections,
    shaped_ious,
)
from rft3d.rewards.types import Part

Assignment = tuple[tuple[float, int | None], ...]
"""Each prediction's value and the index of its truth, in output order; ``(0, None)`` without one."""

FALSE_ALARM = 0.3
"""What a wrong box costs in ``hungarian`` where a missed object costs 1."""
GRADES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted boxes against true ones; what several rewards need is computed once.

    Attributes:
        predicted, truth: N and M labelled boxes in one frame, in metres and radians.
        class_weights: what a box of a label counts in the balanced rewards; 1 where absent.
        iou: ``(N, M)`` exact IoUs, 0 where the labels differ; :meth:`of` computes it.
    """

    predicted: tuple[LabelledBox, ...]
    truth: tuple[LabelledBox, ...]
    iou: NDArray[np.float64]
    class_weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        predicted: tuple[LabelledBox, ...],
        truth: tuple[LabelledBox, ...],
        class_weights: Mapping[str, float] | None = None,
    ) -> Comparison:
        """The comparison of two lists, with its IoUs."""
        (iou,) = label_ious([(predicted, truth)])
        return cls(predicted, truth, iou, class_weights or {})

    @cached_property
    def match(self) -> DetectionMatch:
        """Hits at IoU > 0.25 as the official evaluation counts them."""
        return match_detections(self.predicted, self.truth, iou=self.iou)

    @cached_property
    def assigned(self) -> Assignment:
        """The best one-to-one assignment by IoU."""
        return _assigned(self.iou)

    @cached_property
    def shaped_iou(self) -> NDArray[np.float64]:
        """``(N, M)`` values (1 + DIoU) / 2 of equal labels."""
        return shaped_ious(self.predicted, self.truth, self.iou)

    @cached_property
    def shaped(self) -> Assignment:
        """The best one-to-one assignment by (1 + DIoU) / 2."""
        return _assigned(self.shaped_iou)

    def without(self, index: int) -> Comparison:
        """The same without prediction ``index``; nothing is computed again that only loses a row."""
        kept = [i for i in range(len(self.predicted)) if i != index]
        less = Comparison(
            tuple(self.predicted[i] for i in kept), self.truth, self.iou[kept], self.class_weights
        )
        if "shaped_iou" in self.__dict__:
            less.__dict__["shaped_iou"] = self.shaped_iou[kept]
        return less


def graded_f1(both: Comparison) -> Part:
    """The mean of F1 at IoU 0.25, 0.5 and 0.75: a hit earns more the closer it is."""
    name = f"f1@{GRADES[0]:g}:{GRADES[-1]:g}"
    parts = [
        detection_f1(both.predicted, both.truth, t, match_detections(both.predicted, both.truth, t, both.iou))
        for t in GRADES
    ]
    found = ", ".join(f"{part.value:.2f} at {t:g}" for t, part in zip(GRADES, parts, strict=True))
    return Part(name, float(np.mean([part.value for part in parts])), f"F1 {found}")


def hungarian(both: Comparison, threshold: float = 0.25) -> Part:
    """``1 - (FN + 0.3 FP) / M`` over the best one-to-one assignment, not below -1.

    The reward -(FN + 0.3 FP) of Falcon Perception (2026, appendix E), counted from full marks and per true
    object. A miss costs more than a false alarm, so it does not pay for saying little, as an F1 can. Below
    0 where false alarms cost more than the hits bring.
    """
    n, m = len(both.predicted), len(both.truth)
    hits = sum(value > threshold for value, _ in both.assigned)
    missed, wrong = m - hits, n - hits
    value = max(-1.0, 1.0 - (missed + FALSE_ALARM * wrong) / max(1, m))
    return Part("hungarian", value, f"{missed} of {m} missed, {wrong} of {n} wrong at {FALSE_ALARM:g} each")


SET_REWARDS: dict[str, Callable[[Comparison], Part]] = {
    "mean_iou": lambda c: detection_mean_iou(c.predicted, c.truth, iou=c.iou),
    "f1@0.25": lambda c: detection_f1(c.predicted, c.truth, match=c.match),
    "f1@0.25:0.75": graded_f1,
    "hungarian": hungarian,
    "matched_iou": lambda c: detection_matched_iou(c.predicted, c.truth, [v for v, _ in c.assigned]),
    "matched_diou": lambda c: detection_matched_diou(c.predicted, c.truth, c.iou, c.shaped),
    "balanced_f1@0.25": lambda c: balanced_f1(c.predicted, c.truth, c.class_weights, match=c.match),
    "balanced_iou": lambda c: balanced_matched_iou(
        c.predicted, c.truth, c.class_weights, [v for v, _ in c.assigned]
    ),
}


def _assigned(values: NDArray[np.float64]) -> Assignment:
    found: list[tuple[float, int | None]] = [(0.0, None)] * len(values)
    for i, j in optimal_match(values):
        found[i] = (float(values[i, j]), j)
    return tuple(found)
