"""``rft3d solve`` and ``rft3d questions``: from files to answers, failures split, the key checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.scenes.published import write_meta

from rft3d.answers import LabelledBox, render_detections
from rft3d.cli import main
from rft3d.datasets.prepare import asked_in
from rft3d.evaluation.questions import QuestionConfig, exclude_list, write_questions
from rft3d.evaluation.records import Prediction, read_predictions, write_predictions
from rft3d.evaluation.solving.blind import FOLDS, answer_blindly
from rft3d.evaluation.solving.places import fuse, places_from_detections, places_from_scenes
from rft3d.evaluation.solving.split import (
    BARS,
    as_predictions,
    check_official,
    query_of,
    same_answer,
    solve_samples,
    split_failures,
)
from rft3d.geometry import invert_pose, transform_boxes
from rft3d.scenes import SOURCES, iter_rooms, make_room, write_scene
from rft3d.scenes.sources import load_frame_ref
from rft3d.tasks import TASKS, Spatial, read_samples
from rft3d.tasks.types import Sample

SEEDS = range(3)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    path = tmp_path_factory.mktemp("q") / "q.jsonl"
    write_questions(iter_rooms(SEEDS), path, QuestionConfig(per_type=3))
    return list(read_samples(path))


def test_true_boxes_answer_everything(asked: list[Sample]) -> None:
    solved = solve_samples(asked, places_from_scenes(iter_rooms(SEEDS)))
    assert all(each.accuracy == 1.0 for each in solved)
    rows = split_failures(solved, as_predictions(solved))
    assert rows["all"].verdicts["both"] == len(asked) and list(rows)[-1] == "all"
    assert {sample.truth["question_type"] for sample in asked} == set(rows) - {"all"}


def test_failures_are_split(asked: list[Sample]) -> None:
    """A world without chairs: what needs one was not seen; wrong answers to the rest are bad reasoning."""
    places = places_from_scenes(iter_rooms(SEEDS))
    blind = {
        key: replace(place, boxes={label: rows for label, rows in place.boxes.items() if label != "chair"},
                     first_seen=None)
        for key, place in places.items()
    }  # fmt: skip
    solved = solve_samples(asked, blind)
    nothing = split_failures(solved, [Prediction(sample.id, "well") for sample in asked])["all"]
    assert nothing.questions == len(asked) == sum(nothing.verdicts.values())
    assert nothing.verdicts["both"] == nothing.verdicts["other_means"] == 0
    assert nothing.verdicts["undecided"] == sum(
        s.truth["question_type"] == "obj_appearance_order" for s in asked
    )
    needs_chair = [
        each
        for each in solved
        if "chair" in (*each.query.labels, *each.query.steps) and each.query.type != "obj_appearance_order"
    ]
    assert (
        nothing.verdicts["label_missing"] + nothing.verdicts["boxes_off"] <= len(needs_chair)
        and nothing.verdicts["could_not_reason"] > 0
    )
    gold = [Prediction(sample.id, TASKS["spatial"]().gold(sample)) for sample in asked]
    right = split_failures(solved, gold)["all"]
    assert (
        right.verdicts["could_not_reason"] == right.verdicts["label_missing"] == 0
        and right.verdicts["other_means"] > 0
    )


def test_a_models_windows_become_one_world(asked: list[Sample]) -> None:
    """Gold detections of two overlapping windows: every thing once, and the questions they decide solved."""
    scene = make_room(1)
    samples = []
    for start in (0, 1):
        pose = scene.frames[start].T_world_camera
        boxes = transform_boxes(invert_pose(pose), np.stack([thing.box for thing in scene.objects]))
        rows = [{"label": t.label, "bbox_3d": b} for t, b in zip(scene.objects, boxes.tolist(), strict=True)]
        meta = {"T_world_camera": [pose.tolist()]}
        samples.append(Sample(f"w{start}", "detection", scene.id, (), "Detect", {"boxes": rows}, meta))
    answers = [Prediction(s.id, TASKS["detection"]().gold(s)) for s in samples]
    place = places_from_detections(samples, answers)[scene.id]
    counts = {label: len(rows) for label, rows in place.boxes.items()}
    truth: dict[str, int] = {}
    for thing in scene.objects:
        truth[thing.label] = truth.get(thing.label, 0) + 1
    assert counts == truth
    assert places_from_detections(samples, [Prediction("w0", "garbage")])[scene.id].boxes == {}
    with pytest.raises(ValueError, match="T_world_camera is missing"):
        places_from_detections([replace(samples[0], meta={})], answers)


def test_fusing_keeps_neighbours_and_drops_repeats() -> None:
    chair = LabelledBox("chair", (0, 0, 0, 1, 1, 1, 0, 0, 0))
    moved = LabelledBox("chair", (0.3, 0, 0, 1, 1, 1, 0, 0, 0))
    other = LabelledBox("chair", (1.0, 0, 0, 1, 1, 1, 0, 0, 0))
    table = LabelledBox("table", chair.box)
    flat = LabelledBox("chair", (5, 0, 0, 0, 1, 1, 0, 0, 0))
    assert fuse([chair, moved, other, table, flat, chair]) == [chair, other, table]


# ------------------------------------------------------------------------------- the official key


def official_files(folder: Path) -> tuple[Path, Path]:
    """A metadata file and a question file in the official layout, about rooms."""
    questions = []
    for scene in iter_rooms(range(6)):
        for sample in TASKS["spatial"](max_per_type=4).samples(scene, ["f"] * len(scene.frames), 0):
            kind = sample.truth["question_type"]
            questions.append(
                {
                    "id": len(questions),
                    "dataset": "scannet",
                    "scene_name": scene.id,
                    "question_type": kind,
                    "question": sample.prompt.split("These are frames of a video.\n")[1].split("\nOptions:")[
                        0
                    ],
                    "options": sample.truth.get("options"),
                    "ground_truth": str(sample.truth["answer"]),
                }
            )
    write_meta(folder / "scannet_meta_info_val.json", iter_rooms(range(6)))
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    return folder / "scannet_meta_info_val.json", folder / "test.jsonl"


def test_the_official_check_passes_on_a_true_key_and_fails_on_a_wrong_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata, questions = official_files(tmp_path)
    command = ["solve", "--check-official", "--questions", str(questions), "--metadata", str(metadata)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert printed.count("ok ") == len(BARS) and "NO " not in printed
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    for row in rows:
        if row["question_type"] == "object_size_estimation":
            row["ground_truth"] = str(float(row["ground_truth"]) + 1)
        if row["question_type"] == "object_abs_distance":
            row["ground_truth"] = str(float(row["ground_truth"]) + 0.15)  # within the tolerance
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "object_size_estimation" in captured.err
    assert "object_abs_distance" not in captured.err and "key " in captured.out


def test_the_agreement_with_a_key_is_printed_by_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One wrong answer is planted in each of three types; the line of each says so, and so does an example."""
    metadata, questions = official_files(tmp_path)
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    by_type = {kind: [row for row in rows if row["question_type"] == kind] for kind in BARS}
    by_type["object_counting"][0]["ground_truth"] += "0"
    by_type["object_abs_distance"][-1]["ground_truth"] += "7"  # "1.2" -> "1.27": within 0.2 m
    letter = by_type["object_rel_direction_medium"][0]["ground_truth"]
    by_type["object_rel_direction_medium"][0]["ground_truth"] = "B" if letter == "A" else "A"
    by_type["room_size_estimation"][-1]["ground_truth"] = "1.0"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["solve", "--check-official", "--questions", str(questions), "--metadata", str(metadata)]
    assert main(command) == 2
    lines = capsys.readouterr().out.splitlines()
    wrong = {"object_counting": 1, "object_rel_direction_medium": 1, "room_size_estimation": 1}
    for kind, mine in by_type.items():
        (line,) = [line for line in lines if f" {kind} " in line]
        assert f"{len(mine) - wrong.get(kind, 0)} of {len(mine)} " in line, line
        assert line.startswith("NO " if kind in wrong else "ok ")
    for kind in wrong:
        assert any(f"question {row['id']} " in line for row in by_type[kind] for line in lines)


