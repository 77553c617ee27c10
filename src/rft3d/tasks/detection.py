"""Video 3D detection: name every object that the frames show, with its box in the first frame's camera.

Prompt, target and metric are those of ScanNetDetection in VG-LLM, which 3D-RFT trains and reports on
(``docs/papers.md``). One real sample, room 1 with four frames::

    prompt   <image><image><image><image>Detect the 3D bounding boxes in the camera coordinate system of ...
             Output a json list where each entry contains the object name in "label" and its 3D bounding ...
             The 3D bounding box format should be [x_center, y_center, z_center, x_size, y_size, z_size, ...
    truth    {"boxes": [{"label": "couch", "bbox_3d": [-0.3806, 0.1509, 2.1971, ...]}, ...]}
    gold     ```json
             [
                 {"label": "couch", "bbox_3d": [-0.38, 0.15, 2.2, 1.94, 0.82, 0.95, 0.0, 0.45, -0.26]},
                 {"label": "table", "bbox_3d": [1.45, 0.28, 2.02, 1.28, 0.74, 0.74, 0.0, 0.45, -0.11]},
                 {"label": "pillow", "bbox_3d": [-0.14, 0.02, 2.23, 0.55, 0.17, 0.37, 0.0, 0.45, -0.37]},
                 {"label": "chair", "bbox_3d": [1.61, 0.49, 1.35, 0.46, 0.94, 0.49, 0.0, 0.45, -0.12]}
             ]```

The data files upstream have a newline after every ``<image>``, which its loader deletes before the model sees
the text; prompts here are what the model sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import atan2
from typing import Any, ClassVar, Literal

import numpy as np

from rft3d.answers import LabelledBox, ParseFailure, ParseMode, parse_detections, render_detections
from rft3d.geometry import canonical_boxes, invert_pose, transform_boxes
from rft3d.prompts import IMAGE
from rft3d.rewards import (
    Part,
    Score,
    detection_credit,
    detection_f1,
    detection_matched_iou,
    detection_mean_iou,
    format_part,
    match_detections,
    zero_parts,
)
from rft3d.scenes.labels import CATE20
from rft3d.scenes.types import Scene
from rft3d.tasks._shared import TRUNCATED, checked_refs, first_seen, mean, never_flat, ratio
from rft3d.tasks.types import Sample

PROMPT = (
    "Detect the 3D bounding boxes in the camera coordinate system of the first frame.\n"
    'Output a json list where each entry contains the object name in "label" and its 3D bounding box in '
    '"bbox_3d".\n'
    "The 3D bounding box format should be [x_center, y_center, z_center, x_size, y_size, z_size, yaw, roll, "
    "pitch]."
)

_PARTS = {
    "paper": ("format", "mean_iou", "f1@0.25"),
    "matched": ("format", "f1@0.25", "matched_iou"),
}


@dataclass(frozen=True)
class Detection:
    """The detection task.

    Attributes:
        decimals: of the numbers in gold texts; 2 is official, 1 is easier to learn for small models.
        order: of the boxes in gold texts: ``first_seen`` (official) by the frame that first shows them,
            ``azimuth`` from left to right in the first camera, by ``atan2(x, z)``.
        canonical: write each box in that one of its 24 equivalent forms whose rotation is nearest to none.
        labels: only these labels are asked for; None: all but ``exclude``.
        exclude: labels that are never asked for (official: the four here).
        min_visible: a frame shows an object when it shows at least this share of it.
        reward: parts of the score. ``paper``: format + mean IoU over predictions + F1@0.25;
            ``matched``: format + F1@0.25 + one-to-one IoU over the larger count, which can't be hacked by
            naming only what is sure (:mod:`rft3d.rewards.detection`).
        mode: how the boxes are read; the format part always needs ``strict``. ``upstream`` to compare
            with published numbers.
        classes: the list that macro means go over; ``CATE20`` (:mod:`rft3d.scenes.labels`) is published.
    """

    decimals: int = 2
    order: Literal["first_seen", "azimuth"] = "first_seen"
    canonical: bool = True
    labels: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ("wall", "ceiling", "floor", "object")
    min_visible: float = 0.05
    reward: Literal["paper", "matched"] = "paper"
    mode: ParseMode = "lenient"
    classes: tuple[str, ...] = CATE20

    name: ClassVar[str] = "detection"

    def __post_init__(self) -> None:
        if self.reward not in _PARTS:
            raise ValueError(f"Detection.reward must be one of {tuple(_PARTS)}, got {self.reward!r}")
        if self.order not in ("first_seen", "azimuth"):
            raise ValueError(f"Detection.order must be 'first_seen' or 'azimuth', got {self.order!r}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"Detection.classes must be unique, got {self.classes}")

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """One sample with all frames; none when no frame shows an object. ``seed`` has no effect."""
        refs = checked_refs(scene, frame_refs)
        things = [
            thing
            for thing in first_seen(scene, self.min_visible)
            if thing.label not in self.exclude and (self.labels is None or thing.label in self.labels)
        ]
        if not things:
            return []
        T_camera_world = invert_pose(scene.frames[0].T_world_camera)
        boxes = transform_boxes(T_camera_world, np.stack([thing.box for thing in things]))
        if self.canonical:
            boxes = canonical_boxes(boxes)
        rows = [
            {"label": thing.label, "bbox_3d": box.tolist()} for thing, box in zip(things, boxes, strict=True)
        ]
        if self.order == "azimuth":
            rows.sort(key=lambda row: atan2(row["bbox_3d"][0], row["bbox_3d"][2]))
        return [
            Sample(
                id=f"{scene.id}:detection:0",
                task=self.name,
                scene=scene.id,
                frames=refs,
                prompt=IMAGE * len(refs) + PROMPT,
                truth={"boxes": rows},
                meta={"objects": len(rows)},
            )
        ]

    def gold(self, sample: Sample) -> str:
        """The truth in upstream's layout; rounded, so its IoU is not quite 1."""
        rows = [LabelledBox(true.label, never_flat(true.box, self.decimals)) for true in _truth(sample)]
        return render_detections(rows, self.decimals)

    def parse(
        self, text: str, sample: Sample, mode: ParseMode | None = None
    ) -> tuple[LabelledBox, ...] | ParseFailure:
        """The boxes in ``text``; ``mode`` None: the task's."""
        return parse_detections(text, mode or self.mode)

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        """Parts named by ``reward``, weight 1 each. Truncated text earns 0 and counts as naming nothing."""
        truth = _truth(sample)
        if truncated:
            parts = zero_parts(_PARTS[self.reward], TRUNCATED)
            return Score(parts, truncated=True, details=_details((), truth))
        boxes = self.parse(text, sample)
        if isinstance(boxes, ParseFailure):
            return Score(zero_parts(_PARTS[self.reward], boxes.reason), boxes, details=_details((), truth))
        strict = self.parse(text, sample, "strict")
        first = format_part(strict if isinstance(strict, ParseFailure) else None)
        return Score((first, *self._task_parts(boxes, truth)), details=_details(boxes, truth))

    def _task_parts(self, boxes: Sequence[LabelledBox], truth: Sequence[LabelledBox]) -> tuple[Part, Part]:
        if self.reward == "paper":
            return detection_mean_iou(boxes, truth), detection_f1(boxes, truth)
        return detection_f1(boxes, truth), detection_matched_iou(boxes, truth)

    def metric(self, samples: Sequence[Sample], scores: Sequence[Score]) -> dict[str, float | None]:
        """Precision, recall and F1 at IoU > 0.25, pooled per class, and mean IoUs.

        Counts are summed over the data set per class, each class gets its P, R and F1 (0 when undefined).
        ``f1@0.25``: unweighted mean over ``classes`` (the published number; a class that nobody has
        counts 0, as upstream). ``f1@0.25/present``: over those of ``classes`` that occur in the truth.
        ``f1@0.25/micro``: all labels pooled. ``f1@0.25/class:chair``: one class. So for precision and recall.
        ``mean_iou``: mean over true boxes of the IoU of the box matched to them one to one (0 when
        missed); ``mean_iou/hits``: over hits only. ``count/outside_*``: boxes whose label is not in
        ``classes``; they cost nothing in the means over classes. Rates are None of nothing.
        """
        counts = _pool([score.details for score in scores])
        result = _class_means(counts, self.classes) if samples else {}
        for name in ("f1", "precision", "recall"):  # the same keys with and without samples
            for suffix in ("", "/present", "/micro"):
                result.setdefault(f"{name}@0.25{suffix}", None)
        details: list[Mapping[str, Any]] = [score.details for score in scores]
        truths = sum(d["n_true"] for d in details)
        hits = sum(d["n_hits"] for d in details)
        outside = [triple for label, triple in counts.items() if label not in self.classes]
        return {
            **result,
            "mean_iou": sum(d["matched_iou_sum"] for d in details) / truths if truths else None,
            "mean_iou/hits": sum(d["hit_iou_sum"] for d in details) / hits if hits else None,
            "count/samples": float(len(samples)),
            "count/predictions": float(sum(d["n_pred"] for d in details)),
            "count/truths": float(truths),
            "count/outside_predictions": float(sum(tp + fp for tp, fp, _ in outside)),
            "count/outside_truths": float(sum(tp + fn for tp, _, fn in outside)),
        }


