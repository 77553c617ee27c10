"""The matrix: experiments that contradict each other are refused, arms resume, tables say what was not run."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from rft3d.evaluation.records import Prediction, write_predictions
from rft3d.matrix import load_experiments, run, run_matrix, write_results
from rft3d.matrix.figure import colour, draw_dynamics, picture
from rft3d.matrix.lab import LATER_ROOM_SETTINGS, Lab, with_other_pictures
from rft3d.matrix.load import check, quickened
from rft3d.matrix.numbers import Found, difference_of, value_of, verdict
from rft3d.matrix.run import jobs
from rft3d.matrix.settings import matched_arm, our_arm, paper_arm
from rft3d.matrix.sweep_figure import draw_sweep, sweep_picture
from rft3d.matrix.types import Arm, Claim, Experiment, Sweep, folder_of
from rft3d.matrix.views import corrupted
from rft3d.scenes import RoomConfig, make_room
from rft3d.tasks import Sample, Spatial, write_samples
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.loop import OnStep

RECIPES = Path(__file__).parents[2] / "recipes" / "matrix"


@pytest.fixture(scope="module")
def experiments() -> dict[str, Experiment]:
    return {experiment.name: experiment for experiment in load_experiments(RECIPES)}


def test_recipes_agree_and_say_how_they_are_run(experiments: dict[str, Experiment]) -> None:
    assert {file.stem for file in RECIPES.glob("*.py")} == set(experiments)
    for name, experiment in experiments.items():
        text = (RECIPES / f"{name}.py").read_text(encoding="utf-8")
        for needed in (f"rft3d matrix run --only {name}", "Hardware:", "Time:", "Expected:"):
            assert needed in text, (name, needed)
        assert len(experiment.seeds) >= 3 and experiment.columns
        # a claim that compares arms with different tokens says so in a title
        for claim in experiment.claims:
            budgets = {experiment.arm(each).budget for each in (claim.arm, claim.against)}
            titles = " ".join(experiment.arm(each).title for each in (claim.arm, claim.against))
            assert len(budgets) == 1 or re.search("tokens|half|SFT", titles), claim


def test_the_headline_comes_first_and_sizes_last(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    names = list(experiments)
    assert names[0] == "rl_beats_sft" and names[-2:] == ["size_large", "size_small"]
    assert jobs(list(experiments.values()))[0].world == experiments["rl_beats_sft"].world
    page = write_results(
        [experiments[name] for name in names[:3]], tmp_path / "runs", tmp_path / "results.md"
    )
    assert re.findall("^## (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)[2:] == names[:3]


def test_shared_arms_run_once_and_bases_come_first(experiments: dict[str, Experiment]) -> None:
    found = jobs(list(experiments.values()))
    names = [(job.seed, job.world.name, job.arm.name) for job in found]
    assert len(set(names)) == len(names)
    for at, job in enumerate(found):
        if job.arm.base is not None:
            assert (job.seed, job.world.name, job.arm.base) in names[:at]
    assert [n for n in names if n[2] == "sft" and n[1] == "rooms"] == [(s, "rooms", "sft") for s in range(5)]
    only = jobs(list(experiments.values()), seeds=[1], only=["rewards/det_iou"])
    assert [job.arm.name for job in only] == ["sft", "det_iou"]


Begun = tuple[Lab, Path, Arm]


@pytest.fixture
def begun(experiments: dict[str, Experiment], tmp_path: Path) -> Begun:
    """An arm whose settings are on disk: the laboratory, the file, the arm."""
    rewards = experiments["rewards"]
    arm = rewards.arm("det_f1")
    lab, file = Lab(rewards.world, 0, tmp_path, Console(file=io.StringIO())), tmp_path / "arm.json"
    lab._same_arm(file, arm, arm.stage)
    return lab, file, arm


def test_an_arm_is_the_same_when_a_view_that_it_does_not_train_on_gets_a_limit(begun: Begun) -> None:
    lab, file, arm = begun

    def limited(**limits: int) -> RFTConfig:
        assert isinstance(arm.stage, RFTConfig)
        return replace(arm.stage, max_new_tokens={**arm.stage.max_new_tokens, **limits})

    lab._same_arm(file, arm, limited(captioning=64))
    with pytest.raises(ValueError, match=r"other settings \(differs in stage.max_new_tokens.detection"):
        lab._same_arm(file, arm, limited(detection=99))


def test_an_arm_begun_before_there_were_other_pictures_is_the_same(begun: Begun) -> None:
    lab, file, arm = begun
    before = json.loads(file.read_text(encoding="utf-8"))
    del before["looks"]
    file.write_text(json.dumps(before), encoding="utf-8")
    lab._same_arm(file, arm, arm.stage)
    with pytest.raises(ValueError, match=r"other settings \(differs in looks"):
        lab._same_arm(file, replace(arm, looks=False), arm.stage)


def test_a_world_begun_before_rooms_could_vary_is_the_same(begun: Begun, tmp_path: Path) -> None:
    world, console = begun[0].world, Console(file=io.StringIO())
    stored = json.loads((folder_of(tmp_path, world, 0) / "config.json").read_text(encoding="utf-8"))
    assert stored["world"]["rooms"]["stretch"] and not set(LATER_ROOM_SETTINGS) & set(
        stored["world"]["rooms"]
    )
    Lab(world, 0, tmp_path, console)
    with pytest.raises(ValueError, match=r"another config \(differs in world.rooms.kinds\)"):
        Lab(replace(world, rooms=replace(world.rooms, kinds=3)), 0, tmp_path, console)


@pytest.mark.parametrize("rooms", [2, 5, 6])
def test_other_pictures_are_never_the_rooms_own(rooms: int) -> None:
    pictures: list[Any] = [f"of {i}" for i in range(rooms)]
    asked: dict[str, Any] = {"spatial": [[f"about {i}"] for i in range(rooms)]}
    exchanged = with_other_pictures(Corpus(pictures, asked))
    seen = [exchanged.features[i] for i in range(rooms)]
    assert sorted(map(str, seen)) == pictures and all(a != b for a, b in zip(seen, pictures, strict=True))
    assert exchanged.by_scene == asked
    with pytest.raises(ValueError, match="two rooms or more, got 1"):
        with_other_pictures(Corpus(pictures[:1], asked))


def test_what_is_asked_for_first_runs_first(experiments: dict[str, Experiment]) -> None:
    every = list(experiments.values())
    for names in (
        ["joint/only_spatial", "credit/credit_marginal"],
        ["credit/credit_marginal", "joint/only_spatial"],
    ):
        found = [job.arm.name for job in jobs(every, seeds=[2], only=names)]
        assert found == ["sft", *(name.partition("/")[2] for name in names)]
    worlds = [job.world.name for job in jobs(every, seeds=[0], only=["thoughts/mixed", "rewards/det_f1"])]
    assert worlds == ["thoughts", "thoughts", "rooms", "rooms"]
    with pytest.raises(ValueError, match=r"called 'rewards/det_f2'; there are rl_beats_sft, rewards, "):
        jobs(every, only=["rewards/det_f1", "rewards/det_f2"])


def test_seeds_that_nobody_has(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no chosen experiment has a seed 7"):
        run_matrix([experiments["rewards"]], tmp_path, seeds=[7])
    with pytest.raises(ValueError, match="at_once must be at least 1, got 0"):
        run_matrix([experiments["rewards"]], tmp_path, at_once=0)


def test_contradictions_are_named(experiments: dict[str, Experiment]) -> None:
    rewards = experiments["rewards"]
    first, second, *rest = rewards.arms
    other = replace(rewards, name="other", arms=(first, replace(second, title="new")), claims=())
    with pytest.raises(ValueError, match=r"arm 'det_format' differs from the one in 'rewards'"):
        check([rewards, other])
    with pytest.raises(ValueError, match=r"has no arm 'sft'"):
        check([replace(rewards, arms=(second, *rest))])
    with pytest.raises(ValueError, match=r"different world called 'rooms'"):
        check([rewards, replace(rewards, name="b", world=replace(rewards.world, train_rooms=7))])
    unjudged = replace(rewards.claims[0], metrics=(("spatial", "micro"),))
    with pytest.raises(ValueError, match=r"about 'spatial' in 'eval', where arm 'det_paper' is not judged"):
        check([replace(rewards, claims=(unjudged,))])
    elsewhere = replace(rewards.claims[0], where="larger")
    with pytest.raises(ValueError, match=r"in 'larger', where arm 'det_paper' is not judged"):
        check([replace(rewards, claims=(elsewhere,))])


def test_published_grpo_has_no_credit_and_ours_has() -> None:
    assert (paper_arm().stage.credit, paper_arm().stage.scale) == ("none", "group")
    assert (matched_arm().stage.credit, matched_arm().stage.scale) == ("none", "group")
    assert our_arm().stage.credit != "none"


def test_verdicts_follow_the_rule() -> None:
    claim = Claim("it helps", "a", "b", ())
    kept = replace(claim, kind="not below")

    def found(low: float, high: float, seeds: int = 3) -> Found:
        return Found((low + high) / 2, low, high, (low, *[high] * (seeds - 1)), 300, 300)

    assert verdict(None, claim) == "not yet run"
    assert verdict(found(1, 2, seeds=2), claim) == "undecided (2 of 3 seeds)"
    for low, high, above, not_below in (
        (0.1, 3.0, "holds", "holds"),
        (0.1, 0.5, "holds", "holds"),
        (-0.5, 0.9, "does not hold", "holds"),
        (-0.5, 1.5, "undecided", "holds"),
        (-2.0, 0.5, "does not hold", "undecided"),
        (-3.0, -1.5, "does not hold", "does not hold"),
    ):
        assert verdict(found(low, high), claim).strip("*") == above
        assert verdict(found(low, high), kept).strip("*") == not_below


def test_a_verdict_says_when_a_seed_goes_the_other_way() -> None:
    claim = Claim("it helps", "a", "b", ())
    mixed = Found(1.0, 0.5, 1.5, (-0.2, 0.4, 2.8), 300, 300)
    assert verdict(mixed, claim) == "**holds** (in 2 of 3 seeds)"
    assert verdict(mixed, replace(claim, kind="not below")) == "**holds**"
    assert verdict(replace(mixed, low=-0.5), claim) == "undecided"


def asked_about(rooms: int) -> list[Sample]:
    made = [make_room(seed, RoomConfig(width=84, height=56)) for seed in range(rooms)]
    refs = [[f"{i}.png" for i in range(len(room.frames))] for room in made]
    return [s for room, frames in zip(made, refs, strict=True) for s in Spatial().samples(room, frames, 0)]


def judged(folder: Path, arm: str, samples: list[Sample], right: bool = True) -> None:
    """Files of an arm that answered all questions rightly, or none of them."""
    answers = [Prediction(s.id, Spatial().gold(s) if right else "?") for s in samples]
    write_samples(folder / "spatial.samples.jsonl", samples)
    write_predictions(folder / arm / "spatial.predictions.jsonl", answers)
    (folder / arm / "spatial.scores.json").write_text("{}")


def test_a_type_of_question_counts_its_own(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    looking, samples = experiments["looking"], asked_about(3)
    judged(folder_of(tmp_path, looking.world, 0) / "eval", "sft", samples)
    sizes = value_of(looking, tmp_path, "sft", "spatial", "accuracy/room_size_estimation")
    every = value_of(looking, tmp_path, "sft", "spatial", "micro")
    assert sizes is not None and (sizes.mean, sizes.samples, sizes.scenes) == (100.0, 3, 3)
    assert every is not None and (every.mean, every.samples) == (100.0, len(samples))


def test_answers_that_are_all_the_same_have_no_correlation_and_right_ones_a_perfect_one(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    looking, samples = experiments["looking"], asked_about(6)
    folder = folder_of(tmp_path, looking.world, 0) / "eval"
    judged(folder, "rft_ours", samples)
    judged(folder, "sft", samples, right=False)
    write_predictions(folder / "sft" / "spatial.predictions.jsonl", [Prediction(s.id, "20") for s in samples])
    metric = "follow/room_size_estimation"
    ours = value_of(looking, tmp_path, "rft_ours", "spatial", metric)
    same = value_of(looking, tmp_path, "sft", "spatial", metric)
    assert ours is not None and (ours.mean, ours.samples, ours.hole) == (pytest.approx(100.0), 6, None)
    assert ours.low == pytest.approx(100.0)
    assert same is not None and (same.samples, same.hole) == (6, "no value")
    about = (metric, "sft", "eval")
    [claim] = [c for c in looking.claims if (c.metrics[0][1], c.against, c.where) == about]
    assert verdict(difference_of(looking, tmp_path, claim, "spatial", metric), claim) == "no value"
    page = write_results([looking], tmp_path, tmp_path / "page.md").read_text(encoding="utf-8")
    [row] = [row for row in page.splitlines() if row.startswith("| SFT |")]
    assert "| no value |" in row


def test_a_type_of_question_that_nobody_asked_is_told_from_one_that_is_yet_to_run(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    looking = replace(experiments["looking"], seeds=(0, 1, 2))
    samples = [s for s in asked_about(3) if s.truth["question_type"] != "route_planning"]
    for seed, arm in product(looking.seeds, ("rft_ours", "sft_sft")):
        judged(folder_of(tmp_path, looking.world, seed) / "eval", arm, samples)
    claim = next(claim for claim in looking.claims if claim.late)
    route, size = ("spatial", "accuracy/route_planning"), ("spatial", "accuracy/room_size_estimation")
    found = difference_of(looking, tmp_path, claim, *route)
    assert found is not None and (found.samples, found.scenes, found.seeds) == (0, 3, 3)
    assert verdict(found, claim) == "nobody asked"
    assert verdict(difference_of(looking, tmp_path, claim, *size), claim) == "**does not hold**"
    yet_to_run = replace(claim, against="blind_rft_ours")
    assert verdict(difference_of(looking, tmp_path, yet_to_run, *route), claim) == "not yet run"
    page = write_results([looking], tmp_path, tmp_path / "page.md").read_text(encoding="utf-8")
    rows = {row.split(" | ")[1]: row.split(" | ")[2:] for row in page.splitlines() if claim.text in row}
    asked = rows["spatial accuracy/route_planning: SFT → RL, ours minus SFT → SFT"]
    assert asked == ["nobody asked", "0 questions, 3 rooms x 3 seeds", "nobody asked |"]
    lines = {"RL": ((0.0, "looking/sft_sft"), (1.0, "looking/rft_ours"))}
    assert draw_sweep(Sweep("a", "a", lines, (route,)), [looking], tmp_path, tmp_path / "a.svg") is None
    assert draw_sweep(Sweep("b", "b", lines, (size,)), [looking], tmp_path, tmp_path / "b.svg") is not None


def test_the_points_of_a_sweep_are_means_over_the_same_seeds(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    from xml.etree import ElementTree

    scaling, samples = experiments["scaling"], asked_about(2)
    folders = [folder_of(tmp_path, scaling.world, seed) / "eval" for seed in (0, 1)]
    judged(folders[0], "sft", samples)
    judged(folders[1], "sft", samples, right=False)
    judged(folders[0], "rft_ours", samples)  # as good as SFT on the one seed that it has
    points = ((0.0, "scaling/sft"), (400.0, "scaling/rft_ours"), (800.0, "scaling/tokens_2"))
    sweep = Sweep("tokens", "tokens", {"RL": points}, (("spatial", "micro"),))
    drawn = draw_sweep(sweep, [scaling], tmp_path, tmp_path / "a.svg")
    assert drawn is not None
    heights = [c.get("cy") for c in ElementTree.parse(drawn).getroot().findall("{*}circle")]
    assert len(heights) == 2 and heights[0] == heights[1]


def test_thoughts_are_drawn_in_the_panel_of_their_task(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    spatial = experiments["spatial"]
    for arm, view in (("rl_direct", "spatial"), ("rl_think", "spatial-think")):
        log = folder_of(tmp_path, spatial.world, 0) / "stages" / arm / "metrics.jsonl"
        log.parent.mkdir(parents=True)
        log.write_text("".join(f'{{"step": {i}, "reward/{view}/accuracy": 0.{i}}}\n' for i in range(1, 4)))
    drawn = draw_dynamics(spatial, tmp_path, tmp_path / "a.svg")
    assert drawn is not None
    text = drawn.read_text(encoding="utf-8")
    assert text.count("accuracy reward") == 1 and all(text.count(colour(i)) >= 2 for i in (0, 1))


def test_corrupted_thoughts_lie_about_the_room_and_keep_the_conclusion() -> None:
    config = RoomConfig(frames=2, width=84, height=56, min_objects=4, max_objects=6)
    task = Spatial(answers="think")
    scenes = [make_room(seed, config) for seed in range(5)]
    samples = [task.samples(scene, [f"{scene.id}/{i}" for i in range(2)], 0) for scene in scenes]
    changed = corrupted(samples, 0)
    assert changed == corrupted(samples, 0)
    pairs = [pair for rows in zip(samples, changed, strict=True) for pair in zip(*rows, strict=True)]
    different = 0
    for before, after in pairs:
        assert after.prompt == before.prompt and after.truth["answer"] == before.truth["answer"]
        assert after.id != before.id and task.score(task.gold(after), after).total == 2
        end = before.truth["thought"].rpartition(" So it is ")[2]
        assert after.truth["thought"].endswith(f" So it is {end}")
        different += after.truth["thought"] != before.truth["thought"]
    assert different > 0.8 * len(pairs)


def test_the_figure_is_well_formed() -> None:
    from xml.etree import ElementTree

    line = [(float(step), 0.1 * step) for step in range(1, 9)]
    root = ElementTree.fromstring(picture({"a < b": {"entropy": line}, "c": {"entropy": line[:3]}}))
    assert len(root.findall("{*}polyline")) == 4
    assert "a < b" in [text.text for text in root.findall("{*}text")]


def test_sweeps_name_arms_that_exist_and_are_drawn_with_their_intervals(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    from xml.etree import ElementTree

    every = list(experiments.values())
    sweeps = [sweep for experiment in every for sweep in experiment.sweeps]
    assert {sweep.name for sweep in sweeps} == {"tokens", "rooms", "sizes", "group", "temperature"}
    for sweep in sweeps:
        assert draw_sweep(sweep, every, tmp_path / "runs", tmp_path / "a.svg") is None, "nothing has run"
    with pytest.raises(ValueError, match="a sweep names experiment 'size_small'; there are rewards"):
        draw_sweep(sweeps[-1], [experiments["rewards"]], tmp_path / "runs", tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()

    found = Found(30.0, 28.0, 33.0, (29.0, 30.0, 31.0), 320, 320)
    lines = {"a < b": [(8.0, found), (64.0, replace(found, mean=32.0))], "c": [(8.0, found)]}
    root = ElementTree.fromstring(sweep_picture("size", {"F1": lines, "IoU": {"a < b": [], "c": []}}))
    circles = root.findall("{*}circle")
    assert len(circles) == 3 and float(circles[1].get("cy", "")) < float(circles[0].get("cy", "")), (
        "better is up"
    )
    texts = [text.text for text in root.findall("{*}text")]
    assert texts.count("a < b") == 1 and texts.count("8") == 1 and "28" in texts and "33" in texts


def test_nothing_run_is_said(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    page = write_results([experiments["rewards"]], tmp_path / "runs", tmp_path / "results.md")
    text = page.read_text(encoding="utf-8")
    assert "State: 0 of 27 arms" in text and "not yet run" in text
    assert "holds**" not in text


def test_the_page_counts_verdicts_above_everything_else(
    experiments: dict[str, Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["**holds**", "**holds** (in 2 of 3 seeds)", "**does not hold**", "undecided"])
    monkeypatch.setattr("rft3d.matrix.table.verdict", lambda found, claim: next(said, "not yet run"))
    joint, credit = experiments["joint"], experiments["credit"]
    text = write_results([credit, joint], tmp_path, tmp_path / "page.md").read_text(encoding="utf-8")
    rows = sum(len(claim.metrics) for claim in credit.claims)
    above = text.partition("## How to read it")[0]
    assert f"| [credit](#credit) | {credit.question} | 2 | 1 | {rows - 3} |" in above
    assert f"| [joint](#joint) | {joint.question} | 0 | 0 | {len(joint.claims)} |" in above


@pytest.mark.slow
def test_two_arms_from_end_to_end(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    """Run, stop, go on, find nothing to do, compare; the page has the numbers of what ran."""
    tiny = quickened(experiments["rewards"])
    out, only = tmp_path / "runs", ["rewards/det_iou", "rewards/det_f1"]
    console = Console(file=io.StringIO())
    assert not run_matrix([tiny], out, None, only, hours=1e-9, console=console, workers=1)
    root = folder_of(out, tiny.world, 0)
    assert not (root / "stages").exists()  # no time at all: nothing was begun
    assert run_matrix([tiny], out, None, only, console=console, workers=1)
    weights = (root / "models" / "det_iou" / "model.safetensors").stat().st_mtime_ns
    done = json.loads((root / "stages" / "det_iou" / "done.json").read_text())
    assert done["optimizer_tokens"] > 0 and done["steps"] > 1
    others = json.loads((root / "stages" / "det_f1" / "done.json").read_text())
    assert others["steps"] == done["steps"]  # the same reward-free plan: equal tokens
    assert run_matrix([tiny], out, None, only, console=console, workers=1)
    assert (root / "models" / "det_iou" / "model.safetensors").stat().st_mtime_ns == weights
    found = difference_of(tiny, out, Claim("", "det_iou", "det_f1", ()), "detection", "boxes")
    assert found is not None and found.scenes == tiny.world.held_out_rooms and found.seeds == 1
    text = write_results([tiny], out, tmp_path / "page" / "results.md").read_text(encoding="utf-8")
    assert "State: 3 of 9 arms" in text and "undecided (1 of 3 seeds)" in text
    assert (tmp_path / "page" / "images" / "dynamics-rewards.svg").is_file()
    arms = tuple(
        replace(arm, stage=replace(arm.stage, seed=5)) if arm.name == "det_iou" else arm for arm in tiny.arms
    )
    (root / "eval" / "det_iou" / "detection.scores.json").unlink()  # so that there is something to do
    with pytest.raises(
        ValueError, match=r"'det_iou' was started with other settings \(differs in stage.seed"
    ):
        run_matrix([replace(tiny, arms=arms)], out, None, ["rewards/det_iou"], console=console, workers=1)


@pytest.mark.slow
def test_time_up_in_the_middle_of_an_arm(
    experiments: dict[str, Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap ends an arm between two steps; the same command goes on, to the weights of a run without a cap."""
    tiny, only = quickened(experiments["rewards"]), ["rewards/det_f1"]
    console = Console(file=io.StringIO())
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run_matrix([tiny], whole, None, only, console=console, workers=1)
    steps = 0

    def clock() -> float:  # an hour passes with the second step of the second arm
        return 3600.0 * (steps >= 4)

    inner = run._stopper

    def stopper(until: float) -> OnStep:
        stop = inner(until)

        def on_step(step: int) -> None:
            nonlocal steps
            steps += 1
            stop(step)

        return on_step

    monkeypatch.setattr(run, "_stopper", stopper)
    monkeypatch.setattr(run.time, "monotonic", clock)
    assert not run_matrix([tiny], cut, None, only, hours=0.5, console=console, workers=1)
    root = folder_of(cut, tiny.world, 0)
    assert (root / "models" / "sft").is_dir() and not (root / "models" / "det_f1").exists()
    assert (root / "stages" / "det_f1" / "metrics.jsonl").read_text().count("\n") in (2, 3)
    monkeypatch.undo()
    assert run_matrix([tiny], cut, None, only, console=console, workers=1)
    one, other = (
        (folder_of(out, tiny.world, 0) / "models" / "det_f1" / "model.safetensors").read_bytes()
        for out in (whole, cut)
    )
    assert one == other


@pytest.mark.slow
def test_seeds_side_by_side_are_the_seeds_one_after_another(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    tiny, only = replace(quickened(experiments["rewards"]), seeds=(0, 1)), ["rewards/det_f1"]
    console = Console(file=io.StringIO())
    one, two = tmp_path / "one", tmp_path / "two"
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # what two processes on two cores have
        assert run_matrix([tiny], one, None, only, console=console, workers=1)
        assert run_matrix([tiny], two, None, only, console=console, workers=1, at_once=2)
    finally:
        torch.set_num_threads(threads)
    for seed in tiny.seeds:
        roots = [folder_of(out, tiny.world, seed) for out in (one, two)]
        weights = [(root / "models" / "det_f1" / "model.safetensors").read_bytes() for root in roots]
        answers = [(root / "eval" / "det_f1" / "detection.predictions.jsonl").read_bytes() for root in roots]
        assert weights[0] == weights[1] and answers[0] == answers[1]
