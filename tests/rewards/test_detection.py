"""Detection rewards against values worked out by hand, and the laws they obey."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rewards.lists import (
    detection_assignment,
    detection_credit,
    detection_f1,
    detection_matched_diou,
    detection_matched_iou,
    detection_mean_iou,
    match_detections,
)

from rft3d.answers import LabelledBox
from rft3d.geometry import box_corners, matrix_from_euler_zxy, transform_boxes
from rft3d.rewards import Part
from rft3d.rewards.comparison import MATRIX_PAYS_PAIRS, label_ious, shaped_ious

REWARDS = (detection_mean_iou, detection_f1, detection_matched_iou)


def cube(label: str, x: int | float, size: float = 1.0) -> LabelledBox:
    return LabelledBox(label, (float(x), 0.0, 0.0, size, 1.0, 1.0, 0.0, 0.0, 0.0))


def values(predicted: list[LabelledBox], truth: list[LabelledBox]) -> tuple[float, ...]:
    return tuple(reward(predicted, truth).value for reward in REWARDS)


TRUTH = [cube("chair", 0), cube("chair", 10), cube("table", 20), cube("lamp", 30)]

# A unit cube moved by s along x overlaps itself by (1 - s) / (1 + s).
HALF = 1 / 3  # s = 0.5
FIFTH = 0.2  # s = 2/3


@pytest.mark.parametrize(
    ("predicted", "mean_iou", "f1", "matched"),
    [
        (TRUTH, 1, 1, 1),
        (TRUTH[:1], 1, 2 / 5, 1 / 4),  # silence: perfect mean IoU
        ([cube("chair", 0.5)], HALF, 2 / 5, HALF / 4),
        ([cube("chair", 2 / 3)], FIFTH, 0, FIFTH / 4),  # IoU 0.2 is no hit
        ([cube("table", 0)], 0, 0, 0),  # wrong label
        ([cube("chair", 0), cube("chair", 0)], 1, 2 / 6, 1 / 4),  # the repeated box is a false positive
        ([*TRUTH, cube("sofa", 50)], 4 / 5, 8 / 9, 4 / 5),
        ([cube("chair", 0.5), cube("chair", 0)], (HALF + 1) / 2, 2 / 6, 1 / 4),
        ([], 0, 0, 0),
    ],
)
def test_by_hand(predicted: list[LabelledBox], mean_iou: float, f1: float, matched: float) -> None:
    assert values(predicted, TRUTH) == pytest.approx((mean_iou, f1, matched), abs=1e-9)


def test_nothing_to_find() -> None:
    assert values([], []) == (1, 1, 1)
    assert values(TRUTH, []) == (0, 0, 0)
    assert detection_f1(TRUTH, []).reason == "4 boxes where there is nothing to find"
    assert detection_f1([], TRUTH).reason == "no boxes for 4 objects"
    assert detection_credit([], TRUTH) == () and detection_credit(TRUTH, []) == (0, 0, 0, 0)


def test_exactly_a_quarter_is_no_hit() -> None:
    quarter = cube("chair", 0, 0.25)  # inside the truth, a quarter of its volume
    assert detection_mean_iou([quarter], TRUTH).value == 0.25
    assert detection_f1([quarter], TRUTH).value == 0
    assert detection_f1([cube("chair", 0, 0.26)], TRUTH).value == 2 / 5


def test_names_and_reasons() -> None:
    part = detection_f1([cube("chair", 0), cube("sofa", 5)], TRUTH)
    assert part == Part("f1@0.25", 2 / 6, "1 of 4 found, 1 of 2 wrong")
    assert detection_f1(TRUTH, TRUTH, threshold=0.5).name == "f1@0.5"
    assert detection_mean_iou(TRUTH, TRUTH) == Part("mean_iou", 1.0, "mean best IoU 1.000 over 4 predictions")
    assert detection_matched_iou(TRUTH[:2], TRUTH).reason == (
        "matched IoU 2.000 over the larger of 2 predictions and 4 objects"
    )
    with pytest.raises(ValueError, match="threshold must be in"):
        detection_f1(TRUTH, TRUTH, threshold=25.0)


def test_labels_gate() -> None:
    assert detection_mean_iou([cube("stool", 0)], TRUTH).value == 0


def test_match_counts_per_label() -> None:
    predicted = [cube("chair", 0.5), cube("chair", 0.1), cube("table", 25), cube("sofa", 0)]
    match = match_detections(predicted, TRUTH)
    assert [(i, j) for i, j, _ in match.pairs] == [
        (0, 0)
    ]  # the first box took it, the better second one lost
    assert match.pairs[0][2] == pytest.approx(HALF)
    assert match.counts == {
        "chair": (1, 1, 1),
        "table": (0, 1, 1),
        "lamp": (0, 0, 1),
        "sofa": (0, 1, 0),
    }
    assert tuple(map(sum, zip(*match.counts.values(), strict=True))) == (1, 3, 3)
    empty = match_detections([], TRUTH)
    assert tuple(map(sum, zip(*empty.counts.values(), strict=True))) == (0, 0, 4)


def test_credit_goes_to_the_box_that_earned_it() -> None:
    predicted = [cube("chair", 0.5), cube("sofa", 0), cube("chair", 0), cube("table", 20.5)]
    assert detection_credit(predicted, TRUTH) == pytest.approx((0, 0, 1, HALF))
    assert detection_matched_iou(predicted, TRUTH).value == pytest.approx((1 + HALF) / 4)


def test_matching_is_optimal_not_greedy() -> None:
    # The first box sits between both truths and prefers the one that only the second box can reach.
    truth = [cube("a", 0), cube("a", 1)]
    predicted = [cube("a", 0.4), cube("a", -0.5)]
    iou = [[0.6 / 1.4, 0.4 / 1.6], [HALF, 0.0]]
    assert detection_credit(predicted, truth) == pytest.approx((iou[0][1], iou[1][0]))
    assert detection_credit(predicted[:1], truth) == pytest.approx((iou[0][0],))


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, -1, 1, 1, 0, 0, 0), (0, 0, 0, 0, 1, 1, 0, 0, 0), (0, 0, 0, 1e308, 1e308, 1e308, 0, 0, 0),
     (1e308, 0, 0, 1, 1, 1, 0, 0, 0), (0, 0, 0, 1, 1, 1, 1e308, 0, 0), (0, 0, 0, 1e-308, 1, 1, 0, 0, 0)],
)  # fmt: skip
def test_wild_boxes_score_without_raising(box: tuple[float, ...]) -> None:
    wild = LabelledBox("chair", tuple(float(x) for x in box))
    for value in values([wild], TRUTH):
        assert 0 <= value <= 1 and not math.isnan(value)
    assert detection_matched_iou([wild], TRUTH).value < 0.26  # at best one of four objects


# --- laws -------------------------------------------------------------------------------------------

coordinate = st.floats(-3, 3)
size = st.floats(0.05, 3)
angle = st.floats(-math.pi, math.pi)
label = st.sampled_from(["chair", "table", "lamp"])
row = st.tuples(label, st.tuples(coordinate, coordinate, coordinate, size, size, size, angle, angle, angle))
rows = st.lists(row, max_size=6)
Row = tuple[str, tuple[float, ...]]


def boxes(rows: list[Row]) -> list[LabelledBox]:
    return [LabelledBox(*row) for row in rows]


@given(rows, rows)
def test_values_are_in_the_unit_interval(predicted_rows: list[Row], truth_rows: list[Row]) -> None:
    predicted, truth = boxes(predicted_rows), boxes(truth_rows)
    for reward in REWARDS:
        part = reward(predicted, truth)
        assert 0 <= part.value <= 1 and part.reason
    assert detection_matched_iou(predicted, truth).value <= detection_mean_iou(predicted, truth).value + 1e-12


@given(rows)
def test_the_truth_earns_full_marks(truth_rows: list[Row]) -> None:
    truth = boxes(truth_rows)
    assert values(truth, truth) == pytest.approx((1, 1, 1), abs=1e-9)


@given(rows, rows, st.randoms())
def test_order_does_not_matter(predicted_rows: list[Row], truth_rows: list[Row], random: Random) -> None:
    predicted, truth = boxes(predicted_rows), boxes(truth_rows)
    other_predicted, other_truth = (random.sample(x, len(x)) for x in (predicted, truth))
    for reward in (detection_mean_iou, detection_matched_iou):
        before, after = reward(predicted, truth), reward(other_predicted, other_truth)
        assert after.value == pytest.approx(before.value, abs=1e-12)
    # F1 matches greedily in output order, as the official metric, so only boxes that are apart may be
    # permuted freely.
    assert detection_f1(random.sample(TRUTH, 4), random.sample(TRUTH, 4)).value == 1
    assert detection_f1(random.sample(TRUTH[:2], 2), random.sample(TRUTH, 4)).value == 4 / 6


@given(row, st.tuples(coordinate, coordinate, coordinate), st.floats(0, 1), st.floats(0, 1))
def test_a_worse_box_never_scores_more(
    truth: Row, way: tuple[float, float, float], a: float, b: float
) -> None:
    near, far = sorted((a, b))
    label, box = truth
    company = LabelledBox("sofa", box)

    def moved(share: float) -> list[LabelledBox]:
        centre = [x + share * step for x, step in zip(box, way, strict=False)]
        return [LabelledBox(label, (*centre, *box[3:])), company]

    better = values(moved(near), [LabelledBox(label, box), company])
    worse = values(moved(far), [LabelledBox(label, box), company])
    assert all(w <= b + 1e-9 for w, b in zip(worse, better, strict=True))


def test_diou_by_hand() -> None:
    """Unit cubes moved along x: the farthest corners lie s + 1 apart along x and 1 in y and z."""
    truth = [cube("chair", 0)]
    for shift in (0.0, 0.5, 3.0):
        iou = max(0.0, 1 - shift) / (1 + shift)
        expected = (1 + iou - shift**2 / ((1 + shift) ** 2 + 2)) / 2
        assert detection_matched_diou([cube("chair", shift)], truth).value == pytest.approx(expected)
    assert detection_matched_diou([cube("table", 0)], truth).value == 0  # another label is no pair


def test_diou_ranks_boxes_that_do_not_overlap_and_keeps_the_count() -> None:
    near, far = (detection_matched_diou([cube("chair", x)], TRUTH[:1]).value for x in (2, 6))
    assert 0 < far < near < 0.5
    assert detection_matched_iou([cube("chair", 2)], TRUTH[:1]).value == 0
    honest = detection_matched_diou(TRUTH, TRUTH)
    assert honest == Part("matched_diou", 1.0, "matched (1 + DIoU) / 2 sums to 4.000 over the larger of "
                          "4 predictions and 4 objects")  # fmt: skip
    assert detection_matched_diou([*TRUTH, *TRUTH], TRUTH).value == pytest.approx(0.5)
    assert detection_matched_diou(TRUTH[:1], TRUTH).value == pytest.approx(0.25)
    assert detection_matched_diou([], []).value == 1 and detection_matched_diou(TRUTH, []).value == 0


def test_diou_of_a_wild_box_is_a_number() -> None:
    for size in (1e300, 1e-300, -1.0):
        wild = LabelledBox("chair", (1e300, 0.0, 0.0, size, 1.0, 1.0, 0.0, 0.0, 0.0))
        with np.errstate(over="ignore", invalid="ignore"):
            assert 0 <= detection_matched_diou([wild], TRUTH).value <= 0.25


@given(st.integers(0, 2**31))
def test_diou_does_not_depend_on_the_camera(seed: int) -> None:
    """A common rotation and shift change nothing, and a value is in [0, 1] and at least half the IoU's."""
    rng = np.random.default_rng(seed)
    boxes = np.c_[rng.normal(size=(4, 3)), rng.uniform(0.2, 2, (4, 3)), rng.uniform(-1, 1, (4, 3))]
    pose = np.eye(4)
    pose[:3, :3] = matrix_from_euler_zxy(rng.uniform(-3, 3, 3))
    pose[:3, 3] = rng.normal(size=3)
    both = []
    for rows in (boxes, transform_boxes(pose, boxes)):
        named = [LabelledBox("a", tuple(row)) for row in rows.tolist()]
        value = detection_matched_diou(named[:2], named[2:]).value
        assert detection_matched_iou(named[:2], named[2:]).value / 2 <= value <= 1
        both.append(value)
    assert both[0] == pytest.approx(both[1], abs=1e-9)


