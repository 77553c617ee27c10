"""Objects named twice: how often detection answers do it, and the numbers without the repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rft3d.answers import LabelledBox, ParseFailure
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.score import ScoredRun
from rft3d.geometry import box_iou_pairs
from rft3d.rewards import label_ious, match_detections
from rft3d.tasks._shared import summed
from rft3d.tasks.detection import Detection, detection_truth
from rft3d.tasks.detection_metric import detection_details, pool_details

DUPLICATE_IOU = 0.5
"""A box that overlaps an earlier one of its label by more is a duplicate."""


def duplicates(run: ScoredRun, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """``count`` and ``rate`` of duplicates among all predicted boxes, and F1@0.25 ``without`` them.

    ``without`` holds the metric's ``f1@0.25``, ``/present`` and ``/micro`` over answers whose duplicates are
    removed; empty when nothing is removed.
    """
    task = run.task
    assert isinstance(task, Detection)
    by_id = {prediction.id: prediction.text for prediction in predictions}
    lists: dict[int, tuple[LabelledBox, ...]] = {}
    total = 0
    for place, (sample, score) in enumerate(zip(run.samples, run.scores, strict=True)):
        details: Any = score.details
        total += details["n_pred"]
        if any(tp + fp > 1 for tp, fp, _ in details["counts"].values()):
            boxes = task.parse(by_id[sample.id], sample)
            lists[place] = () if isinstance(boxes, ParseFailure) else boxes
    repeated = _repeated(list(lists.values()))
    kept = {
        place: tuple(box for k, box in enumerate(boxes) if k not in gone)
        for (place, boxes), gone in zip(lists.items(), repeated, strict=True)
        if gone
    }
    count = sum(map(len, repeated))
    found = {"iou": DUPLICATE_IOU, "count": count, "rate": count / total if total else None, "without": {}}
    if not kept:
        return found
    pools = [task.pool(*pair) for pair in zip(run.samples, run.scores, strict=True)]
    pairs = [(boxes, detection_truth(run.samples[place])) for place, boxes in kept.items()]
    for place, (boxes, truth), iou in zip(kept, pairs, label_ious(pairs), strict=True):
        match = match_detections(boxes, truth, iou=iou)
        pools[place] = pool_details(detection_details(boxes, truth, match, ()), task.classes)
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
