"""Thoughts for other people's questions: from boxes to the key, or a reason why not."""

from __future__ import annotations

import re

import pytest

from rft3d.scenes import RoomConfig, make_room
from rft3d.tasks import Sample, Spatial
from rft3d.tasks.spatial import QUESTION_TYPES
from rft3d.tasks.spatial.solve import Place, Unsolved, place_of, world_of
from rft3d.tasks.spatial.thoughts import work_out
from rft3d.tasks.spatial.view import Query, read_question


def asked() -> list[tuple[Sample, Query, Place]]:
    found = []
    for seed in range(8):
        scene = make_room(seed, RoomConfig(frames=8, width=84, height=56))
        for sample in Spatial(max_per_type=2).samples(scene, ["f"] * len(scene.frames), 0):
            truth = sample.truth
            query = read_question(truth["question_type"], sample.prompt, truth.get("options", ()))
            found.append((sample, query, world_of(scene)))
    return found


ASKED = asked()


@pytest.mark.parametrize("kind", QUESTION_TYPES)
def test_boxes_lead_to_the_key_or_are_refused(kind: str) -> None:
    mine = [each for each in ASKED if each[1].type == kind]
    assert mine
    worked = 0
    for sample, query, place in mine:
        key = sample.truth["answer"]
        thought = work_out(query, place, key)
        if kind in ("obj_appearance_order", "room_size_estimation"):
            assert isinstance(thought, Unsolved) and not thought.missing
            continue
        if isinstance(thought, Unsolved):
            continue
        worked += 1
        end = f"option {key}." if query.options else f"So it is {key:g}."
        assert thought.endswith(end)
        assert all(label in thought.lower() for label in query.labels)
        wrong = "B" if key == "A" else "A" if isinstance(key, str) else key + 1
        assert work_out(query, place, wrong) == Unsolved("the boxes lead to another answer than the key")
    if kind not in ("obj_appearance_order", "room_size_estimation"):
        assert worked >= len(mine) / 2


def test_numbers_in_a_thought_are_the_boxes() -> None:
    place = place_of(["bed", "lamp"], [[0, 0, 0.5, 2, 1, 1, 0, 0, 0], [4, 0, 0.5, 1, 1, 1, 0, 0, 0]])  # type: ignore[arg-type]
    query = Query("object_abs_distance", ("bed", "lamp"))
    thought = work_out(query, place, 2.5)
    assert (
        isinstance(thought, str)
        and re.findall(r"are (\d\.\d+)", thought) == ["4.00"]
        and "2.5 remain" in thought
    )
    assert isinstance(work_out(query, place, 2.6), Unsolved), "a thought never contradicts its answer"
    floor = place_of(["floor"], [[0, 0, 0, 4, 3, 0.1, 0, 0, 0]])  # type: ignore[arg-type]
    size = work_out(Query("room_size_estimation", ()), floor, 12.0)
    assert size == "The floor's sides are 3.00 and 4.00 metres. So it is 12."
    more = Place(place.boxes, counts={"bed": 3})
    assert isinstance(work_out(Query("object_counting", ("bed",)), more, 3.0), Unsolved)
