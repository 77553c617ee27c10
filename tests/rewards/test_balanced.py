"""Class-weighted rewards: what they are worth, and that they pay for the metric where the paper's F1 does not."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from tests.rewards.lists import balanced_f1, balanced_matched_iou, detection_f1, detection_matched_iou

from rft3d.answers import LabelledBox
from rft3d.rewards import inverse_frequency
from rft3d.scenes import make_room
from rft3d.tasks import Detection


def cube(label: str, x: float) -> LabelledBox:
    return LabelledBox(label, (x, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0))


TRUTH = (cube("chair", 0), cube("chair", 3), cube("chair", 6), cube("bed", 9))
WEIGHTS = {"chair": 0.5, "bed": 2.5}
TOTAL = 3 * 0.5 + 2.5


def test_values_by_hand() -> None:
    chair, bed = balanced_f1(TRUTH[:1], TRUTH, WEIGHTS), balanced_f1(TRUTH[3:], TRUTH, WEIGHTS)
    assert chair.name == "balanced_f1@0.25"
    assert chair.value == pytest.approx(2 * 0.5 / (0.5 + TOTAL))
    assert bed.value == pytest.approx(2 * 2.5 / (2.5 + TOTAL))
    half = cube("bed", 9 + 1 / 3)  # IoU 1/2 with the bed
    assert balanced_matched_iou([half], TRUTH, WEIGHTS).value == pytest.approx(2.5 * 0.5 / TOTAL)
    assert balanced_matched_iou([*TRUTH, half], TRUTH, WEIGHTS).value == pytest.approx(TOTAL / (TOTAL + 2.5))
    assert balanced_f1([cube("lamp", 50)], TRUTH, WEIGHTS).value == 0  # a label without a weight counts 1
    assert balanced_f1([*TRUTH, cube("lamp", 50)], TRUTH, WEIGHTS).value == pytest.approx(
        2 * TOTAL / (2 * TOTAL + 1)
    )


def test_edges_are_those_of_the_rewards_without_weights() -> None:
    for predicted, truth in (((), ()), (TRUTH, ()), ((), TRUTH)):
        for weighted, plain in (
            (balanced_f1, detection_f1),
            (balanced_matched_iou, detection_matched_iou),
        ):
            ours, theirs = weighted(predicted, truth, WEIGHTS), plain(predicted, truth)
            assert (ours.value, ours.reason) == (theirs.value, theirs.reason) and ours.name != theirs.name


def test_equal_weights_change_nothing() -> None:
    rng = random.Random(5)
    for _ in range(50):
        truth = [cube(rng.choice(("chair", "bed")), 3 * i) for i in range(rng.randint(1, 5))]
        named = [cube(rng.choice(("chair", "bed")), 3 * i + rng.random()) for i in range(rng.randint(1, 5))]
        equal = dict.fromkeys(("chair", "bed"), 1.7)
        assert balanced_f1(named, truth, equal).value == pytest.approx(detection_f1(named, truth).value)
        assert balanced_matched_iou(named, truth, equal).value == pytest.approx(
            detection_matched_iou(named, truth).value
        )


def test_they_pay_for_the_macro_mean_where_the_plain_f1_pays_for_frequent_classes() -> None:
    """Two models over rooms with nine chairs to one bed: one finds two chairs more, the other one bed more."""
    rooms: list[tuple[LabelledBox, ...]] = []
    for room in range(40):
        rooms.append((*(cube("chair", 3 * i) for i in range(9)), cube("bed", 40.0 + room)))

    def found(chairs: int, beds: int) -> list[list[LabelledBox]]:
        """What a model names: everything, but only so many are in the right place."""
        return [
            [
                cube(t.label, t.box[0] if i < (chairs if t.label == "chair" else 9 + beds) else -100.0 - i)
                for i, t in enumerate(truth)
            ]
            for truth in rooms
        ]

    more_chairs, more_beds = found(5, 0), found(3, 1)
    task = Detection(classes=("chair", "bed"))

    def macro(answers: Sequence[Sequence[LabelledBox]]) -> float:
        hits = dict.fromkeys(("chair", "bed"), 0)
        for answer, truth in zip(answers, rooms, strict=True):
            for a, t in zip(answer, truth, strict=True):
                hits[t.label] += a == t
        return (hits["chair"] / (9 * len(rooms)) + hits["bed"] / len(rooms)) / len(task.classes)

    weights = inverse_frequency(box.label for truth in rooms for box in truth)
    assert macro(more_beds) > macro(more_chairs)

    def mean(answers: Sequence[Sequence[LabelledBox]], balanced: bool) -> float:
        values = [
            (balanced_f1(a, t, weights) if balanced else detection_f1(a, t)).value
            for a, t in zip(answers, rooms, strict=True)
        ]
        return math.fsum(values) / len(values)

    assert mean(more_chairs, balanced=False) > mean(more_beds, balanced=False)
    assert mean(more_beds, balanced=True) > mean(more_chairs, balanced=True)
    assert mean(more_beds, balanced=True) == pytest.approx(
        macro(more_beds)
    )  # every class named as often as it is


def test_weights() -> None:
    weights = inverse_frequency(["chair"] * 3 + ["bed"])
    assert weights == {"bed": 2.0, "chair": pytest.approx(2 / 3)}
    assert (3 * weights["chair"] + weights["bed"]) / 4 == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one label"):
        inverse_frequency([])


def test_the_task_pays_by_weight_and_refuses_bad_weights() -> None:
    scene = make_room(3)
    task = Detection(reward="matched_balanced", class_weights={"chair": 3.0})
    (sample,) = task.samples(scene, [f"{i}.png" for i in range(len(scene.frames))], 0)
    best = task.score(task.gold(sample), sample)
    assert [part.name for part in best.parts] == ["format", "balanced_f1@0.25", "balanced_iou"]
    assert best.parts[1].value == 1 and 0.8 < best.parts[2].value < 1
    assert hash(task) == hash(Detection(reward="matched_balanced", class_weights={"chair": 2.0}))
    with pytest.raises(ValueError, match=r"reward 'f1_balanced' needs class_weights"):
        Detection(reward="f1_balanced")
    for bad in (0, -1.0, math.nan, math.inf, "2"):
        with pytest.raises(ValueError, match="class weight of 'bed' must be a positive number"):
            Detection(class_weights={"bed": bad})  # pyright: ignore[reportArgumentType]