def test_assignment_names_the_truth_of_each_box() -> None:
    predicted = [cube("chair", 10.5), cube("sofa", 0), cube("chair", 0)]
    assert detection_assignment(predicted, TRUTH) == (
        (pytest.approx(HALF), 1), (0.0, None), (pytest.approx(1.0), 0)
    )  # fmt: skip


def test_all_pairs_at_once_are_what_each_pair_is_by_its_sixteen_corners() -> None:
    """Equal to the last bit, by the matrix and by pairs; one too far away for its squares earns nothing."""
    rng = np.random.default_rng(0)
    near = np.concatenate(
        [rng.uniform(-1, 1, (9, 3)), rng.uniform(0.1, 2, (9, 3)), rng.uniform(-3, 3, (9, 3))], 1
    )
    boxes, truths = np.concatenate([near, [[1e200, 0, 0, 1, 1, 1, 0, 0, 0]]]), near[::-1]
    iou = rng.uniform(0, 1, (10, 9))
    shaped = shaped_ious(boxes, truths, iou)
    for i, j in np.ndindex(9, 9):
        corners = box_corners(np.stack([boxes[i], truths[j]])).reshape(16, 3)
        largest = ((corners[:, None] - corners[None]) ** 2).sum(-1).max()
        apart = ((boxes[i, :3] - truths[j, :3]) ** 2).sum() / largest
        assert shaped[i, j] == max(0.0, 1.0 + iou[i, j] - apart) / 2
    assert (shaped[9] == 0).all()
    many = [LabelledBox("chair", tuple(box)) for box in np.tile(near, (8, 1)).tolist()]
    (matrix,) = label_ious([(many, many)])
    assert matrix.size > MATRIX_PAYS_PAIRS
    (pairs,) = label_ious([(many[:9], many[:9])])
    assert (np.tile(pairs, (8, 8)) == matrix).all()