def test_the_check_names_what_is_missing(tmp_path: Path) -> None:
    metadata, questions = official_files(tmp_path)
    places = places_from_scenes(SOURCES["vsi_meta"](metadata))
    samples, _ = asked_in(questions)
    with pytest.raises(ValueError, match="no boxes of 5 scenes"):
        check_official(samples, dict(list(places.items())[:1]))
    with pytest.raises(ValueError, match="no question of a type"):
        check_official([s for s in samples if s.truth["question_type"] == "route_planning"], places)
    assert same_answer("object_abs_distance", "1.2", "1.4") and not same_answer(
        "object_abs_distance", "1.2", "1.5"
    )
    assert same_answer("object_rel_distance", "A", "a") and not same_answer(
        "object_size_estimation", "101", "102"
    )


# --------------------------------------------------------------------------------- without looking


def known(sample: Sample, answers: Sequence[float | str]) -> list[Sample]:
    """The question of ``sample`` in other rooms, where the answers are ``answers``."""
    return [
        replace(sample, id=f"k{i}", scene=f"other-{i}", truth={**sample.truth, "answer": answer})
        for i, answer in enumerate(answers)
    ]


def of_type(asked: Sequence[Sample], kind: str) -> Sample:
    return next(sample for sample in asked if sample.truth["question_type"] == kind)


