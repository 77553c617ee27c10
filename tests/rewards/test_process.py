"""What thoughts say: places read from wild text, places and boxes paid one to one."""

from __future__ import annotations

import pytest
from tests.rewards.lists import detection_matched_diou

from rft3d.answers import LabelledBox
from rft3d.answers.places import MAX_PLACES, Place, read_places
from rft3d.rewards.process import boxes_part, places_part

THOUGHT = (
    "From the first camera (x right, y ahead, z up, in metres): chair (1.61, 1.00), pillow (-0.14, 2.00). "
    "Standing by the chair and facing the pillow, I turn 47 degrees to the right."
)
CHAIR, PILLOW = Place("chair", 1.61, 1.0), Place("pillow", -0.14, 2.0)


def test_places_of_every_wording() -> None:
    assert read_places(THOUGHT) == (CHAIR, PILLOW)
    assert read_places("metres): chair at (1.00, 2.00); (3.00, 4.00).") == (
        Place("chair", 1.0, 2.0), Place("chair", 3.0, 4.0)
    )  # fmt: skip
    assert read_places("lamp centre (0.10, 0.20, 0.30), size 1.00 x 2.00 x 3.00") == (
        Place("lamp", 0.1, 0.2),
    )


@pytest.mark.parametrize("text", ["", "(1.0, 2.0)", "((((", "chair (1, 2)", "chair (nan, inf)", "\x00\ud800"])
def test_wild_text_has_no_places(text: str) -> None:
    assert read_places(text) == ()


def test_reading_is_bounded() -> None:
    assert len(read_places("chair (1.00, 2.00), " * 1000)) == MAX_PLACES
    assert read_places("a " * 1_000_000) == ()


def test_paid_one_to_one() -> None:
    near = Place("chair", 1.61, 1.4)
    assert places_part([near, PILLOW], [CHAIR, PILLOW]).value == 1
    assert places_part([Place("chair", 1.61, 1.6), PILLOW], [CHAIR, PILLOW]).value == 0.5
    assert places_part([CHAIR, CHAIR, CHAIR], [CHAIR, PILLOW]).value == pytest.approx(2 / 5)
    assert places_part([Place("lamp", 1.61, 1.0)], [CHAIR]).value == 0
    assert places_part([], [CHAIR]).value == 0 and places_part([CHAIR], []).value == 1
    assert places_part([near], [CHAIR]).reason == "1 of 1 objects placed within 0.5 m, 1 named"


def box(label: str, x: float, size: float = 1.0) -> LabelledBox:
    return LabelledBox(label, (x, 0.0, 2.0, size, size, size, 0.0, 0.0, 0.0))


def test_boxes_are_paid_one_to_one() -> None:
    true = [box("chair", 0.0), box("table", 2.0)]
    assert boxes_part(true, true).value == pytest.approx(1.0)
    assert boxes_part([], []).value == 1.0, "a question about the room has no boxes to get wrong"
    assert boxes_part([], true).value == 0.0
    half = boxes_part([box("chair", 0.0)], true)
    twice = boxes_part([box("chair", 0.0), box("chair", 0.0), *true], true)
    off = boxes_part([box("chair", 0.4), box("table", 2.0)], true)
    assert half.value == pytest.approx(0.5) and twice.value == pytest.approx(0.5)
    assert half.value < off.value < 1.0, "near is worth more than nothing"
    assert (
        off.name == "boxes" and off.value == detection_matched_diou([box("chair", 0.4), true[1]], true).value
    )
