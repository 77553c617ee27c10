"""Spatial questions: unambiguous, answered by the geometry, laid out as VSI-Bench, scored by its averages."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from math import degrees
from random import Random

import pytest

from rft3d.answers import split_sections
from rft3d.scenes.types import Scene
from rft3d.tasks import Spatial
from rft3d.tasks.spatial import NUMERIC_TYPES, QUESTION_TYPES, Limits, View, ask
from rft3d.tasks.spatial import semantics as s
from rft3d.tasks.spatial.task import Readings
from rft3d.tasks.types import Sample

MANY = 10_000
ANY_NUMBER = r"-?\d+(?:\.\d+)?"


def questions(scene: Scene, kind: str, limits: Limits | None = None):
    return ask(View(scene, limits or Limits()), kind, Random(0), MANY)


def by_type(samples: list[Sample], kind: str) -> list[Sample]:
    return [sample for sample in samples if sample.truth["question_type"] == kind]


def test_every_type_is_asked_in_the_hand_made_room(scene: Scene, frame_refs: list[str]) -> None:
    samples = Spatial(max_per_type=3).samples(scene, frame_refs, 0)
    assert {sample.truth["question_type"] for sample in samples} == set(QUESTION_TYPES)
    assert len({sample.id for sample in samples}) == len(samples)
    assert max(len(by_type(samples, kind)) for kind in QUESTION_TYPES) <= 3
    assert Spatial(max_per_type=0).samples(scene, frame_refs, 0) == []


def test_measured_answers(scene: Scene) -> None:
    (count,) = questions(scene, "object_counting")
    assert (count.labels, count.answer) == (("chair",), 2)
    (room,) = questions(scene, "room_size_estimation")
    assert room.answer == 20.0
    sizes = {q.labels[0]: q.answer for q in questions(scene, "object_size_estimation")}
    assert sizes == {"bed": 160, "table": 90, "lamp": 160, "bin": 40, "dresser": 100, "monitor": 50}
    distances = {frozenset(q.labels): q.answer for q in questions(scene, "object_abs_distance")}
    # lamp and dresser: 0.0 apart in x ([4.45, 4.95]), 3.45 - 1.1 in y, overlapping in z
    assert distances[frozenset(("lamp", "dresser"))] == pytest.approx(2.4)
    assert frozenset(("table", "monitor")) not in distances  # they touch
    assert questions(replace(scene, floor_polygon=None), "room_size_estimation") == []


def test_counting_may_ask_for_one(scene: Scene) -> None:
    ones = questions(scene, "object_counting", Limits(min_count=1))
    assert {q.labels[0]: q.answer for q in ones}["bed"] == 1


def test_unseen_objects_are_never_named(scene: Scene, frame_refs: list[str]) -> None:
    frames = tuple(
        replace(f, visible={i: share for i, share in f.visible.items() if i not in (4, 6)})
        for f in scene.frames
    )
    samples = Spatial(max_per_type=MANY).samples(replace(scene, frames=frames), frame_refs, 0)
    named = {label for sample in samples for label in sample.meta["labels"]}
    assert named == {"bed", "table", "lamp", "bin", "monitor"}  # one chair unseen: no chair is named


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_directions_keep_clear_of_boundaries(scene: Scene, level: str) -> None:
    view = View(scene, Limits())
    meaning, answers, boundaries = s.DIRECTIONS[level]
    asked = questions(scene, f"object_rel_direction_{level}")
    assert len(asked) > 20
    for question in asked:
        a, b, c = (view.one(label) for label in question.labels)
        turn = s.turn_rad(a, b, c)
        assert all(abs(abs(degrees(turn)) - boundary) >= 10 for boundary in boundaries)
        assert question.answer == meaning(turn)
        assert sorted(question.options) == sorted(answers)
    wide = questions(scene, f"object_rel_direction_{level}", Limits(angle_margin_deg=0))
    assert len(wide) > len(asked)


def test_direction_by_hand(scene: Scene) -> None:
    """Standing by the bin (0.4, 0.4), facing the lamp (4.6, 3.6): the bed is left, the dresser right."""
    answers = {q.labels: q.answer for q in questions(scene, "object_rel_direction_hard")}
    assert answers["bin", "lamp", "bed"] == "front-left"
    assert answers["bin", "lamp", "dresser"] == "front-right"
    assert answers["dresser", "bin", "bed"] == "front-right"


def test_relative_distance_options_differ_clearly(scene: Scene) -> None:
    view = View(scene, Limits())
    asked = questions(scene, "object_rel_distance")
    assert asked
    for question in asked:
        primary, *options = question.labels
        distances = sorted(s.closest_distance_m(view.boxes[o], view.boxes[primary]) for o in options)
        assert min(b - a for a, b in pairwise(distances)) >= 0.15
        best = s.closest_distance_m(view.boxes[str(question.answer)], view.boxes[primary])
        assert best == distances[0]
        assert primary not in options and len(set(options)) == 4
    assert len(questions(scene, "object_rel_distance", Limits(option_gap_m=0.8))) < len(asked)


def test_routes_are_free_and_turn(scene: Scene) -> None:
    asked = {q.labels: q.answer for q in questions(scene, "route_planning")}
    # bed -> lamp heads along the far wall; the dresser is then to the right
    assert asked["bed", "lamp", "dresser"] == "Turn Right"
    assert asked["dresser", "lamp", "bed"] == "Turn Left"
    # the table stands between the bin and the lamp
    assert not [names for names in asked if names[:2] == ("bin", "lamp")]


def test_order_of_appearance(scene: Scene) -> None:
    asked = questions(scene, "obj_appearance_order")
    first = {"bed": 0, "table": 1, "monitor": 1, "lamp": 2, "bin": 3, "dresser": 3}
    for question in asked:
        order = str(question.answer).split(", ")
        seen = [first[label] for label in order if label in first]
        assert seen == sorted(seen)
        assert len(set(question.options)) == 4 and question.answer in question.options
    glimpse = replace(scene.frames[0], visible={**scene.frames[0].visible, 2: 0.05})
    unsure = replace(scene, frames=(glimpse, *scene.frames[1:]))
    named = {label for q in questions(unsure, "obj_appearance_order") for label in q.labels}
    assert "lamp" not in named and "bed" in named  # a glimpse of the lamp came before its first clear frame


def test_prompt_layout(scene: Scene, frame_refs: list[str]) -> None:
    samples = Spatial().samples(scene, frame_refs, 0)
    choice = by_type(samples, "object_rel_direction_easy")[0]
    lines = choice.prompt.split("\n")
    assert lines[0] == "<image>" * 4 + "These are frames of a video."
    assert lines[2] == "Options:" and lines[3:5] == choice.truth["options"]
    assert lines[-1] == "Answer with the option's letter from the given choices directly."
    number = by_type(samples, "object_counting")[0]
    assert number.prompt.split("\n", 1)[1] == (
        "How many chair(s) are in this room?\nPlease answer the question using a single word or phrase."
    )


def test_seeds_shuffle_questions_and_letters(scene: Scene, frame_refs: list[str]) -> None:
    task = Spatial(max_per_type=1)
    assert task.samples(scene, frame_refs, 5) == task.samples(scene, frame_refs, 5)
    letters = {
        sample.truth["answer"]
        for seed in range(30)
        for sample in by_type(task.samples(scene, frame_refs, seed), "object_rel_direction_hard")
    }
    assert letters == set("ABCD")
    # leaving a type out doesn't change the others
    fewer = Spatial(max_per_type=1, types=("route_planning",)).samples(scene, frame_refs, 5)
    assert fewer == by_type(task.samples(scene, frame_refs, 5), "route_planning")


def test_thoughts_lead_to_the_answer(scene: Scene, frame_refs: list[str]) -> None:
    task = Spatial(answers="think", max_per_type=MANY)
    samples = task.samples(scene, frame_refs, 0)
    assert len(samples) > 200
    for sample in samples:
        text = task.gold(sample)
        sections = split_sections(text)
        assert sections.well_formed and sections.think
        score = task.score(text, sample)
        assert score.total == 2.0, (sample.id, score)
        if sample.truth["question_type"] in NUMERIC_TYPES:
            assert sections.think.endswith(f"So it is {sample.truth['answer']:g}.")
        else:
            assert sections.think.endswith(f"option {sample.truth['answer']}.")
        assert "<answer>" in sample.prompt and "directly" not in sample.prompt
    turns = [re.search(r"(\d+) degrees to the (left|right)", sample.truth["thought"]) for sample in samples]
    assert sum(turn is not None for turn in turns) > 100
    bearings = re.compile(r" (-?\d+), the \w+ (-?\d+)\. Facing .*, I turn (\d+) degrees to the (left|right)")
    found = [match for sample in samples if (match := bearings.search(sample.truth["thought"]))]
    assert len(found) > 60
    for match in found:
        turn = int(match[3]) if match[4] == "left" else -int(match[3])
        off = (int(match[2]) - int(match[1]) - turn + 180) % 360 - 180
        assert abs(off) <= 1, "the difference of the two bearings is the turn, but for rounding"


def test_coarse_thoughts_say_the_same_with_fewer_digits(scene: Scene, frame_refs: list[str]) -> None:
    fine = Spatial(answers="think", max_per_type=4).samples(scene, frame_refs, 0)
    task = Spatial(answers="think", max_per_type=4, decimals=1)
    metres = degrees = 0
    for sample, other in zip(task.samples(scene, frame_refs, 0), fine, strict=True):
        thought, finer = sample.truth["thought"], other.truth["thought"]
        assert not re.search(r"\d\.\d\d|-0\.0\b", thought), thought
        assert thought.rpartition("So it is")[2] == finer.rpartition("So it is")[2]
        assert re.sub(ANY_NUMBER, "#", thought) == re.sub(ANY_NUMBER, "#", finer), "the same words"
        assert sample.truth["answer"] == other.truth["answer"]
        assert task.score(task.gold(sample), sample).total == 2.0
        for near, far in zip(re.findall(ANY_NUMBER, thought), re.findall(ANY_NUMBER, finer), strict=True):
            whole = "." not in far  # degrees, to 5; counts and centimetres are the same
            assert abs(float(near) - float(far)) < (3.01 if whole else 0.0501)
            metres, degrees = metres + (not whole), degrees + (whole and near != far)
    assert metres > 40
    assert degrees > 10


def test_format_depends_on_what_was_asked(scene: Scene, frame_refs: list[str]) -> None:
    direct = by_type(Spatial().samples(scene, frame_refs, 0), "object_counting")[0]
    thought = by_type(Spatial(answers="think").samples(scene, frame_refs, 0), "object_counting")[0]
    task = Spatial()
    tagged, bare, wordy = "<think>x</think><answer>2</answer>", "2", "There are two."
    assert [task.score(t, direct).value("format") for t in (tagged, bare, wordy)] == [0, 1, 0]
    assert [task.score(t, thought).value("format") for t in (tagged, bare, wordy)] == [1, 0, 0]
    assert [task.score(t, direct).value("accuracy") for t in (tagged, bare, wordy)] == [1, 1, 1]


def test_reading_decides_the_accuracy(scene: Scene, frame_refs: list[str]) -> None:
    sample = by_type(Spatial().samples(scene, frame_refs, 0), "object_counting")[0]
    lenient, strict = (
        Spatial().score("There are two.", sample),
        Spatial(mode="strict").score("There are two.", sample),
    )
    assert lenient.value("accuracy") == 1.0
    assert strict.total == 0.0 and strict.failure is not None
    assert strict.evidence == Readings({"strict": None, "lenient": 1.0})
    metric = Spatial().metric([sample], [lenient])
    assert (metric["micro"], metric["micro/strict"], metric["micro/lenient"]) == (1.0, 0.0, 1.0)
    assert (metric["count/strict_read"], metric["count/lenient_read"]) == (0.0, 1.0)


def test_numbers_get_mean_relative_accuracy(scene: Scene, frame_refs: list[str]) -> None:
    sample = by_type(Spatial().samples(scene, frame_refs, 0), "room_size_estimation")[0]
    assert Spatial().score("19", sample).value("accuracy") == 1.0  # 5 % off passes the last threshold (<=)
    assert Spatial().score("16.5", sample).value("accuracy") == pytest.approx(0.7)
    assert Spatial().score("45", sample).value("accuracy") == 0.0


def test_macro_averages_directions_first() -> None:
    def sample(kind: str) -> Sample:
        truth = {"question_type": kind, "answer": "A", "options": ["A. x", "B. y"]}
        return Sample(f"{kind}", "spatial", "s", (), "x", truth)

    kinds = [f"object_rel_direction_{level}" for level in ("easy", "medium", "hard")] + ["route_planning"]
    samples = [sample(kind) for kind in kinds]
    task = Spatial()
    scores = [task.score(text, x) for text, x in zip(["A", "A", "B", "B"], samples, strict=True)]
    metric = task.metric(samples, scores)
    assert metric["macro8"] == pytest.approx((2 / 3 + 0) / 2)
    assert metric["macro8/tasks"] == 2
    assert metric["micro"] == pytest.approx(0.5)
    assert metric["accuracy/object_counting"] is None


def test_wrong_config_is_named() -> None:
    with pytest.raises(ValueError, match="answers"):
        Spatial(answers="cot")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="object_colour"):
        Spatial(types=("object_colour",))
