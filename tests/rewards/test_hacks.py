"""Which rewards pay for gaming: spam, silence and dropped hard objects, against an honest answer.

Ten simulated rooms of 20 objects: a model that finds 12 easy objects well (8 % noise) and 8 hard ones
badly (70 %). Only the one-to-one matched IoU over the larger count ranks the honest answer first; the
tests also pin that the paper's two rewards do *not*, so a reader sees why it exists.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.rewards.lists import (
    detection_f1,
    detection_matched_diou,
    detection_matched_iou,
    detection_mean_iou,
)

from rft3d.answers import LabelledBox

ROOMS, EASY, HARD = 10, 12, 8
Answer = list[LabelledBox]


def noisy(box: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    moved = box.copy()
    moved[:3] += noise * box[3:6] * rng.normal(size=3) * 0.6
    moved[3:6] *= np.exp(noise * rng.normal(size=3) * 0.5)
    moved[6] += noise * rng.normal() * 0.5
    return moved


def labelled(boxes: np.ndarray) -> Answer:
    return [LabelledBox("object", tuple(float(x) for x in box)) for box in boxes]


def room(seed: int) -> tuple[Answer, dict[str, Answer]]:
    """The truth and what each strategy would answer."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(36)[: EASY + HARD]
    boxes = np.zeros((EASY + HARD, 9))
    boxes[:, 0], boxes[:, 1] = 2.0 * (cells % 6), 2.0 * (cells // 6)
    boxes[:, 3:6] = rng.uniform(0.4, 1.2, size=(len(boxes), 3))
    boxes[:, 6] = rng.uniform(-np.pi, np.pi, size=len(boxes))
    honest = np.array([noisy(box, 0.08 if i < EASY else 0.7, rng) for i, box in enumerate(boxes)])
    anchors = np.zeros((200, 9))
    anchors[:, :2], anchors[:, 3:6] = rng.uniform(-1, 11, size=(200, 2)), rng.uniform(0.4, 1.2, size=(200, 3))
    yawed, larger = honest.copy(), honest.copy()
    yawed[:, 6] += np.pi / 2
    larger[:, 3:6] *= 1.25
    repeated = np.array([noisy(box, 0.05, rng) for box in honest for _ in range(6)])
    return labelled(boxes), {
        "honest": labelled(honest),
        "drop the hard objects": labelled(honest[:EASY]),
        "only the first box": labelled(honest[:1]),
        "each box six times": labelled(repeated),
        "honest and 200 anchors": labelled(np.concatenate([honest, anchors])),
        "200 anchors": labelled(anchors),
        "sizes x1.25": labelled(larger),
        "yaw + 90 degrees": labelled(yawed),
        "nothing": [],
    }


def table(reward: Callable[[Answer, Answer], float]) -> dict[str, float]:
    """Mean reward of every strategy."""
    rooms = [room(seed) for seed in range(ROOMS)]
    return {
        name: float(np.mean([reward(answers[name], truth) for truth, answers in rooms]))
        for name in rooms[0][1]
    }


@pytest.fixture(scope="module")
def matched() -> dict[str, float]:
    return table(lambda answer, truth: detection_matched_iou(answer, truth).value)


def test_matched_iou_ranks_honesty_first(matched: dict[str, float]) -> None:
    honest = matched.pop("honest")
    for strategy, value in matched.items():
        assert value < honest, strategy
    assert matched["nothing"] == 0
    # One sure box earns a twentieth of a full answer, not a full mark.
    assert matched["only the first box"] < honest / 8
    assert matched["honest and 200 anchors"] < honest / 5


def test_the_papers_mean_iou_pays_for_silence() -> None:
    values = table(lambda answer, truth: detection_mean_iou(answer, truth).value)
    assert values["drop the hard objects"] > values["honest"]
    assert values["only the first box"] > values["honest"]
    assert values["honest and 200 anchors"] < values["honest"]


def test_f1_pays_for_dropping_hard_objects() -> None:
    values = table(lambda answer, truth: detection_f1(answer, truth).value)
    assert values["drop the hard objects"] > values["honest"]
    assert values["only the first box"] < values["honest"]
    assert values["each box six times"] < values["honest"]


def test_diou_shaping_keeps_honesty_first() -> None:
    values = table(lambda answer, truth: detection_matched_diou(answer, truth).value)
    honest = values.pop("honest")
    for strategy, value in values.items():
        assert value < honest, strategy
    assert values["nothing"] == 0 and values["only the first box"] < honest / 8
