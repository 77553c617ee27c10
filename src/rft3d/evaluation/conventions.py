"""Extra facts about detections: which box convention a predictions file fits best, lmms-eval's SUN RGB-D score,
and objects named twice."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.answers import LabelledBox
from rft3d.answers.foreign import CONVENTIONS, Convention, foreign_boxes, yaw_only
from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.results import Duplicates, SunRgbd
from rft3d.geometry import box_iou
from rft3d.rewards import Comparison, Score, label_ious
from rft3d.tasks.detection import Detection, detection_truth, pool_boxes
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample, summed

SUN_HARNESS = "lmms-eval 0.7.2, task sunrgbd"
SUN_THRESHOLDS = tuple(round(0.25 + 0.05 * k, 2) for k in range(6))
CLEAR_IOU = 0.05
"""A convention whose mean IoU is higher by less than this is no better."""
FEWEST = 10


@dataclass(frozen=True)
class Fit:
    """How well a convention fits the ``boxes`` whose label the truth has: their mean highest IoU with a true one of
    that label, the share of ``hits`` above 0.25."""

    convention: Convention
    boxes: int
    mean_iou: float
    hits: float


def fitting_conventions(samples: Sequence[Sample], predictions: Sequence[Prediction]) -> list[Fit]:
    """Every convention, the best first."""
    by_id = {prediction.id: prediction.text for prediction in predictions}
    found = []
    for convention in CONVENTIONS:
        pairs = [
            (foreign_boxes(by_id.get(sample.id, ""), convention), detection_truth(sample))
            for sample in samples
        ]
        best = []
        for (boxes, truth), iou in zip(pairs, label_ious(pairs), strict=True):
            known = {box.label for box in truth}
            best += [iou[k].max() for k, box in enumerate(boxes) if box.label in known]
        mean = float(np.mean(best)) if best else 0.0
        hits = float(np.mean(np.array(best) > 0.25)) if best else 0.0
        found.append(Fit(convention, len(best), mean, hits))
    return sorted(found, key=lambda each: -each.mean_iou)


def conventions_of_file(predictions: Path, samples: Path) -> list[Fit]:
    """:func:`fitting_conventions` of two files. ValueError: samples of a task without boxes to fit."""
    asked = list(read_samples(samples))
    if other := next((sample for sample in asked if sample.task != "detection"), None):
        raise ValueError(
            f"{samples}: sample {other.id!r} is of task {other.task!r}; only detection has boxes to fit"
        )
    return fitting_conventions(asked, load_predictions(predictions, asked).predictions)


def convention_words(found: Sequence[Fit]) -> list[str]:
    """What :func:`fitting_conventions` means, in lines."""
    lines = [
        f"  {each.convention:14} mean IoU {each.mean_iou:.3f}, {100 * each.hits:.1f} % above 0.25 "
        f"({each.boxes} boxes)"
        for each in found
    ]
    best, house = found[0], next(each for each in found if each.convention == "house")
    if best.boxes < FEWEST:
        verdict = f"too few boxes with a label of the truth ({best.boxes}) to tell"
    elif best.mean_iou - house.mean_iou > CLEAR_IOU:
        verdict = f"these boxes look like {best.convention}: score with --boxes {best.convention}"
    elif best.mean_iou < CLEAR_IOU:
        verdict = "no known convention fits: wrong samples file, other units, or boxes that are wrong"
    else:
        verdict = "the house's convention fits"
    return [*lines, verdict]


def sun_rgbd_score(samples: Sequence[Sample], predictions: Sequence[Prediction]) -> SunRgbd:
    """mAP over .25:.05:.5, at .25 and at .5 as lmms-eval's ``sunrgbd`` computes it, from its own layout.

    IoU of boxes turned about the vertical axis alone; every prediction has score 1, so that the order of files
    decides; 101-point interpolation; mean over labels of the truth.
    """
    by_id = {prediction.id: prediction.text for prediction in predictions}
    truths: dict[str, dict[int, list[NDArray[np.float64]]]] = defaultdict(lambda: defaultdict(list))
    named: dict[str, list[tuple[int, NDArray[np.float64]]]] = defaultdict(list)
    for place, sample in enumerate(samples):
        for box in detection_truth(sample):
            truths[_key(box)][place].append(yaw_only(np.array(box.box)))
        # its walk through the JSON takes the last box first
        for box in reversed(foreign_boxes(by_id.get(sample.id, ""), "sun-rgbd")):
            named[_key(box)].append((place, np.array(box.box)))
    means = [
        float(np.mean([_ap(truths[label], named[label], threshold) for label in truths]))
        for threshold in SUN_THRESHOLDS
    ]
    return SunRgbd(SUN_HARNESS, sum(means) / len(means), means[0], means[-1])


def _key(box: LabelledBox) -> str:
    return box.label.strip().lower()


def _ap(
    truths: dict[int, list[NDArray[np.float64]]],
    named: Sequence[tuple[int, NDArray[np.float64]]],
    threshold: float,
) -> float:
    free = {place: np.ones(len(rows), dtype=bool) for place, rows in truths.items()}
    hits = np.zeros(len(named))
    for k, (place, box) in enumerate(named):
        if place not in truths:
            continue
        iou = np.where(free[place], box_iou(box[None], np.array(truths[place]))[0], 0.0)
        best = int(np.argmax(iou))
        if iou[best] > 0 and iou[best] >= threshold:
            hits[k], free[place][best] = 1.0, False
    reached = np.cumsum(hits)
    recall = reached / sum(map(len, truths.values()))
    precision = reached / np.arange(1, len(named) + 1)
    levels = np.linspace(0.0, 1.0, 101)
    return float(np.mean([precision[recall >= level].max(initial=0.0) for level in levels]))


DUPLICATE_IOU = 0.5
"""A box that overlaps an earlier one of its label by more is a duplicate."""


def duplicates(task: Detection, scores: Sequence[Score]) -> Duplicates:
    """How many of the predicted boxes name an object twice, and what F1@0.25 is without them."""
    compared = [score.evidence_of(Comparison) for score in scores]
    lists = [both.predicted for both in compared]
    overlaps = [
        np.tril(iou, -1).max(axis=1, initial=0.0) for iou in label_ious([(each, each) for each in lists])
    ]
    repeated = [set(np.flatnonzero(each > DUPLICATE_IOU).tolist()) for each in overlaps]
    count = sum(map(len, repeated))
    total = sum(map(len, lists))
    found = Duplicates(DUPLICATE_IOU, count, count / total if total else None, {})
    if not count:
        return found
    pools = []
    for both, gone in zip(compared, repeated, strict=True):
        kept = [k for k in range(len(both.predicted)) if k not in gone]
        boxes = tuple(both.predicted[k] for k in kept)
        less = Comparison(boxes, both.truth, both.iou[kept]) if gone else both
        pools.append(pool_boxes(less, task.classes))
    metrics = task.metric_from(summed(pools))
    return replace(found, without={name: metrics[name] for name in _NAMES})


_NAMES = ("f1@0.25", "f1@0.25/present", "f1@0.25/micro")
