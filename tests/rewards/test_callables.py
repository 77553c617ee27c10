"""The rewards with TRL's signature: same numbers, None where a row is not theirs."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest

from rft3d.answers import FrameBox, LabelledBox, render_detections, render_frame_box
from rft3d.rewards import callables, detection_f1

BOX = (0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
MOVED = (0.5, *BOX[1:])
TRUTH_BOXES = [{"label": "chair", "bbox_3d": list(BOX)}]
GOLD = render_detections([LabelledBox("chair", BOX)])
WORSE = render_detections([LabelledBox("chair", MOVED), LabelledBox("sofa", BOX)])
POSES = np.stack([np.eye(4)] * 3).tolist()
REWARDS = [value for name, value in vars(callables).items() if name.endswith("_reward")]


def chat(text: str) -> list[dict[str, object]]:
    return [{"role": "assistant", "content": text}]


def test_there_are_ten_and_all_take_what_a_trainer_passes() -> None:
    assert len(REWARDS) == 10
    for reward in REWARDS:
        parameters = inspect.signature(reward).parameters
        assert next(iter(parameters)) == "completions"
        assert any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())


@pytest.mark.parametrize(
    ("reward", "values"),
    [
        (callables.detection_format_reward, [1, 1, 0, None, 1]),
        (callables.detection_mean_iou_reward, [1, 1 / 6, 0, None, 0]),
        (callables.detection_f1_reward, [1, 2 / 3, 0, None, 0]),
        (callables.detection_matched_iou_reward, [1, 1 / 6, 0, None, 0]),
    ],
)
def test_detection(reward: Callable[..., list[float | None]], values: list[float | None]) -> None:
    completions = [GOLD, WORSE, GOLD[:-20], GOLD, "[]"]
    rewards = reward(completions, truth_boxes=[*[TRUTH_BOXES] * 3, None, TRUTH_BOXES], prompts=["p"] * 5)
    assert [r is None for r in rewards] == [v is None for v in values]
    assert [r or 0 for r in rewards] == pytest.approx([v or 0 for v in values])
    assert (
        reward([chat(c) for c in completions], truth_boxes=[*[TRUTH_BOXES] * 3, None, TRUTH_BOXES]) == rewards
    )


def test_same_number_as_the_pure_function() -> None:
    predicted = [LabelledBox("chair", MOVED), LabelledBox("sofa", BOX)]
    pure = detection_f1(predicted, [LabelledBox("chair", BOX)]).value
    assert callables.detection_f1_reward([WORSE], truth_boxes=[TRUTH_BOXES]) == [pure]


def test_grounding() -> None:
    completions = [render_frame_box(FrameBox(f, BOX)) for f in (1, 2, 9)] + ["gone", "x"]
    columns = {
        "truth_frame": [1, 1, 1, 1, None],
        "truth_box_world": [list(MOVED)] * 4 + [None],
        "T_world_camera": [POSES] * 5,
    }
    assert callables.grounding_format_reward(completions, **columns) == [1, 1, 1, 0, None]
    assert callables.grounding_frame_reward(completions, **columns) == [1, 0.8, 0, 0, None]
    assert callables.grounding_iou_reward(completions, **columns) == pytest.approx([1 / 3, 1 / 3, 0, 0, None])


def test_scalars() -> None:
    completions = ["The answer is B", "<think>two</think><answer>A</answer>", "no idea", "B"]
    assert callables.exact_match_reward(completions, truth_option=["B", "B", "B", None]) == [1, 0, 0, None]
    completions = ["about 3 m", "<think>2</think><answer>four</answer>", "many", "3"]
    assert callables.mra_reward(completions, truth_number=[4, 4.0, 4, None]) == [0.6, 1, 0, None]


def test_think_format_scores_every_row() -> None:
    assert callables.think_format_reward(["<think>a</think><answer>b</answer>", "b"]) == [1, 0]


def test_format_without_its_column_scores_every_row() -> None:
    assert callables.detection_format_reward([GOLD, "x"]) == [1, 0]
    assert callables.grounding_format_reward(["x", render_frame_box(FrameBox(0, BOX))]) == [0, 1]


def test_conversations() -> None:
    turns = [
        {"role": "assistant", "content": "A"},
        {"role": "tool", "content": "C"},
        {"role": "assistant", "content": [{"type": "text", "text": "B"}, {"type": "image"}]},
    ]
    empty = [{"role": "assistant", "content": None}]
    assert callables.exact_match_reward([turns, empty, []], truth_option=["B", "B", "B"]) == [1, 0, 0]


def test_columns_must_fit() -> None:
    with pytest.raises(ValueError, match="column truth_boxes has 1 rows for 2 completions"):
        callables.detection_f1_reward([GOLD, GOLD], truth_boxes=[TRUTH_BOXES])


def test_every_callable_has_a_name_for_trl() -> None:
    named = {callables.as_trl(*name) for name in callables._BY_NAME}
    assert named == set(REWARDS)
    with pytest.raises(
        ValueError, match="no reward 'colour' of task 'detection'; there are 'detection' 'format'"
    ):
        callables.as_trl("detection", "colour")
