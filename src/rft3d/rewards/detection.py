"""Rewards for lists of labelled boxes against the true list.

The first two are the paper's (3D-RFT, "Rewards"; the same definitions as the official metric):

    R_IoU = 1/N sum_i max_j IoU(prediction i, truth j)        N = number of predictions
    R_F1  = 2 TP / (2 TP + FP + FN)                           hit: IoU > 0.25 with an unused truth

Both can be hacked: R_IoU is a mean over *predictions*, so it pays for naming only what is sure, and an
F1 pays for dropping hard objects. Beside them stands the one that ranks an honest answer first among
spam, duplicates and silence:

    R_matched = (sum of IoUs over the best one-to-one assignment) / max(N, M)      M = number of truths

and a shaped form of it, which also says *where to* when two boxes do not overlap (a policy that hits
one box in ten learns little from IoUs that are nearly all zero):

    R_DIoU    = (sum of (1 + DIoU) / 2 over the best one-to-one assignment) / max(N, M)
    DIoU      = IoU - d^2 / c^2        d = distance of the centres

after Zheng et al., "Distance-IoU Loss" (arXiv 1911.08287). There c is the diagonal of the axis-aligned box
around both; here it is the largest distance between two of their 16 corners, which does not depend on how
the camera is turned. It is never smaller than d, so a shaped value lies in [0, 1].

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
from rft3d.geometry import box_corners, box_iou, box_iou_pairs, boxes_valid, greedy_match, optimal_match
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


def detection_matched_diou(
    predicted: Detections,
    truth: Detections,
    iou: np.ndarray | None = None,
    assigned: Sequence[tuple[float, int | None]] | None = None,
) -> Part:
    """R_DIoU: the matched reward with (1 + DIoU) / 2 in the place of IoU, for equal labels.

    A box of the right label that is off earns something for being near; naming it twice, or naming labels
    that are not there, still costs through max(N, M). ``iou``: the masked matrix, ``assigned``:
    :func:`shaped_assignment`, if they are known.
    """
    if not predicted or not truth:
        return _empty_part("matched_diou", predicted, truth)
    if assigned is None:
        assigned = shaped_assignment(predicted, truth, iou)
    total = float(sum(value for value, _ in assigned))
    larger = max(len(predicted), len(truth))
    value = min(total / larger, 1.0)
    return Part("matched_diou", value, f"matched (1 + DIoU) / 2 sums to {total:.3f} over the larger of "
                f"{len(predicted)} predictions and {len(truth)} objects")  # fmt: skip


def shaped_ious(predicted: Detections, truth: Detections, iou: np.ndarray) -> np.ndarray:
    """(N, M) values (1 + DIoU) / 2 in [0, 1]; 0 where labels differ or a box is invalid.

    ``iou``: (N, M) IoUs of the same pairs, 0 where labels differ.
    """
    ours = np.array([p.box for p in predicted], dtype=np.float64).reshape(-1, 9)
    theirs = np.array([t.box for t in truth], dtype=np.float64).reshape(-1, 9)
    shaped = np.zeros((len(ours), len(theirs)))
    valid, true = boxes_valid(ours), boxes_valid(theirs)
    for i, j in np.ndindex(*shaped.shape):
        if valid[i] and true[j] and predicted[i].label == truth[j].label:
            shaped[i, j] = shaped_iou(ours[i], theirs[j], float(iou[i, j]))
    return shaped


def shaped_iou(box: np.ndarray, truth: np.ndarray, iou: float) -> float:
    """(1 + DIoU) / 2 in [0, 1] of two valid ``(9,)`` boxes with that IoU (formula: head of this file)."""
    corners = box_corners(np.stack([box, truth])).reshape(16, 3)
    squared = ((corners[:, None] - corners[None]) ** 2).sum(-1).max()
    apart = ((box[:3] - truth[:3]) ** 2).sum() / squared
    # not a number when a wild answer's box is too large for its squares
    return float(max(0.0, 1.0 + iou - apart) / 2) if np.isfinite(apart) else 0.0


def detection_assignment(
    predicted: Detections, truth: Detections, iou: np.ndarray | None = None
) -> tuple[tuple[float, int | None], ...]:
    """Each prediction's ``(IoU, index of its truth)`` in the best one-to-one assignment; (0, None) without.

    ``iou``: the masked matrix, if it is known.
    """
    return _assigned(_masked_iou(tuple(predicted), tuple(truth), True) if iou is None else iou)


def shaped_assignment(
    predicted: Detections, truth: Detections, iou: np.ndarray | None = None
) -> tuple[tuple[float, int | None], ...]:
    """:func:`detection_assignment` by (1 + DIoU) / 2, so that a box that only comes near has a truth too."""
    if iou is None:
        iou = _masked_iou(tuple(predicted), tuple(truth), True)
    return _assigned(shaped_ious(predicted, truth, iou))


def detection_credit(
    predicted: Detections, truth: Detections, iou: np.ndarray | None = None
) -> tuple[float, ...]:
    """Each prediction's own share of the matched reward: its matched IoU, 0 when nothing is left for it.

    For advantages per object: a box's credit belongs to the tokens that wrote it. ``iou``: the masked
    matrix, if it is known.
    """
    if iou is not None:
        return tuple(value for value, _ in _assigned(iou))
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
    return detection_credit(predicted, truth, _masked_iou(predicted, truth, True))


def _assigned(iou: np.ndarray) -> tuple[tuple[float, int | None], ...]:
    found: list[tuple[float, int | None]] = [(0.0, None)] * len(iou)
    for i, j in optimal_match(iou):
        found[i] = (float(iou[i, j]), j)
    return tuple(found)


def _require_threshold(threshold: float) -> None:
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be in [0, 1), got {threshold}")
