"""Experiments: contradictions are refused, arms resume, and the page says what was not run."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tests.tiny import make_policy

from rft3d.evaluation.records import Prediction, write_predictions
from rft3d.experiments import Arm, Claim, Experiment, World, load_experiments, run_experiments, write_results
from rft3d.experiments import run as running
from rft3d.experiments.lab import Lab
from rft3d.experiments.numbers import Found, difference_of, value_of, verdict
from rft3d.experiments.page import arms_grid, print_demo, rows_of
from rft3d.experiments.places import check, places, quickened
from rft3d.experiments.rooms import corrupted
from rft3d.experiments.types import folder_of
from rft3d.runfolder import read_titles
from rft3d.scenes import RoomConfig, make_room
from rft3d.tasks import Sample, Spatial, write_samples
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.loop import OnStep

RECIPES = Path(__file__).parents[2] / "recipes" / "experiments"
ROOMS = RoomConfig(frames=2, width=84, height=56, min_objects=2, max_objects=3)
LIMITS = {"detection": 8}


@pytest.fixture(scope="module")
def experiments() -> dict[str, Experiment]:
    return {experiment.name: experiment for experiment in load_experiments(RECIPES)}


def small(start: str = "nobody") -> Experiment:
    """Two arms and the start, in rooms of two small frames."""
    world = World("small", start, ROOMS, 4, 3, {"detection": {}}, {"detection": {}}, LIMITS, resamples=10)
    sft = SFTConfig(steps=2, scenes_per_step=2, per_scene={"detection": 1}, task_weights={}, save_every=1)
    rft = RFTConfig(steps=2, prompts_per_step={"detection": 2}, group_size=2, max_new_tokens=LIMITS)
    asked = ("detection",)
    return Experiment(
        name="two",
        question="Which?",
        world=world,
        arms=(
            Arm("first", "the start", None, judge=asked),
            Arm("more", "more SFT", sft, judge=asked),
            Arm("rft", "RFT", rft, "more", judge=asked),
        ),
        claims=(Claim("RFT helps", "rft", "more", (("detection", "f1@0.25"),)),),
        columns=(("detection", "f1@0.25", "F1"), ("detection", "recall@0.25", "R")),
        seeds=(0,),
        baseline="more",
    )


def test_recipes_agree_and_say_how_they_are_run(experiments: dict[str, Experiment]) -> None:
    assert {file.stem for file in RECIPES.glob("*.py")} == set(experiments)
    for name, experiment in experiments.items():
        text = (RECIPES / f"{name}.py").read_text(encoding="utf-8")
        for needed in (f"rft3d experiment run --only {name}", "Hardware:", "Time:", "Expected:"):
            assert needed in text, (name, needed)
        assert len(experiment.seeds) >= 3 and experiment.columns and experiment.claims
    headline = ("few_rooms", "few_questions", "new_lens", "eight_rooms")
    assert tuple(experiments)[:4] == headline
    claims = [
        sum(len(c.metrics) for c in e.claims) for name, e in experiments.items() if name not in headline
    ]
    assert sum(claims) <= 12


def test_shared_arms_run_once_and_bases_come_first(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    every = list(experiments.values())
    found = places(every, tmp_path)
    assert len({place.root for place in found}) == len(found)
    for place in found:
        names = [arm.name for arm in place.arms]
        assert len(set(names)) == len(names)
        for at, arm in enumerate(place.arms):
            assert arm.base is None or arm.base in names[:at]
    [only] = places(every, tmp_path, seeds=[1], only=["thoughts/good_rft"])
    assert only.seed == 1 and [arm.name for arm in only.arms] == ["good", "good_rft"]
    with pytest.raises(ValueError, match=r"called 'rewards/f2'; there are few_rooms, "):
        places(every, tmp_path, only=["rewards/f1", "rewards/f2"])
    with pytest.raises(ValueError, match="no chosen experiment has a seed 7"):
        places(every, tmp_path, seeds=[7])
    with pytest.raises(ValueError, match="at_once must be at least 1, got 0"):
        run_experiments(every, tmp_path, at_once=0)


def test_contradictions_are_named() -> None:
    two = small()
    start, more, rft = two.arms
    other = replace(two, name="other", arms=(start, replace(more, title="new")), claims=())
    with pytest.raises(ValueError, match=r"arm 'more' differs from the one in 'two'"):
        check([two, other])
    with pytest.raises(ValueError, match=r"has no arm 'more'"):
        check([replace(two, arms=(start, rft))])
    with pytest.raises(ValueError, match="an arm cannot be called 'start'"):
        check([replace(two, arms=(replace(start, name="start"), more, rft))])
    with pytest.raises(ValueError, match=r"different world called 'small'"):
        check([two, replace(two, name="b", world=replace(two.world, train_rooms=7))])
    with pytest.raises(ValueError, match=r"asks for what the world has not: \['captioning', 'dense'\]"):
        check([replace(two, arms=(replace(start, judge=("captioning",), elsewhere=("dense",)), more, rft))])
    unjudged = replace(two.claims[0], metrics=(("spatial", "micro"),))
    with pytest.raises(ValueError, match=r"is about 'spatial', arm 'rft' is not judged on it"):
        check([replace(two, claims=(unjudged,))])


def test_reinforcement_begins_first_and_judging_only_comes_last(tmp_path: Path) -> None:
    two = small()
    start, more, rft = two.arms
    for arms, order in (
        ((start, more, replace(rft, base=None)), ["rft", "more", "first"]),
        ((start, more, rft), ["more", "rft", "first"]),
        ((start, replace(more, base="first"), rft), ["first", "more", "rft"]),
    ):
        [place] = places([replace(two, arms=arms)], tmp_path)
        jobs = running._jobs(place, float("inf"), ())
        assert [name.split()[-1] for name in jobs if name.split()[-1] in ("first", "more", "rft")] == order
        for name, at in {name: n for n, name in enumerate(jobs)}.items():
            assert all(list(jobs).index(needed) < at for needed in jobs[name].after)


def test_published_grpo_has_no_credit_and_ours_has(experiments: dict[str, Experiment]) -> None:
    main = experiments["few_rooms"]
    paper, ours = main.arm("paper").stage, main.arm("rft_ours").stage
    assert isinstance(paper, RFTConfig) and isinstance(ours, RFTConfig)
    assert (paper.credit, paper.scale) == ("none", "group") and ours.credit == "marginal"


def test_verdicts_follow_the_rule() -> None:
    def found(low: float, high: float, seeds: int = 3) -> Found:
        return Found((low + high) / 2, low, high, (low, *[high] * (seeds - 1)), 300, 300)

    assert verdict(None) == "not yet run"
    assert verdict(found(1, 2, seeds=2)) == "undecided (2 of 3 seeds)"
    for low, high, said in (
        (0.1, 3.0, "**holds**"),
        (0.1, 0.5, "**holds**"),
        (-0.5, 0.9, "**does not hold**"),
        (-0.5, 1.5, "undecided"),
    ):
        assert verdict(found(low, high)) == said
    assert verdict(Found(1.0, 0.5, 1.5, (-0.2, 0.4, 2.8), 300, 300)) == "**holds** (in 2 of 3 seeds)"


def judged(folder: Path, arm: str, samples: list[Sample], right: bool) -> None:
    """Files of an arm that answered all questions rightly, or none of them."""
    answers = [Prediction(s.id, Spatial().gold(s) if right else "?") for s in samples]
    write_samples(folder / "spatial.samples.jsonl", samples)
    write_predictions(folder / arm / "spatial.predictions.jsonl", answers)
    (folder / arm / "spatial.scores.json").write_text("{}")


def test_numbers_are_means_over_seeds_that_both_arms_have(tmp_path: Path) -> None:
    made = [make_room(seed, RoomConfig(width=84, height=56)) for seed in range(3)]
    samples = [s for room in made for s in Spatial().samples(room, ["0.png", "1.png", "2.png", "3.png"], 0)]
    roots = {seed: tmp_path / f"seed{seed}" for seed in (0, 1, 2)}
    judged(roots[0] / "eval", "ours", samples, True)
    judged(roots[1] / "eval", "ours", samples, True)
    judged(roots[0] / "eval", "theirs", samples, False)
    judged(roots[2] / "eval", "theirs", samples, True)
    value = value_of(roots, "ours", "spatial", "micro")
    assert value is not None and (value.mean, value.by_seed, value.scenes) == (100.0, (100.0, 100.0), 3)
    found = difference_of(roots, Claim("", "ours", "theirs", ()), "spatial", "micro")
    assert found is not None and found.by_seed == (100.0,) and found.samples == len(samples)
    sizes = value_of(roots, "ours", "spatial", "accuracy/room_size_estimation")
    assert sizes is not None and sizes.samples == 3
    assert value_of(roots, "nobody", "spatial", "micro") is None


def test_corrupted_thoughts_lie_about_the_room_and_keep_the_conclusion() -> None:
    config = replace(ROOMS, min_objects=4, max_objects=6)
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


def test_no_arm_takes_the_name_of_the_first_policy() -> None:
    """An arm of that name wrote over the policy that others were loading."""
    with pytest.raises(ValueError, match="an arm cannot be called 'start'"):
        Arm("start", "the start", None)
    with pytest.raises(ValueError, match="arm 'half' goes back, so it needs a base and no stage of its own"):
        Arm("half", "half way back", None, back=0.5)


def test_nothing_run_is_said(experiments: dict[str, Experiment], tmp_path: Path) -> None:
    page = write_results([experiments["rewards"]], tmp_path / "runs", tmp_path / "results.md")
    text = page.read_text(encoding="utf-8")
    assert "holds** |" not in text
    assert "## Not yet run\n\n- `rewards`: Which reward" in text and "| not yet run" not in text


def test_a_section_without_runs_here_stays_as_it_was_published(
    experiments: dict[str, Experiment], tmp_path: Path
) -> None:
    page = tmp_path / "results.md"
    row = "| [a claim](#rewards), n 3 | published |\n"
    parts = ("# Results", "Before.", f"| claim | x |\n{row}", "## rewards\n\nOf another machine.")
    page.write_text("\n\n".join((*parts, "## no recipe any more\n\nx\n")), "utf-8")
    text = write_results([experiments["rewards"]], tmp_path / "runs", page).read_text(encoding="utf-8")
    assert "## rewards\n\nOf another machine.\n" in text and "Not yet run" not in text
    assert "Before." not in text and "no recipe" not in text and text.count("## How to read it") == 1
    assert text.count(f"\n\n| claim | difference: verdict |\n| --- | --- |\n{row}\n") == 1
    assert (
        write_results([experiments["rewards"]], tmp_path / "runs", page).read_text(encoding="utf-8") == text
    )


def test_the_figure_has_the_arms_that_ran(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures are an extra: pip install 'rft3d[viz]'")
    from xml.etree import ElementTree

    two = small()
    log = folder_of(tmp_path, two.world, 0) / "stages" / "rft" / "metrics.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f'{{"step": {i}, "reward/detection": 0.{i}}}\n' for i in range(1, 9)))
    page = write_results([two], tmp_path, tmp_path / "page.md")
    drawn = tmp_path / "images" / "dynamics-two.svg"
    root = ElementTree.parse(drawn).getroot()
    assert root.tag.endswith("svg") and "reward, detection" in drawn.read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    assert (
        "images/dynamics-two.svg" in text
        and "Which? 0 of 3 arms (an arm counts once a seed) are done.\n" in text
    )


@pytest.fixture
def start(tmp_path: Path) -> str:
    """The folder of a policy that has learned nothing."""
    make_policy().save(tmp_path / "start")
    return str(tmp_path / "start")


QUIET = Console(file=io.StringIO())


def test_arms_from_end_to_end(start: str, tmp_path: Path) -> None:
    """Run, stop, go on, find nothing to do, compare; the tables have the numbers of what ran."""
    two, out = small(start), tmp_path / "runs"
    assert not run_experiments([two], out, hours=1e-9, console=QUIET)
    root = folder_of(out, two.world, 0)
    assert not (root / "stages").exists()  # no time at all: nothing was begun
    assert run_experiments([two], out, console=QUIET)
    file = root / "models" / "rft" / "model.safetensors"
    made = file.stat().st_mtime_ns
    assert run_experiments([two], out, console=QUIET) and file.stat().st_mtime_ns == made
    assert read_titles(root).titles == {"first": "the start", "more": "more SFT", "rft": "RFT"}
    done = json.loads((root / "stages" / "more" / "done.json").read_text())
    assert done["steps"] == 2 and done["tokens"] > 0 and done["training_seconds"] > 0
    roots = {0: root}
    assert [row[0] for row in arms_grid(two, roots)] == ["arm", "the start", "more SFT", "RFT"]
    [(what, _, said, n)] = rows_of(two, roots, two.claims[0])
    assert (what, said, n) == ("F1", "undecided (1 of 3 seeds)", "3")
    text = write_results([two], out, tmp_path / "page.md").read_text(encoding="utf-8")
    row = r"\| \[RFT helps\]\(#two\), n 3 \| F1 \S+ \[\S+, \S+\]: undecided \(1 of 3 seeds\) \|"
    assert re.search(row, text) and text.count("undecided (1 of 3") == 1
    half = replace(two.arms[2], name="half", stage=None, base="rft", back=0.5)
    assert run_experiments([replace(two, arms=(*two.arms, half))], out, console=QUIET)
    weights = [load_file(root / "models" / name / "model.safetensors") for name in ("start", "rft", "half")]
    assert all(
        torch.equal(a.lerp(b, 0.5), back) for a, b, back in zip(*map(dict.values, weights), strict=True)
    )
    assert any(
        not torch.equal(a, back) for a, back in zip(weights[0].values(), weights[2].values(), strict=True)
    )
    shown = io.StringIO()
    print_demo(two, roots, Console(file=shown, width=100))
    assert "RFT minus more SFT" in shown.getvalue() and "3 fresh rooms" in shown.getvalue()
    with pytest.raises(ValueError, match=r"another config \(differs in .*world.train_rooms"):
        run_experiments([replace(two, world=replace(two.world, train_rooms=5))], out, console=QUIET)
    (root / "eval" / "more" / "detection.scores.json").unlink()  # so that there is something to do
    start_arm, more, rft = two.arms
    assert isinstance(more.stage, SFTConfig)
    changed = replace(two, arms=(start_arm, replace(more, stage=replace(more.stage, seed=5)), rft))
    with pytest.raises(ValueError, match=r"'more' was started with other settings \(differs in stage.seed"):
        run_experiments([changed], out, console=QUIET)
    with pytest.raises(ValueError, match=r"another config \(differs in .*world.train_rooms"):
        Lab(replace(two.world, train_rooms=5), 0, root, QUIET)
    next((root / "train" / "features").rglob("*.safetensors")).write_bytes(b"half")
    with pytest.raises(ValueError, match=r"train: the features of clip \d are gone or damaged; delete"):
        _ = Lab(two.world, 0, root, QUIET).corpus


def test_time_up_in_the_middle_of_an_arm(start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cap ends an arm between two steps; the same command goes on, to the weights of a run without a cap."""
    two = small(start)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run_experiments([two], whole, console=QUIET)
    steps = 0

    def clock() -> float:  # an hour passes with the first step of the second arm that trains
        return 3600.0 * (steps >= 3)

    inner = running._stopper

    def stopper(until: float) -> OnStep:
        stop = inner(until)

        def on_step(step: int) -> None:
            nonlocal steps
            steps += 1
            stop(step)

        return on_step

    monkeypatch.setattr(running, "_stopper", stopper)
    monkeypatch.setattr(running, "_now", clock)
    assert not run_experiments([two], cut, hours=0.5, console=QUIET)
    root = folder_of(cut, two.world, 0)
    assert (root / "models" / "more").is_dir() and not (root / "models" / "rft").exists()
    monkeypatch.undo()
    assert run_experiments([two], cut, console=QUIET)
    one, other = (
        (folder_of(out, two.world, 0) / "models" / "rft" / "model.safetensors").read_bytes()
        for out in (whole, cut)
    )
    assert one == other


def test_a_quick_experiment_trains_and_judges_the_same_arms(experiments: dict[str, Experiment]) -> None:
    for experiment in experiments.values():
        quick = quickened(experiment)
        check([quick])
        assert [arm.name for arm in quick.arms] == [arm.name for arm in experiment.arms]
        assert all(arm.stage is None or arm.stage.steps <= 2 for arm in quick.arms)


@pytest.mark.slow
def test_side_by_side_is_one_after_another(start: str, tmp_path: Path) -> None:
    import torch

    two = replace(small(start), seeds=(0, 1))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # what two processes on two cores have
        for name, at_once in (("one", 1), ("two", 2)):
            assert run_experiments([two], tmp_path / name, console=QUIET, at_once=at_once)
    finally:
        torch.set_num_threads(threads)
    for seed in two.seeds:
        roots = [folder_of(tmp_path / name, two.world, seed) for name in ("one", "two")]
        for file in ("models/rft/model.safetensors", "eval/rft/detection.predictions.jsonl"):
            assert len({(root / file).read_bytes() for root in roots}) == 1
