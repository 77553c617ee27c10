"""Rewards for lists of labelled boxes against the true list.

The first two are the paper's (3D-RFT, "Rewards"; the same definitions as the official metric):

    R_IoU = 1/N sum_i max_j IoU(prediction i, truth j)        N = number of predictions
    R_F1  = 2 TP / (2 TP + FP + FN)                           hit: IoU > 0.25 with an unused truth

Both can be hacked: R_IoU is a mean over *predictions*, so it pays for naming only what is sure, and an
F1 pays for dropping hard objects. Beside them stands the one that ranks an honest answer first among
spam, duplicates and silence:

    R_matched = (sum of IoUs over the best one-to-one assignment) / max(N, M)      M = number of truths

What the paper leaves open and how it is decided here: only boxes of the same label can meet
(``match_labels``, as in the official evaluation; labels are compared exactly); "no boxes" answers a
truth of "no boxes" perfectly (1), and earns 0 otherwise; predictions where there is nothing earn 0.

The IoU matrix of one answer is computed once and shared by all of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rft3d.answers import LabelledBox
from rft3d.geometry import box_iou, box_iou_pairs, greedy_match, optimal_match
from rft3d.rewards.types import Part

Detections = Sequence[LabelledBox]
NUMBA_PAYS_PAIRS = 1_000_000
"""Pairs in one call of :func:`label_ious` above which the accelerator may be started for it."""


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Hits, false positives and misses of one label in one answer."""

    tp: int
    fp: int
    fn: int


@dataclass(frozen=True, slots=True)
class DetectionMatch:
    """Who met whom, as the official evaluation matches.

    Attributes:
        pairs: ``(prediction index, truth index, IoU)`` of every hit, in output order.
        counts: per label that occurs in the answer or in the truth; a metric sums these over a data set.
    """

    pairs: tuple[tuple[int, int, float], ...]
    counts: Mapping[str, LabelCounts]

    @property
    def tp(self) -> int:
        return sum(count.tp for count in self.counts.values())

    @property
    def fp(self) -> int:
        return sum(count.fp for count in self.counts.values())

    @property
    def fn(self) -> int:
        return sum(count.fn for count in self.counts.values())


def match_detections(
    predicted: Detections, truth: Detections, threshold: float = 0.25, iou: np.ndarray | None = None
) -> DetectionMatch:
    """Greedy one-to-one matching per label, in output order; a hit needs IoU > ``threshold`` (strict).

    Each prediction takes the unused truth of its label with the highest IoU. ``iou``: the masked matrix, if
    it is known (:func:`label_ious`).
    """
    _require_threshold(threshold)
    if iou is None:
        iou = _masked_iou(tuple(predicted), tuple(truth), True)
    pairs = tuple((i, j, float(iou[i, j])) for i, j in greedy_match(iou, threshold, strict=True))
    hits: dict[str, int] = {}
    for i, _, _ in pairs:
        hits[predicted[i].label] = hits.get(predicted[i].label, 0) + 1
    named = [detection.label for detection in predicted]
    true = [detection.label for detection in truth]
    counts = {}
    for label in dict.fromkeys(true + named):
        tp = hits.get(label, 0)
        counts[label] = LabelCounts(tp, named.count(label) - tp, true.count(label) - tp)
    return DetectionMatch(pairs, counts)


def label_ious(pairs: Sequence[tuple[Detections, Detections]]) -> list[np.ndarray]:
    """The (N, M) IoU matrix of every (predicted, truth), 0 where labels differ, from one computation.

    For scoring many answers at once: only boxes of one label are compared, all of them in one call.
    """
    matrices = [np.zeros((len(predicted), len(truth))) for predicted, truth in pairs]
    where: list[tuple[int, int, int]] = []
    ours: list[tuple[float, ...]] = []
    theirs: list[tuple[float, ...]] = []
    for number, (predicted, truth) in enumerate(pairs):
        by_label: dict[str, list[int]] = {}
        for j, true in enumerate(truth):
            by_label.setdefault(true.label, []).append(j)
        for i, named in enumerate(predicted):
            for j in by_label.get(named.label, ()):
                where.append((number, i, j))
                ours.append(named.box)
                theirs.append(truth[j].box)
    if where:
        # numba's first call can cost longer than all the pairs of a benchmark on numpy
        engine = "numpy" if len(where) < NUMBA_PAYS_PAIRS else "auto"
        found = box_iou_pairs(np.array(ours), np.array(theirs), engine=engine).tolist()
        for (number, i, j), value in zip(where, found, strict=True):
            matrices[number][i, j] = value
    return matrices