def blind_text(sample: Sample, train: Sequence[Sample]) -> str:
    [prediction] = as_predictions(answer_blindly([sample], train))
    return prediction.text


def test_the_blind_number_is_what_earns_most_not_what_is_most_frequent(asked: list[Sample]) -> None:
    sample = of_type(asked, "object_abs_distance")
    truths = [0.4] * 12 + [1.8, 1.9, 2.0, 2.1, 2.2] * 6
    assert 1.9 <= float(blind_text(sample, known(sample, truths))) <= 2.1
    assert blind_text(sample, known(sample, [0.4] * 30 + truths)) == "0.4"
    turned = replace(sample, truth={**sample.truth, "answer": 7.0})
    assert blind_text(turned, known(sample, truths)) == blind_text(sample, known(sample, truths))


def test_the_same_things_are_asked_about_often_enough_or_the_type_answers(asked: list[Sample]) -> None:
    sample = of_type(asked, "object_size_estimation")
    [label] = query_of(sample).labels
    others = [
        replace(s, id=f"o{s.id}", prompt=s.prompt.replace(f" {label}", " zeppelin"))
        for s in known(sample, [5000.0] * 100)
    ]
    assert blind_text(sample, others) == "5000"
    assert blind_text(sample, [*others, *known(sample, [60.0] * (FOLDS - 1))]) == "5000"
    assert blind_text(sample, [*others, *known(sample, [60.0] * FOLDS)]) == "60"


def test_a_blind_choice_follows_the_option_not_the_letter(asked: list[Sample]) -> None:
    sample = of_type(asked, "object_rel_direction_easy")
    first, second = query_of(sample).options
    there = known(sample, ["B"] * 24)  # the second option, always at B
    assert blind_text(sample, there) == "B"
    turned = sample.prompt.replace(f"A. {first}", f"A. {second}").replace(f"B. {second}", f"B. {first}")
    swapped = replace(
        sample, prompt=turned, truth={**sample.truth, "options": [f"A. {second}", f"B. {first}"]}
    )
    assert query_of(swapped).options == (second, first)
    assert blind_text(swapped, there) == "A"


def test_blind_answers_need_other_rooms_and_known_types(asked: list[Sample]) -> None:
    sample, other = of_type(asked, "room_size_estimation"), of_type(asked, "object_abs_distance")
    [solved] = answer_blindly([sample], known(other, [2.0, 2.0]))
    assert solved.accuracy == 0 and as_predictions([solved])[0].text == ""
    with pytest.raises(ValueError, match="need questions with known answers, got none"):
        answer_blindly([sample], [])
    with pytest.raises(ValueError, match=f"1 scenes such as {sample.scene!r} are in both files"):
        answer_blindly([sample], [sample])
    choice = of_type(asked, "object_rel_direction_easy")
    for truth, reason in (
        ({"boxes": []}, "no question_type"),
        ({**choice.truth, "options": []}, "no options"),
    ):
        with pytest.raises(ValueError, match=f"sample '{choice.id}': truth has {reason}"):
            answer_blindly([replace(choice, truth=truth)], known(sample, [2.0, 2.0]))


# --------------------------------------------------------------------------------------- the verbs


