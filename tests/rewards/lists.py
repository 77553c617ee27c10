"""The rewards of two plain lists, for tests that write them down by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rft3d.answers import LabelledBox
from rft3d.rewards import Comparison, DetectionMatch, Part
from rft3d.rewards import detection as rewards

Boxes = Sequence[LabelledBox]


def _of_lists(reward: Callable[[Comparison], Part]) -> Callable[[Boxes, Boxes], Part]:
    return lambda predicted, truth: reward(Comparison.of(predicted, truth))


detection_mean_iou = _of_lists(rewards.mean_iou)
detection_matched_iou = _of_lists(rewards.matched_iou)
detection_matched_diou = _of_lists(rewards.matched_diou)


def detection_f1(predicted: Boxes, truth: Boxes, threshold: float = 0.25) -> Part:
    return rewards.f1(Comparison.of(predicted, truth), threshold)


def match_detections(predicted: Boxes, truth: Boxes, threshold: float = 0.25) -> DetectionMatch:
    return Comparison.of(predicted, truth).hits(threshold)


def detection_assignment(predicted: Boxes, truth: Boxes) -> tuple[tuple[float, int | None], ...]:
    return Comparison.of(predicted, truth).assigned


def detection_credit(predicted: Boxes, truth: Boxes) -> tuple[float, ...]:
    return tuple(value for value, _ in Comparison.of(predicted, truth).assigned)
