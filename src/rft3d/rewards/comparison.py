"""A list of labelled boxes against the true list, compared once; every reward of such lists reads it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rft3d.answers import LabelledBox
from rft3d.geometry import box_corners, box_iou, box_iou_pairs, boxes_valid, greedy_match, optimal_match

Detections = Sequence[LabelledBox]
Assignment = tuple[tuple[float, int | None], ...]
"""Each prediction's value and the index of its truth, in output order; ``(0, None)`` without one."""
MATRIX_PAYS_PAIRS = 4096
"""With more same-label pairs than this in one answer, a separate :func:`box_iou` call is faster."""


@dataclass(frozen=True, slots=True)
class DetectionMatch:
    """Which predictions hit which true boxes, by the rule of the official evaluation.

    Attributes:
        pairs: ``(prediction index, truth index, IoU)`` of every hit, in output order.
        counts: hits, false positives and misses of each label that occurs in the answer or in the truth; a metric
            sums these over a data set.
    """

    pairs: tuple[tuple[int, int, float], ...]
    counts: Mapping[str, tuple[int, int, int]]


class Evidence:
    """What an answer's reward and metric are computed from; each task may have its own kind."""


@dataclass(frozen=True, eq=False)
class Comparison(Evidence):
    """Predicted boxes against true ones; what several rewards need is computed once, when it is asked for.

    Attributes:
        predicted, truth: N and M labelled boxes in one frame, metres and radians.
        iou: ``(N, M)`` exact IoUs, 0 where the labels differ (compared exactly); :meth:`of` computes it.

    ::

        both = Comparison.of(parse_detections(text), truth)
        SET_REWARDS["f1@0.25"](both).value, len(both.match.pairs)
    """

    predicted: tuple[LabelledBox, ...]
    truth: tuple[LabelledBox, ...]
    iou: NDArray[np.float64]

    @classmethod
    def of(cls, predicted: Detections, truth: Detections) -> "Comparison":
        """The comparison of two lists, with its IoUs."""
        (iou,) = label_ious([(predicted, truth)])
        return cls(tuple(predicted), tuple(truth), iou)

    def hits(self, threshold: float) -> DetectionMatch:
        """Greedy one-to-one matching per label, in output order, as the official evaluation counts.

        Each prediction takes the unused truth of its label with the highest IoU; a hit needs IoU > ``threshold``
        (strict).

        Raises:
            ValueError: ``threshold`` is not in [0, 1).
        """
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold must be in [0, 1), got {threshold}")
        pairs = tuple((i, j, float(self.iou[i, j])) for i, j in greedy_match(self.iou, threshold))
        found = Counter(self.predicted[i].label for i, _, _ in pairs)
        named = Counter(box.label for box in self.predicted)
        true = Counter(box.label for box in self.truth)
        counts = {
            label: (found[label], named[label] - found[label], true[label] - found[label])
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
        for rows, columns in _of_one_label(self.predicted, self.truth):
            rows, columns = [i for i in rows if valid[i]], [j for j in columns if true[j]]
            both = np.ix_(rows, columns)
            shaped[both] = shaped_ious(ours[rows], theirs[columns], self.iou[both])
        return shaped

    @cached_property
    def shaped(self) -> Assignment:
        """The best one-to-one assignment by (1 + DIoU) / 2, so that a box that only comes near has a truth too."""
        return _assigned(self.shaped_iou)

    def without(self, index: int) -> "Comparison":
        """The same without prediction ``index``; the IoUs are reused."""
        kept = [i for i in range(len(self.predicted)) if i != index]
        less = Comparison(tuple(self.predicted[i] for i in kept), self.truth, self.iou[kept])
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
        for rows, columns in _of_one_label(predicted, truth):
            if len(rows) * len(columns) > MATRIX_PAYS_PAIRS:
                named = box_iou([predicted[i].box for i in rows], [truth[j].box for j in columns])
                matrices[number][np.ix_(rows, columns)] = named
                continue
            for i, j in product(rows, columns):
                where.append((number, i, j))
                ours.append(predicted[i].box)
                theirs.append(truth[j].box)
    if where:
        found = box_iou_pairs(np.array(ours), np.array(theirs)).tolist()
        for (number, i, j), value in zip(where, found, strict=True):
            matrices[number][i, j] = value
    return matrices


def _of_one_label(predicted: Detections, truth: Detections) -> Iterator[tuple[list[int], list[int]]]:
    """Indices of the predictions and of the truths of each label that has both."""
    places: dict[str, tuple[list[int], list[int]]] = {box.label: ([], []) for box in truth}
    for side, boxes in enumerate((predicted, truth)):
        for place, box in enumerate(boxes):
            if box.label in places:
                places[box.label][side].append(place)
    yield from (both for both in places.values() if both[0])


def shaped_ious(boxes: np.ndarray, truths: np.ndarray, iou: np.ndarray) -> NDArray[np.float64]:
    """(1 + DIoU) / 2 in [0, 1] of every valid ``(N, 9)`` with every ``(M, 9)`` box; their IoUs are ``(N, M)``."""
    corners, others = box_corners(boxes), box_corners(truths)
    with np.errstate(over="ignore", invalid="ignore"):  # squares of a huge box overflow
        own, their = (((x[:, :, None] - x[:, None]) ** 2).sum(-1).max((1, 2)) for x in (corners, others))
        squared = np.maximum(own[:, None], their)
        for row, each in enumerate(corners):  # all at once would be N M 64 distances in memory
            across = ((each[None, :, None] - others[:, None]) ** 2).sum(-1).max((1, 2))
            np.maximum(squared[row], across, out=squared[row])
        apart = ((boxes[:, None, :3] - truths[None, :, :3]) ** 2).sum(-1) / squared
        return np.where(np.isfinite(apart), np.maximum(0.0, 1.0 + iou - apart) / 2, 0.0)


def _assigned(values: NDArray[np.float64]) -> Assignment:
    found: list[tuple[float, int | None]] = [(0.0, None)] * len(values)
    for i, j in optimal_match(values):
        found[i] = (float(values[i, j]), j)
    return tuple(found)
