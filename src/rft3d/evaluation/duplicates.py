"""Objects named twice: how often detection answers do it, and the numbers without the repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rft3d.answers import LabelledBox
from rft3d.geometry import box_iou_pairs
from rft3d.rewards import Comparison, Score
from rft3d.tasks.detection import Detection
from rft3d.tasks.detection_metric import detection_details, pool_details
from rft3d.tasks.types import Sample, summed

DUPLICATE_IOU = 0.5
"""A box that overlaps an earlier one of its label by more is a duplicate."""


def duplicates(task: Detection, samples: Sequence[Sample], scores: Sequence[Score]) -> dict[str, Any]:
    """``count`` and ``rate`` of duplicates among all predicted boxes, and F1@0.25 ``without`` them.

    ``without`` holds the metric's ``f1@0.25``, ``/present`` and ``/micro`` over answers whose duplicates are
    removed; empty when nothing is removed.
    """
    compared = [score.comparison for score in scores]
    repeated = _repeated([() if both is None else both.predicted for both in compared])
    count = sum(map(len, repeated))
    total = sum(len(both.predicted) for both in compared if both is not None)
    found = {"iou": DUPLICATE_IOU, "count": count, "rate": count / total if total else None, "without": {}}
    if not count:
        return found
    pools = []
    for sample, score, gone in zip(samples, scores, repeated, strict=True):
        both = score.comparison
        if both is None or not gone:
            pools += task.pools([sample], [score])
            continue
        kept = [k for k in range(len(both.predicted)) if k not in gone]
        less = Comparison(tuple(both.predicted[k] for k in kept), both.truth, both.iou[kept])
        pools.append(pool_details(detection_details(less), task.classes))
    metrics = task.metric_from(summed(pools))
    return {**found, "without": {name: metrics[name] for name in _NAMES}}


_NAMES = ("f1@0.25", "f1@0.25/present", "f1@0.25/micro")


def _repeated(lists: Sequence[Sequence[LabelledBox]]) -> list[set[int]]:
    """Of each list, the places of boxes that overlap an earlier one of their label."""
    where: list[tuple[int, int]] = []
    pairs: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    for number, boxes in enumerate(lists):
        earlier: dict[str, list[tuple[float, ...]]] = {}
        for place, box in enumerate(boxes):
            others = earlier.setdefault(box.label, [])
            where += [(number, place)] * len(others)
            pairs += [(box.box, other) for other in others]
            others.append(box.box)
    found: list[set[int]] = [set() for _ in lists]
    if pairs:
        ours, theirs = np.array(pairs).transpose(1, 0, 2)
        for (number, place), iou in zip(where, box_iou_pairs(ours, theirs).tolist(), strict=True):
            if iou > DUPLICATE_IOU:
                found[number].add(place)
    return found
