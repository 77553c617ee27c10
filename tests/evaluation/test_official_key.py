"""VSI-Bench's own key and words: what the metadata lack is counted apart, what nobody understands is unsolved."""

from __future__ import annotations

import numpy as np
import pytest

from rft3d.evaluation.solving import answer_blindly, as_predictions, check_official, solve_samples
from rft3d.evaluation.solving.blind import _shrunk
from rft3d.scenes.readers.records import QuestionRecord
from rft3d.tasks.spatial.read import read_question
from rft3d.tasks.spatial.solve import Solved, Unsolved, place_of, solve
from rft3d.tasks.types import Sample

BOXES = np.array(
    [[0, 0, 0.5, 1, 1, 1, 0, 0, 0], [3, 0, 0.5, 1, 2, 1, 0, 0, 0], [3, 4, 0.5, 1, 1, 1, 0, 0, 0.0]]
)
PLACE = place_of(["chair", "bed", "fridge"], BOXES)
CLOSEST = "which of these objects ({}) is the closest to the chair?"


def record(number: int, kind: str, text: str, answer: str, options: tuple[str, ...] = ()) -> QuestionRecord:
    return QuestionRecord(str(number), "s", "scannet", kind, text, options, answer, None)


def size_of(thing: str) -> str:
    return (
        f"What is the longest dimension (length, width, or height) of the {thing}, measured in centimeters?"
    )


def test_things_that_the_metadata_lack_are_not_in_the_bar() -> None:
    records = [
        record(1, "object_size_estimation", size_of("bed"), "200"),
        record(2, "object_size_estimation", size_of("coat rack"), "170"),
        record(3, "object_rel_distance", CLOSEST.format("bed, fridge"), "A", ("A. bed", "B. fridge")),
        record(4, "object_rel_distance", CLOSEST.format("bed, coat rack"), "B", ("A. bed", "B. coat rack")),
    ]
    size, distance = check_official(records, {"s": PLACE})
    for check in (size, distance):
        assert (check.questions, check.answerable, check.reproduced) == (2, 1, 1) and check.passed
        assert "coat rack" in check.without_answer[0]
    wrong = check_official([record(1, "object_size_estimation", size_of("bed"), "150")], {"s": PLACE})
    assert not wrong[0].passed
    nothing = check_official([record(2, "object_size_estimation", size_of("coat rack"), "170")], {"s": PLACE})
    assert not nothing[0].passed  # no question that can be answered is no pass
    unread = check_official([record(1, "object_size_estimation", "How big is it?", "1")], {"s": PLACE})
    assert not unread[0].passed and "wording" in unread[0].examples[0]


ROUTE = (
    "You are a robot beginning {}. You want to navigate to the fridge. You will perform the following actions "
    "(Note: for each [please fill in], choose either 'turn back,' 'turn left,' or 'turn right.'): "
    "1. Go forward until the bed 2. [please fill in] 3. Go forward until the fridge."
)


@pytest.mark.parametrize(
    ("start", "away"),
    [
        ("at the chair and facing the bed", False),
        ("by the chair facing the bed", False),
        ("at the chair with your back to the bed", True),
    ],
)
def test_routes_that_begin_in_other_words(start: str, away: bool) -> None:
    query = read_question("route_planning", ROUTE.format(start), ("A. Turn Left", "B. Turn Right"))
    assert query.labels == ("chair", "bed") and query.away == away
    assert solve(query, PLACE) == Solved("A")


def route(number: int, text: str) -> Sample:
    truth = {"question_type": "route_planning", "answer": "A", "options": ["A. Turn Left", "B. Turn Right"]}
    return Sample(f"q{number}", "spatial", f"s{number}", (), text, truth)


def test_a_question_that_nobody_understands_is_unsolved_and_no_exception() -> None:
    odd = route(1, "You are a robot somewhere.")
    plain = [route(n, ROUTE.format("at the chair and facing the bed")) for n in range(2, 5)]
    (found,) = solve_samples([odd], {"s1": PLACE})
    assert isinstance(found.found, Unsolved) and "not the wording" in found.found.reason
    assert as_predictions([found])[0].text == ""
    (blind,) = answer_blindly([odd], [*plain, route(9, "Somewhere else.")])
    assert isinstance(blind.found, Unsolved)


def test_constants_are_drawn_towards_their_types() -> None:
    every = [2.0] * 300 + [4.0] * 100
    assert _shrunk([2.0, 2.0, 4.0, 4.0, 4.0, 2.0], every) <= 3.0  # six answers prove little
    assert _shrunk([9.0] * 40, every) == 9.0  # forty alike do
    assert _shrunk([9.0], every) == 2.0
