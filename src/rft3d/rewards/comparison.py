"""A list of labelled boxes against the true list, compared once; every reward of such lists reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rft3d.answers import LabelledBox
from rft3d.geometry import box_corners, box_iou_pairs, boxes_valid, greedy_match, optimal_match

Detections = Sequence[LabelledBox]
Assignment = tuple[tuple[float, int | None], ...]
"""Each prediction's value and the index of its truth, in output order; ``(0, None)`` without one."""
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


@dataclass(frozen=True, eq=False)
class Comparison:
    """Predicted boxes against true ones; what several rewards need is computed once, when it is asked for.

    Attributes:
        predicted, truth: N and M labelled boxes in one frame, metres and radians.
        iou: ``(N, M)`` exact IoUs, 0 where the labels differ (compared exactly); :meth:`of` computes it.
        class_weights: what a box of a label counts in the balanced rewards; 1 where absent.

    ::

        both = Comparison.of(parse_detections(text), truth)
        f1(both).value, both.match.tp
    """

    predicted: tuple[LabelledBox, ...]
    truth: tuple[LabelledBox, ...]
    iou: NDArray[np.float64]
    class_weights: Mapping[str, float] = field(default_factory=dict[str, float])

    @classmethod
    def of(
        cls, predicted: Detections, truth: Detections, class_weights: Mapping[str, float] | None = None
    ) -> Comparison:
        """The comparison of two lists, with its IoUs."""
        (iou,) = label_ious([(predicted, truth)])
        return cls(tuple(predicted), tuple(truth), iou, class_weights or {})

    def hits(self, threshold: float) -> DetectionMatch:
        """Greedy one-to-one matching per label, in output order, as the official evaluation counts.

        Each prediction takes the unused truth of its label with the highest IoU; a hit needs IoU > ``threshold``
        (strict).

        Raises:
            ValueError: ``threshold`` is not in [0, 1).
        """
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must be in [0, 1), got {threshold}")
        pairs = tuple(
            (i, j, float(self.iou[i, j])) for i, j in greedy_match(self.iou, threshold, strict=True)
        )
        found = Counter(self.predicted[i].label for i, _, _ in pairs)
        named = Counter(box.label for box in self.predicted)
        true = Counter(box.label for box in self.truth)
        counts = {
            label: LabelCounts(found[label], named[label] - found[label], true[label] - found[label])
            for label in dict.fromkeys([*true, *named])
        }
        return DetectionMatch(pairs, counts)

    @cached_property
    def match(self) -> DetectionMatch:
        """:meth:`hits` at 0.25."""
        return self.hits(0.25)

    @cached_property
    def assigned(self) -> Assignment:
        """The best one-to-one assignment by IoU."""
        return _assigned(self.iou)

    @cached_property
    def shaped_iou(self) -> NDArray[np.float64]:
        """``(N, M)`` values (1 + DIoU) / 2 in [0, 1]; 0 where labels differ or a box is invalid."""
        ours = np.array([p.box for p in self.predicted], dtype=np.float64).reshape(-1, 9)
        theirs = np.array([t.box for t in self.truth], dtype=np.float64).reshape(-1, 9)
        shaped = np.zeros((len(ours), len(theirs)))
        valid, true = boxes_valid(ours), boxes_valid(theirs)
        for i, j in product(range(len(ours)), range(len(theirs))):
            if valid[i] and true[j] and self.predicted[i].label == self.truth[j].label:
                shaped[i, j] = shaped_iou(ours[i], theirs[j], float(self.iou[i, j]))
        return shaped

    @cached_property
    def shaped(self) -> Assignment:
        """The best one-to-one assignment by (1 + DIoU) / 2, so that a box that only comes near has a truth too."""
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


def shaped_iou(box: np.ndarray, truth: np.ndarray, iou: float) -> float:
    """(1 + DIoU) / 2 in [0, 1] of two valid ``(9,)`` boxes with that IoU."""
    corners = box_corners(np.stack([box, truth])).reshape(16, 3)
    squared = ((corners[:, None] - corners[None]) ** 2).sum(-1).max()
    apart = ((box[:3] - truth[:3]) ** 2).sum() / squared
    # not a number when a wild answer's box is too large for its squares
    return float(max(0.0, 1.0 + iou - apart) / 2) if np.isfinite(apart) else 0.0


def _assigned(values: NDArray[np.float64]) -> Assignment:
    found: list[tuple[float, int | None]] = [(0.0, None)] * len(values)
    for i, j in optimal_match(values):
        found[i] = (float(values[i, j]), j)
    return tuple(found)