def _truth(sample: Sample) -> tuple[LabelledBox, ...]:
    return tuple(LabelledBox(row["label"], tuple(row["bbox_3d"])) for row in sample.truth["boxes"])


def _details(boxes: Sequence[LabelledBox], truth: Sequence[LabelledBox]) -> dict[str, object]:
    match = match_detections(boxes, truth)
    hits = [iou for _, _, iou in match.pairs]
    credit = detection_credit(boxes, truth)
    return {
        "counts": {label: [c.tp, c.fp, c.fn] for label, c in match.counts.items()},
        "n_pred": len(boxes),
        "n_true": len(truth),
        "n_hits": len(hits),
        "hit_iou_sum": sum(hits),
        "matched_iou_sum": sum(credit),
        "credit": list(credit),  # one a predicted box, in output order: what per-object credit reads
        "mean_matched_iou": mean(hits),
    }


def _pool(details: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """label -> [TP, FP, FN] over the data set."""
    counts: dict[str, list[int]] = {}
    for detail in details:
        for label, triple in detail["counts"].items():
            pooled = counts.setdefault(label, [0, 0, 0])
            for index in range(3):
                pooled[index] += triple[index]
    return counts


def _prf(tp: int, fp: int, fn: int) -> dict[str, float]:
    return {
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def _class_means(counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> dict[str, float | None]:
    per_class = {label: _prf(*counts.get(label, (0, 0, 0))) for label in classes}
    present = [label for label in classes if label in counts and counts[label][0] + counts[label][2] > 0]
    micro = _prf(*(sum(triple[index] for triple in counts.values()) for index in range(3)))
    result: dict[str, float | None] = {}
    for name in ("f1", "precision", "recall"):
        result[f"{name}@0.25"] = mean(per_class[label][name] for label in classes)
        result[f"{name}@0.25/present"] = mean(per_class[label][name] for label in present)
        result[f"{name}@0.25/micro"] = micro[name]
    for label in present:
        for name in ("f1", "precision", "recall"):
            result[f"{name}@0.25/class:{label}"] = per_class[label][name]
    return {**result, "count/classes_present": float(len(present))}