def test_questions_then_solve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    q, p = tmp_path / "q.jsonl", tmp_path / "p.jsonl"
    assert main(["rooms", "--seed", "5", "--count", "1", "--out", str(tmp_path / "r")]) == 0
    assert main(["questions", str(tmp_path / "r" / "scenes"), "--out", str(q), "--per-type", "2"]) == 0
    samples = list(read_samples(q))
    assert load_frame_ref(samples[0].frames[0], tmp_path).ndim == 3
    solve = [
        "solve",
        "--samples",
        str(q),
        "--scenes",
        str(tmp_path / "r" / "scenes"),
        "--predictions-out",
        str(p),
    ]
    assert main(solve) == 0
    assert len(read_predictions(p)) == len(samples)
    report = tmp_path / "split.json"
    assert main([*solve[:-2], "--predictions", str(p), "--out", str(report)]) == 0
    assert json.loads(report.read_text())["all"]["verdicts"]["both"] == len(samples)
    assert main(["solve", "--samples", str(q)]) == 2
    assert "exactly one of" in capsys.readouterr().err

    assert main(["rooms", "--seed", "6", "--count", "3", "--out", str(tmp_path / "t")]) == 0
    train = str(tmp_path / "t" / "samples.spatial.jsonl")
    assert main(["solve", "--samples", str(q), "--blind", train, "--predictions-out", str(p), "--force"]) == 0
    assert "without looking" in capsys.readouterr().out and len(read_predictions(p)) == len(samples)
    assert main([*solve[:-2], "--blind", train]) == 2
    assert "--blind uses no boxes" in capsys.readouterr().err
    own = tmp_path / "own.jsonl"
    write_predictions(own, [Prediction(s.id, Spatial().gold(s)) for s in samples])
    beside = ["solve", "--samples", str(q), "--blind", train, "--predictions", str(own), "--out", str(report)]
    assert main([*beside, "--force"]) == 0
    rows = json.loads(report.read_text())
    assert rows["all"]["own"] == 1 > rows["all"]["solved"]


def test_detections_of_a_model_are_solved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "r"
    assert main(["rooms", "--seed", "5", "--count", "1", "--out", str(root)]) == 0
    detections = list(read_samples(root / "samples.detection.jsonl"))
    task = TASKS["detection"]()
    write_predictions(root / "d.jsonl", [Prediction(s.id, task.gold(s)) for s in detections])
    command = [
        "solve",
        "--samples",
        str(root / "samples.spatial.jsonl"),
        "--detections",
        str(root / "d.jsonl"),
    ]
    assert main([*command, "--detection-samples", str(root / "samples.detection.jsonl")]) == 0
    assert "all" in capsys.readouterr().out
    assert main(command) == 2
    assert render_detections([]) and "--detection-samples" in capsys.readouterr().err


def test_excluded_scenes_are_not_asked_about(tmp_path: Path) -> None:
    listed = tmp_path / "no.txt"
    listed.write_text("# the benchmark\nscannet/rooms-1\n")
    made = write_questions(
        iter_rooms(SEEDS), tmp_path / "q.jsonl", QuestionConfig(per_type=1), exclude_list([listed])
    )
    assert made.excluded == ["rooms-1"] and made.scenes == 2
    assert {s.scene for s in read_samples(tmp_path / "q.jsonl")} == {"rooms-0", "rooms-2"}
    by_samples = exclude_list([tmp_path / "q.jsonl"])
    assert by_samples("rooms-0") and not by_samples("rooms-1")
    rescans = exclude_list([listed], lambda scan: scan[:5])
    assert rescans("rooms-9")
    with pytest.raises(ValueError, match="unknown question types"):
        QuestionConfig(types=("cooking",))


def test_benchmark_scenes_are_excluded_by_default(tmp_path: Path) -> None:
    write_scene(replace(make_room(3), id="scene0011_01", source="folder"), tmp_path / "scan")
    common = ["questions", str(tmp_path / "scan"), "--force", "--out", str(tmp_path / "q.jsonl")]
    assert main(common) == 0
    assert not list(read_samples(tmp_path / "q.jsonl"))
    assert main([*common, "--allow-benchmark-scenes"]) == 0
    assert list(read_samples(tmp_path / "q.jsonl"))


def test_thoughts_name_the_letter_where_the_option_stands(tmp_path: Path) -> None:
    write_questions(iter_rooms(SEEDS), tmp_path / "q.jsonl", QuestionConfig(per_type=2, answers="think"))
    for sample in read_samples(tmp_path / "q.jsonl"):
        if "options" in sample.truth:
            assert sample.truth["thought"].endswith(f"option {sample.truth['answer']}.")
