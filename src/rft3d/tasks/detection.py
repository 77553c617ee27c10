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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import atan2
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from rft3d.answers import LabelledBox, ParseFailure, ParseMode, Rounding, parse_detections, render_detections
from rft3d.geometry import canonical_boxes, invert_pose, transform_boxes
from rft3d.prompts import IMAGE
from rft3d.rewards import SET_REWARDS, Comparison, Score, format_part, label_ious, zero_parts
from rft3d.scenes.types import CATE20, Scene
from rft3d.settings import Checked
from rft3d.tasks.types import TRUNCATED, Sample, Task, checked_refs, first_seen, mean, reward_parts

PROMPT = (
    "Detect the 3D bounding boxes in the camera coordinate system of the first frame.\n"
    'Output a json list where each entry contains the object name in "label" and its 3D bounding box in '
    '"bbox_3d".\n'
    "The 3D bounding box format should be [x_center, y_center, z_center, x_size, y_size, z_size, yaw, roll, "
    "pitch]."
)

NEVER_ASKED = ("wall", "ceiling", "floor", "object")
"""Labels that the official data leave out."""
PRESETS: dict[str, tuple[str, ...]] = {
    "paper": ("format", "mean_iou", "f1@0.25"),
    "matched": ("format", "f1@0.25", "matched_iou"),
    "iou": ("format", "mean_iou"),
    "f1": ("format", "f1@0.25"),
    "matched_diou": ("format", "f1@0.25", "matched_diou"),
    "graded": ("format", "f1@0.25:0.75"),
}
"""Names for parts that are often asked for together."""
_KINDS = ("tp", "fp", "fn")


