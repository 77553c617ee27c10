"""Rewards with TRL's signature: the task's own numbers, None where a row is not its own."""

from __future__ import annotations

import json

import pytest

from rft3d.answers import LabelledBox, render_detections
from rft3d.tasks import TASKS, Detection, as_trl
from rft3d.tasks.forkme import CountFrames

BOX = (0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
TRUTH = {"boxes": [{"label": "chair", "bbox_3d": list(BOX)}]}
GOLD = render_detections([LabelledBox("chair", BOX)])
WORSE = render_detections([LabelledBox("chair", (0.5, *BOX[1:])), LabelledBox("sofa", BOX)])


def chat(text: str) -> list[dict[str, object]]:
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("format", [1, 1, 0, None, 1]),
        ("mean_iou", [1, 1 / 6, 0, None, 0]),
        ("f1@0.25", [1, 2 / 3, 0, None, 0]),
        ("matched_iou", [1, 1 / 6, 0, None, 0]),
        ("hungarian", [1, 0.7, 0, None, 0]),
        (None, [3, 1 + 1 / 6 + 2 / 3, 0, None, 1]),
    ],
)
def test_parts_and_the_total(part: str | None, values: list[float | None]) -> None:
    completions = [GOLD, WORSE, GOLD[:-20], GOLD, "[]"]
    rows = [*[TRUTH] * 3, None, TRUTH]
    reward = as_trl("detection", part)
    found = reward(completions, truth=rows, prompts=["p"] * 5, completion_ids=[[1]] * 5)
    assert [value is None for value in found] == [value is None for value in values]
    assert [v or 0 for v in found] == pytest.approx([v or 0 for v in values])
    assert reward([chat(c) for c in completions], truth=rows) == found
    assert reward(completions, truth=[row and json.dumps(row) for row in rows]) == found
    assert reward.__name__ == ("detection" if part is None else f"detection_{part}")


def test_scalars_and_conversations() -> None:
    accuracy = as_trl("spatial", "accuracy")
    choice = {"question_type": "object_rel_distance", "answer": "B", "options": ["A. x", "B. y", "C. z"]}
    number = {"question_type": "object_abs_distance", "answer": 4}
    assert accuracy(["B", "A", "about 3", "4"], truth=[choice, choice, number, number]) == [1, 0, 0.6, 1]
    turns = [
        {"role": "assistant", "content": "A"},
        {"role": "tool", "content": "C"},
        {"role": "assistant", "content": [{"type": "text", "text": "B"}, {"type": "image"}]},
    ]
    empty = [{"role": "assistant", "content": None}]
    assert accuracy([turns, empty, []], truth=[choice] * 3) == [1, 0, 0]


def test_a_task_of_ones_own() -> None:
    assert as_trl(CountFrames(), "exact")(["2", "3", "x"], truth=[{"answer": 2}] * 3) == [1, 0, 0]


def test_wrong_names_and_columns_are_named() -> None:
    with pytest.raises(ValueError, match="'colour' is neither one of paper"):
        as_trl("detection", "colour")
    with pytest.raises(ValueError, match="no reward 'colour'; it has format, accuracy"):
        as_trl("spatial", "colour")
    with pytest.raises(ValueError, match=f"known: {', '.join(TASKS)}"):
        as_trl("detecting")
    with pytest.raises(ValueError, match="column truth has 1 rows for 2 completions"):
        as_trl("detection", "f1@0.25")([GOLD, GOLD], truth=[TRUTH])
    with pytest.raises(
        ValueError, match=r"'colour' is neither one of paper, .* nor of the parts format, mean_iou"
    ):
        Detection(reward="f1@0.25+colour")
    assert Detection(reward="f1@0.25+hungarian") == Detection(reward="f1@0.25+hungarian")