def detection_mean_iou(
    predicted: Detections, truth: Detections, match_labels: bool = True, iou: np.ndarray | None = None
) -> Part:
    """The paper's R_IoU: for each prediction its best IoU with any truth, averaged over predictions.

    Truths are not used up, so a repeated box earns again. ``match_labels=False`` lets any label meet any.
    ``iou``: the matrix, if it is known.
    """
    if not predicted or not truth:
        return _empty_part("mean_iou", predicted, truth)
    if iou is None:
        iou = _masked_iou(tuple(predicted), tuple(truth), match_labels)
    value = float(np.mean(iou.max(axis=1)))
    return Part("mean_iou", value, f"mean best IoU {value:.3f} over {len(predicted)} predictions")


def detection_f1(
    predicted: Detections,
    truth: Detections,
    threshold: float = 0.25,
    match: DetectionMatch | None = None,
) -> Part:
    """The paper's R_F1 over all labels together, from :func:`match_detections` (``match``, if known)."""
    name = f"f1@{threshold:g}"
    if not predicted or not truth:
        return _empty_part(name, predicted, truth)
    tp = len((match or match_detections(predicted, truth, threshold)).pairs)
    value = 2 * tp / (len(predicted) + len(truth))  # 2 TP + FP + FN = N + M
    return Part(name, value, f"{tp} of {len(truth)} found, {len(predicted) - tp} of {len(predicted)} wrong")


def detection_matched_iou(
    predicted: Detections, truth: Detections, credit: Sequence[float] | None = None
) -> Part:
    """Hack-resistant: IoU summed over the best one-to-one assignment of equal labels, over max(N, M).

    ``credit``: :func:`detection_credit`, if known.
    """
    if not predicted or not truth:
        return _empty_part("matched_iou", predicted, truth)
    total = float(sum(detection_credit(predicted, truth) if credit is None else credit))
    larger = max(len(predicted), len(truth))
    value = min(total / larger, 1.0)
    return Part("matched_iou", value, f"matched IoU {total:.3f} over the larger of "
                f"{len(predicted)} predictions and {len(truth)} objects")  # fmt: skip


def detection_credit(
    predicted: Detections, truth: Detections, iou: np.ndarray | None = None
) -> tuple[float, ...]:
    """Each prediction's own share of the matched reward: its matched IoU, 0 when nothing is left for it.

    For advantages per object: a box's credit belongs to the tokens that wrote it. ``iou``: the masked
    matrix, if it is known.
    """
    if iou is not None:
        return _assigned(iou)
    return _matched_ious(tuple(predicted), tuple(truth))


def _empty_part(name: str, predicted: Detections, truth: Detections) -> Part:
    if not predicted and not truth:
        return Part(name, 1.0, "nothing to find, nothing named")
    if not predicted:
        return Part(name, 0.0, f"no boxes for {len(truth)} objects")
    return Part(name, 0.0, f"{len(predicted)} boxes where there is nothing to find")


# Several rewards look at the same answer right after one another: remember the last few matrices.
@lru_cache(maxsize=64)
def _masked_iou(
    predicted: tuple[LabelledBox, ...], truth: tuple[LabelledBox, ...], match_labels: bool
) -> np.ndarray:
    """(N, M) IoU, read-only, with 0 where the labels differ."""
    if not predicted or not truth:
        return np.zeros((len(predicted), len(truth)))
    iou = box_iou(np.array([p.box for p in predicted]), np.array([t.box for t in truth]))
    if match_labels:
        true = np.array([t.label for t in truth], dtype=object)
        named = np.array([p.label for p in predicted], dtype=object)
        iou = np.where(named[:, None] == true[None, :], iou, 0.0)
    iou.setflags(write=False)
    return iou


@lru_cache(maxsize=64)
def _matched_ious(predicted: tuple[LabelledBox, ...], truth: tuple[LabelledBox, ...]) -> tuple[float, ...]:
    """Each prediction's IoU in the best one-to-one assignment; a reward and the details both need it."""
    return _assigned(_masked_iou(predicted, truth, True))


def _assigned(iou: np.ndarray) -> tuple[float, ...]:
    credit = [0.0] * len(iou)
    for i, j in optimal_match(iou):
        credit[i] = float(iou[i, j])
    return tuple(credit)


def _require_threshold(threshold: float) -> None:
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be in [0, 1), got {threshold}")