class _Reading(NamedTuple):
    """An answer as read: its boxes, why it could not be read, and what strict reading has against it."""

    boxes: tuple[LabelledBox, ...] = ()
    failure: ParseFailure | None = None
    fault: ParseFailure | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Detection(Checked, Task):
    """The detection task.

    Attributes:
        decimals: of the numbers in gold texts; 2 is official, 1 is easier to learn for small models.
        order: of the boxes in gold texts: ``first_seen`` (official) by the frame that first shows them,
            ``azimuth`` from left to right in the first camera, by ``atan2(x, z)``.
        rounding: of gold texts (:data:`rft3d.answers.Rounding`).
        canonical: write each box in that one of its 24 equivalent forms whose rotation is nearest to none.
        keep_empty: make a sample of a window without objects too, as VG-LLM's evaluation has them.
        min_visible: a frame shows an object when it shows at least this share of it.
        reward: parts of the score, a preset or names of :data:`rft3d.rewards.SET_REWARDS` joined by ``+``, such
            as ``f1@0.25+hungarian`` (format is always there). Presets: ``paper``, mean IoU over predictions +
            F1@0.25; ``matched``, F1@0.25 + one-to-one IoU over the larger count, which can't be hacked by
            naming only what is sure (:mod:`rft3d.rewards.detection`); ``matched_diou``, the same with DIoU;
            ``graded``, F1 at IoU 0.25, 0.5 and 0.75. For ablations: ``iou``, ``f1`` and single parts
            (``hungarian``: a miss costs more than a false alarm).
        mode: how the boxes are read; the format part always needs ``strict``.
        classes: the list that macro means go over; ``CATE20`` (:mod:`rft3d.scenes.types`) is published.
    """

    decimals: int = 2
    order: Literal["first_seen", "azimuth"] = "first_seen"
    canonical: bool = True
    rounding: Rounding = "safe"
    min_visible: float = 0.05
    keep_empty: bool = False
    reward: str = "paper"
    mode: ParseMode = "lenient"
    classes: tuple[str, ...] = CATE20

    name: ClassVar[str] = "detection"
    rewards: ClassVar[tuple[str, ...]] = ("format", *SET_REWARDS)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parts()  # an unknown reward is named here
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"Detection.classes must be unique, got {self.classes}")

    def parts(self) -> tuple[str, ...]:
        return reward_parts("Detection", self.reward, PRESETS, ("format", *SET_REWARDS))

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """One sample with all frames; none when no frame shows an object (see ``keep_empty``)."""
        refs = checked_refs(scene, frame_refs)
        things = [thing for thing in first_seen(scene, self.min_visible) if thing.label not in NEVER_ASKED]
        if not things and not self.keep_empty:
            return []
        rows: list[dict[str, Any]] = []
        if things:
            T_camera_world = invert_pose(scene.frames[0].T_world_camera)
            boxes = transform_boxes(T_camera_world, np.stack([thing.box for thing in things]))
            boxes = canonical_boxes(boxes) if self.canonical else boxes
            pairs = zip(things, boxes, strict=True)
            rows = [{"label": thing.label, "bbox_3d": box.tolist()} for thing, box in pairs]
        if self.order == "azimuth":
            rows.sort(key=lambda row: atan2(row["bbox_3d"][0], row["bbox_3d"][2]))
        meta = {"objects": len(rows), **({} if self.rounding == "safe" else {"rounding": self.rounding})}
        prompt = IMAGE * len(refs) + PROMPT
        return [Sample(f"{scene.id}:detection:0", self.name, scene.id, refs, prompt, {"boxes": rows}, meta)]

    def gold(self, sample: Sample) -> str:
        """The truth in upstream's layout; rounded, so its IoU is not quite 1."""
        rounding: Rounding = sample.meta.get("rounding", self.rounding)
        return render_detections(detection_truth(sample), self.decimals, rounding)

    def exact(self) -> "Detection":
        return replace(self, decimals=6)

    def parse(
        self, text: str, sample: Sample, mode: ParseMode | None = None
    ) -> tuple[LabelledBox, ...] | ParseFailure:
        """The boxes in ``text``; ``mode`` None: the task's."""
        return parse_detections(text, mode or self.mode)

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        """Parts named by ``reward``, weight 1 each. Truncated text earns 0 and counts as naming nothing."""
        return self.score_many([text], [sample], [truncated])[0]

    def score_many(
        self, texts: Sequence[str], samples: Sequence[Sample], truncated: Sequence[bool]
    ) -> list[Score]:
        """:meth:`score` of every text; the boxes of all of them are compared in one go, which is faster."""
        readings = [self._read(*each) for each in zip(texts, samples, truncated, strict=True)]
        truths = [detection_truth(sample) for sample in samples]
        ious = label_ious([(reading.boxes, truth) for reading, truth in zip(readings, truths, strict=True)])
        return [self._scored(*each) for each in zip(readings, truths, ious, strict=True)]

    def _read(self, text: str, sample: Sample, truncated: bool) -> _Reading:
        if truncated:
            return _Reading(truncated=True)
        strict = self.parse(text, sample, "strict")
        fault = strict if isinstance(strict, ParseFailure) else None
        # lenient reads the same as strict, except for spaces around labels: no need to read twice
        bare = not isinstance(strict, ParseFailure) and all(box.label == box.label.strip() for box in strict)
        boxes = strict if self.mode == "lenient" and bare else self.parse(text, sample)
        return _Reading((), boxes) if isinstance(boxes, ParseFailure) else _Reading(boxes, None, fault)

    def _scored(self, reading: _Reading, truth: Sequence[LabelledBox], iou: np.ndarray) -> Score:
        both = Comparison(reading.boxes, tuple(truth), iou)
        names = self.parts()
        if reading.truncated:
            return Score(zero_parts(names, TRUNCATED), truncated=True, evidence=both)
        if reading.failure is not None:
            parts = zero_parts(names, reading.failure.reason)
            return Score(parts, reading.failure, evidence=both)
        form = format_part(reading.fault)
        made = tuple(form if name == form.name else SET_REWARDS[name](both) for name in names)
        return Score(made, evidence=both)

    def pools(self, samples: Sequence[Sample], scores: Sequence[Score]) -> list[dict[str, float]]:
        """Per answer: hits, false positives and misses of each class, numbers of boxes, sums of IoUs."""
        return [pool_boxes(score.evidence_of(Comparison), self.classes) for score in scores]

    def metric_from(self, totals: Mapping[str, float]) -> dict[str, float | None]:
        """Precision, recall and F1 at IoU > 0.25, pooled per class, and mean IoUs.

        Counts are summed over the data set per class, each class gets its P, R and F1 (0 when undefined).
        ``f1@0.25``: unweighted mean over ``classes`` (the published number; a class that occurs nowhere
        counts 0, as upstream). ``f1@0.25/present``: over those of ``classes`` that occur in the truth.
        ``f1@0.25/micro``: all labels pooled. ``f1@0.25/class:chair``: one class. So for precision and recall.
        ``mean_iou``: mean over true boxes of the IoU of the box matched to them one to one (0 when
        missed); ``mean_iou/hits``: over hits only. ``count/outside_*``: boxes whose label is not in
        ``classes``; they cost nothing in the means over classes. Rates are None of nothing.
        """
        return metric_from(totals, self.classes)


