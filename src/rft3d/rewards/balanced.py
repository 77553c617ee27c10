"""Rewards for lists of labelled boxes in which rare classes weigh as much as frequent ones. Ours.

The published F1 is the unweighted mean over K classes, each pooled over the data set:

    F1 = 1/K sum_c 2 TP_c / (N_c + M_c)        N_c, M_c = boxes predicted and true of class c

The paper's R_F1 (:mod:`rft3d.rewards.detection`) pools all labels of an answer instead, so it pays for a chair as
for a bathtub, and with it a policy gains most where there are most objects. Around N_c = M_c a hit of class c adds
1 / (K M_c) to the metric. With w_c in proportion to 1 / M_c an answer's own

    R = 2 sum_TP w / (sum_predicted w + sum_true w)

pays for the same things (up to the size of the answer that it is a share of). The one-to-one reward is weighted
alike:

    R = (sum of w IoU over the best one-to-one assignment) / max(sum_predicted w, sum_true w)

With all weights equal both are the rewards without weights.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rft3d.rewards.detection import (
    DetectionMatch,
    Detections,
    detection_credit,
    detection_f1,
    detection_matched_iou,
    match_detections,
)
from rft3d.rewards.types import Part


def inverse_frequency(labels: Iterable[str]) -> dict[str, float]:
    """Weights for the labels of a training set's boxes: 1 / count, with mean 1 over the boxes.

    Raises:
        ValueError: no labels.
    """
    counts = Counter(labels)
    if not counts:
        raise ValueError("class weights need at least one label")
    return {label: counts.total() / (len(counts) * count) for label, count in sorted(counts.items())}


def check_class_weights(weights: Mapping[str, float]) -> None:
    """ValueError unless every weight is a positive number."""
    for label, weight in weights.items():
        if not (isinstance(weight, int | float) and math.isfinite(weight) and weight > 0):
            raise ValueError(f"the class weight of {label!r} must be a positive number, got {weight!r}")


def balanced_f1(
    predicted: Detections,
    truth: Detections,
    weights: Mapping[str, float],
    threshold: float = 0.25,
    match: DetectionMatch | None = None,
) -> Part:
    """R_F1 with each box counted ``weights[label]`` times, 1 for labels without one.

    ``match``: :func:`rft3d.rewards.match_detections`, if known.
    """
    name = f"balanced_f1@{threshold:g}"
    if not predicted or not truth:
        return replace(detection_f1(predicted, truth, threshold), name=name)
    pairs = (match or match_detections(predicted, truth, threshold)).pairs
    hits = sum(_weight(weights, predicted[i].label) for i, _, _ in pairs)
    named, true = _total(predicted, weights), _total(truth, weights)
    reason = (
        f"{len(pairs)} of {len(truth)} found, by weight {hits:.2f} of {true:.2f}, {named - hits:.2f} wrong"
    )
    return Part(name, min(2 * hits / (named + true), 1.0), reason)


def balanced_matched_iou(
    predicted: Detections,
    truth: Detections,
    weights: Mapping[str, float],
    credit: Sequence[float] | None = None,
) -> Part:
    """The matched reward with each box counted ``weights[label]`` times, 1 for labels without one.

    ``credit``: :func:`rft3d.rewards.detection_credit`, if known.
    """
    name = "balanced_iou"
    if not predicted or not truth:
        return replace(detection_matched_iou(predicted, truth), name=name)
    if credit is None:
        credit = detection_credit(predicted, truth)
    pairs = zip(predicted, credit, strict=True)
    total = sum(_weight(weights, detection.label) * value for detection, value in pairs)
    larger = max(_total(predicted, weights), _total(truth, weights))
    reason = f"matched IoU by weight {total:.3f} over {larger:.2f}"
    return Part(name, min(total / larger, 1.0), reason)


def _weight(weights: Mapping[str, float], label: str) -> float:
    return weights.get(label, 1.0)


def _total(detections: Detections, weights: Mapping[str, float]) -> float:
    return sum(_weight(weights, detection.label) for detection in detections)
