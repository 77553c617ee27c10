"""VSI-Bench's own key and words: what the metadata lack is counted apart, what nobody understands is unsolved."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scenes.published import write_meta

from rft3d.cli import main
from rft3d.datasets.prepare import asked_in
from rft3d.datasets.vsi import question_sample
from rft3d.evaluation.questions import OFFICIAL, Balance, QuestionConfig, write_questions
from rft3d.evaluation.records import Prediction, read_predictions, write_predictions
from rft3d.evaluation.solving.blind import answer_blindly, answer_by_folds, prior_of
from rft3d.evaluation.solving.places import places_from_scenes
from rft3d.evaluation.solving.split import BARS, as_predictions, check_official, query_of, solve_samples
from rft3d.scenes import SOURCES, SceneObject, make_room
from rft3d.scenes.readers.records import QuestionRecord
from rft3d.tasks import read_samples
from rft3d.tasks.samples import write_samples
from rft3d.tasks.spatial import Limits, Question, View
from rft3d.tasks.spatial.solve import Solved, Unsolved, place_of, solve, world_of
from rft3d.tasks.spatial.thoughts import work_out
from rft3d.tasks.spatial.view import read_question
from rft3d.tasks.types import Sample

BOXES = np.array(
    [[0, 0, 0.5, 1, 1, 1, 0, 0, 0], [3, 0, 0.5, 1, 2, 1, 0, 0, 0], [3, 4, 0.5, 1, 1, 1, 0, 0, 0.0]]
)
PLACE = place_of(["chair", "bed", "fridge"], BOXES)
CLOSEST = "which of these objects ({}) is the closest to the chair?"


def record(number: int, kind: str, text: str, answer: str, options: tuple[str, ...] = ()) -> Sample:
    return question_sample(QuestionRecord(str(number), "s", "scannet", kind, text, options, answer, None), ())


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


def size_sample(name: str, scene: str, answer: float) -> Sample:
    truth = {"question_type": "object_size_estimation", "answer": answer}
    return Sample(name, "spatial", scene, (), size_of("bed"), truth)


def one_thing(folder: Path, label: str, box: NDArray[np.float64]) -> str:
    """Scene metadata of ``s1``, a room with one thing in it."""
    room = replace(make_room(1), id="s1", objects=(SceneObject(0, label, box),))
    return str(write_meta(folder / "scannet_meta_info_val.json", [room]))


def test_a_question_that_nobody_understands_is_unsolved_and_no_exception() -> None:
    odd = route(1, "You are a robot somewhere.")
    plain = [route(n, ROUTE.format("at the chair and facing the bed")) for n in range(2, 5)]
    (found,) = solve_samples([odd], {"s1": PLACE})
    assert isinstance(found.found, Unsolved) and "not the wording" in found.found.reason
    assert as_predictions([found])[0].text == ""
    (blind,) = answer_blindly([odd], [*plain, route(9, "Somewhere else.")])
    assert isinstance(blind.found, Unsolved)


def test_constants_are_drawn_towards_their_types_by_what_pays() -> None:
    rng = np.random.default_rng(0)
    noise = [rng.choice([2.0, 3.0, 4.0, 6.0], 10, p=[0.5, 0.25, 0.15, 0.1]) for _ in range(20)]
    assert prior_of(noise, 2.0) == math.inf  # things that differ by chance only
    sizes = [rng.normal(mean, 0.05 * mean, 10) for mean in (30.0, 80.0, 200.0)]
    assert prior_of(sizes, 80.0) <= 5


def test_the_floor_of_a_file_is_measured_ten_fold_by_room(tmp_path: Path) -> None:
    rooms = [size_sample(f"q{n}", f"s{n}", answer) for n, answer in enumerate([200.0] * 11 + [90.0])]
    answers = {each.sample.scene: each.found for each in answer_by_folds(rooms)}
    assert answers == dict.fromkeys(answers, Solved(200)) and len(answers) == 12
    alone = [size_sample("more", "s0", 30.0), *rooms]  # its own room teaches it nothing
    assert answer_by_folds(alone)[0].found == Solved(200)
    with pytest.raises(ValueError, match="10 folds need as many scenes, and the questions are about 9"):
        answer_by_folds(rooms[:9])
    write_samples(tmp_path / "q.jsonl", rooms)
    q, out = str(tmp_path / "q.jsonl"), str(tmp_path / "out.jsonl")
    assert main(["solve", "--samples", q, "--blind", q, "--predictions-out", out]) == 0
    assert [each.text for each in read_predictions(out)] == ["200"] * 12


def test_any_question_that_cannot_be_read_is_unsolved_in_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [route(1, "You are a robot somewhere."), replace(route(2, ROUTE.format("at x")), scene="s1")]
    bare = {"question_type": "object_size_estimation", "answer": 90.0}
    odd.append(Sample("q3", "spatial", "s1", (), "How big is it?", bare))
    write_samples(tmp_path / "q.jsonl", odd)
    write_samples(tmp_path / "known.jsonl", [replace(each, id=f"k{each.id}", scene="t") for each in odd])
    write_predictions(tmp_path / "own.jsonl", [Prediction(each.id, "90") for each in odd])
    files = {name: str(tmp_path / f"{name}.jsonl") for name in ("q", "known", "own", "out")}
    for source in (["--metadata", one_thing(tmp_path, "chair", BOXES[0])], ["--blind", files["known"]]):
        for own in ([], ["--predictions", files["own"]]):
            command = ["solve", "--samples", files["q"], *source, *own]
            assert main([*command, "--predictions-out", files["out"], "--force"]) == 0
            assert [each.text for each in read_predictions(tmp_path / "out.jsonl")] == [""] * 3
    for each in solve_samples(odd, {"s1": PLACE}):
        assert isinstance(each.found, Unsolved) and each.found.reason.startswith(f"sample '{each.sample.id}'")
    capsys.readouterr()


META = [make_room(seed) for seed in range(4)]


def test_questions_about_scene_metadata_need_no_frames(tmp_path: Path) -> None:
    meta, out = write_meta(tmp_path / "scannet_meta_info_val.json", META), tmp_path / "q.jsonl"
    command = ["questions", str(meta), "--out", str(out)]
    assert main(command) == 0
    samples = list(read_samples(out))
    kinds = {sample.truth["question_type"] for sample in samples}
    assert kinds >= set(BARS) - {"object_counting"} and "obj_appearance_order" not in kinds
    assert all(sample.frames == () and "<image>" not in sample.prompt for sample in samples)
    solved = solve_samples(samples, places_from_scenes(SOURCES["vsi_meta"](meta)))
    assert all(each.accuracy == 1 for each in solved)
    assert main([*command, "--answers", "think", "--force"]) == 2
    # what is counted apart from the boxes counts
    data = json.loads(meta.read_text())
    label = next(iter(data["rooms-1"]["object_counts"]))
    data["rooms-1"]["object_counts"][label] = 9
    meta.write_text(json.dumps(data))
    scene = list(SOURCES["vsi_meta"](meta))[1]
    view = View(scene, Limits())
    assert view.count(label) == 9 and label not in view.unique
    query = read_question("object_counting", f"How many {label}(s) are in this room?")
    assert solve(query, world_of(scene)) == Solved(9.0)


@pytest.mark.parametrize(
    ("kind", "words", "balanced", "official"),
    [
        ("object_rel_direction_hard", ("front-left", "front-right"), 0.5, 0.84),
        ("object_rel_direction_medium", ("back",), 1 / 3, 0.05),
        ("route_planning", ("Turn Back",), 1 / 3, 0.16),
    ],
)
def test_the_official_mix_of_answers_is_drawn(
    kind: str, words: tuple[str, ...], balanced: float, official: float
) -> None:
    rng = random.Random(0)
    answers = list(OFFICIAL[kind])
    for shares, wanted in (({}, balanced), (OFFICIAL, official)):
        balance = Balance(shares)
        for _ in range(60):  # scenes
            turns = rng.choices((1, 2), k=64) if kind == "route_planning" else [1] * 64
            said = [", ".join(rng.choices(answers, k=n)) for n in turns]
            offered = [Question(kind, (), text="?", answer=each) for each in said]
            chosen = balance.choose(offered, 4)
            assert [len(each.answer.split(", ")) for each in chosen[:1]] == turns[:1]  # type: ignore[union-attr]
        found = sum(balance.words[kind, word] for word in words) / balance.words.total()
        assert found == pytest.approx(wanted, abs=0.03)


def test_the_mix_is_an_option_of_the_verb(tmp_path: Path) -> None:
    meta = write_meta(tmp_path / "scannet_meta_info_val.json", META)
    command = ["questions", str(meta), "--source", "vsi_meta", "--types", "object_rel_direction_medium"]
    found = []
    for mix in ("balanced", "official"):
        out = tmp_path / f"{mix}.jsonl"
        assert main([*command, "--out", str(out), "--distribution", mix]) == 0
        right = [s.truth["options"]["ABC".index(s.truth["answer"])][3:] for s in read_samples(out)]
        found.append(right.count("back"))
    assert found[0] > found[1]


def test_routes_have_up_to_three_turns_and_are_right(tmp_path: Path) -> None:
    types = ("route_planning",)
    write_questions(
        [make_room(seed) for seed in range(6)], tmp_path / "q.jsonl", QuestionConfig(types, 100, 2, "think")
    )
    turns: Counter[int] = Counter()
    for sample in read_samples(tmp_path / "q.jsonl"):
        query = query_of(sample)
        count = query.steps.count(None)
        turns[count] += 1
        options = [option[3:] for option in sample.truth["options"]]
        assert len(set(options)) == len(options) == (3 if count == 1 else 4)
        assert all(len(option.split(", ")) == count for option in options)
        place = world_of(make_room(int(sample.scene.removeprefix("rooms-"))))
        assert solve(query, place) == Solved(sample.truth["answer"])
        assert sample.truth["thought"].count(" degrees to the ") == count
        worked = work_out(query, place, sample.truth["answer"])
        assert isinstance(worked, str) and worked.count(" degrees to the ") == count
    assert min(turns[1], turns[2], turns[3]) >= 1
    write_questions(META, tmp_path / "one.jsonl", QuestionConfig(types, turns=1))
    assert {query_of(sample).steps.count(None) for sample in read_samples(tmp_path / "one.jsonl")} == {1}
    with pytest.raises(ValueError, match="turns must be at least 1"):
        QuestionConfig(turns=0)


LAYOUTS = {
    "Video-R1's, as Spatial-MLLM and SpaceR have it": {
        "problem_id": 7, "problem": size_of("bed"), "data_type": "video", "problem_type": "regression",
        "original_question_type": "object_size_estimation", "options": None, "process": "",
        "solution": "<answer>200</answer>", "path": "./eval/scannetpp/s1.mp4", "data_source": "",
    },
    "VLM-3R's": {
        "id": "7", "data_source": "scannetpp", "scene_name": "s1", "question_type": "object_size_estimation",
        "conversations": [{"from": "human", "value": size_of("bed")}, {"from": "gpt", "value": "200"}],
    },
    "a chat about a video, as Spatial-MLLM v1.1 has it": {
        "video": "scannetpp/s1.mp4",
        "conversations": [{"from": "human", "value": f"<video>\n{size_of('bed')}"}, {"from": "gpt", "value": "200"}]
    },
    "VSI-Bench's": {
        "id": 7, "dataset": "scannetpp", "scene_name": "s1", "question_type": "object_size_estimation",
        "question": size_of("bed"), "options": None, "ground_truth": "200",
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_question_files_are_solved_as_they_are(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "q.json").write_text(json.dumps([LAYOUTS[layout]]))
    ((sample,), left_out) = asked_in(tmp_path / "q.json")
    assert (sample.scene, sample.meta["dataset"], sample.truth["answer"]) == ("s1", "scannetpp", 200.0)
    assert not left_out
    metadata = one_thing(tmp_path, "bed", BOXES[1])
    assert main(["solve", "--samples", str(tmp_path / "q.json"), "--metadata", metadata]) == 0
    assert "100.0" in capsys.readouterr().out
    out = str(tmp_path / "kept.jsonl")
    assert main(["questions", str(tmp_path / "q.json"), "--out", out]) == 0
    assert list(read_samples(out)) == [sample]
    listed = tmp_path / "listed.txt"
    listed.write_text("s1\n")
    assert (
        main(["questions", str(tmp_path / "q.json"), "--out", out, "--force", "--exclude", str(listed)]) == 0
    )
    assert not list(read_samples(out)) and "1 excluded" in capsys.readouterr().out
    assert main(["questions", str(tmp_path / "q.json"), "--out", out, "--force", "--answers", "think"]) == 2
    assert "worked out from boxes" in capsys.readouterr().err
    other = json.loads(json.dumps(LAYOUTS[layout]).replace(size_of("bed"), "What is the colour?"))
    if "question_type" not in other and "original_question_type" not in other:  # a type that nobody names
        (tmp_path / "q.json").write_text(json.dumps([other]))
        assert asked_in(tmp_path / "q.json")[1] == {"question of no VSI-Bench type": 1}