def detection_truth(sample: Sample) -> tuple[LabelledBox, ...]:
    """The true boxes of a detection sample, in the first frame's camera, metres and radians."""
    return tuple(LabelledBox(row["label"], tuple(row["bbox_3d"])) for row in sample.truth["boxes"])


def pool_boxes(both: Comparison, classes: Sequence[str]) -> dict[str, float]:
    """Sums that one answer adds: of every label together, of each of ``classes``, of labels outside them."""
    hits = [iou for _, _, iou in both.match.pairs]
    pooled = {
        "n_pred": float(len(both.predicted)),
        "n_true": float(len(both.truth)),
        "n_hits": float(len(hits)),
        "hit_iou_sum": float(sum(hits)),
        "matched_iou_sum": float(sum(value for value, _ in both.assigned)),
    }
    pooled.update(samples=1.0, tp=0.0, fp=0.0, fn=0.0, outside_pred=0.0, outside_true=0.0)
    for label, triple in both.match.counts.items():
        for kind, count in zip(_KINDS, triple, strict=True):
            pooled[kind] += count
            if label in classes:
                pooled[f"{kind}:{label}"] = float(count)
        if label not in classes:
            pooled["outside_pred"] += triple[0] + triple[1]
            pooled["outside_true"] += triple[0] + triple[2]
    return pooled


def _prf(tp: float, fp: float, fn: float) -> dict[str, float]:
    """0 when undefined, as VG-LLM's evaluation has it."""
    return {
        "precision": tp / (tp + fp or 1),
        "recall": tp / (tp + fn or 1),
        "f1": 2 * tp / (2 * tp + fp + fn or 1),
    }


def class_rates(totals: Mapping[str, float], label: str) -> dict[str, float]:
    """``precision``, ``recall``, ``f1`` of one class from sums of :func:`pool_boxes`; 0 when undefined."""
    return _prf(*(totals.get(f"{kind}:{label}", 0.0) for kind in _KINDS))


def metric_from(totals: Mapping[str, float], classes: Sequence[str]) -> dict[str, float | None]:
    """The numbers that :meth:`Detection.metric_from` lists, of sums of :func:`pool_boxes`."""
    rates = {label: class_rates(totals, label) for label in classes}
    micro = _prf(*(totals.get(kind, 0.0) for kind in _KINDS))
    present = [c for c in classes if totals.get(f"tp:{c}", 0.0) + totals.get(f"fn:{c}", 0.0) > 0]
    result: dict[str, float | None] = {}
    for name in ("f1", "precision", "recall") if totals.get("samples") else ():
        result[f"{name}@0.25"] = mean(rates[label][name] for label in classes)
        result[f"{name}@0.25/present"] = mean(rates[label][name] for label in present)
        result[f"{name}@0.25/micro"] = micro[name]
    for name in ("f1", "precision", "recall"):  # the same keys with and without samples
        for suffix in ("", "/present", "/micro"):
            result.setdefault(f"{name}@0.25{suffix}", None)
    if totals.get("samples"):
        for label in present:
            result.update({f"{name}@0.25/class:{label}": rates[label][name] for name in rates[label]})
        result["count/classes"] = float(len(classes))
        result["count/classes_present"] = float(len(present))
    truths, hits = totals.get("n_true", 0.0), totals.get("n_hits", 0.0)
    return {
        **result,
        "mean_iou": totals["matched_iou_sum"] / truths if truths else None,
        "mean_iou/hits": totals["hit_iou_sum"] / hits if hits else None,
        "count/samples": totals.get("samples", 0.0),
        "count/predictions": totals.get("n_pred", 0.0),
        "count/truths": truths,
        "count/outside_predictions": totals.get("outside_pred", 0.0),
        "count/outside_truths": totals.get("outside_true", 0.0),
    }
