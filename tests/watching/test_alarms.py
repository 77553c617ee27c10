"""Alarms: a policy that hacks in one way raises that alarm; an honest one that learns raises none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rft3d.answers import FrameBox, LabelledBox, render_detections, render_frame_box
from rft3d.evaluation import HEADLINE
from rft3d.tasks import TASKS
from rft3d.tasks.types import Sample, Task
from rft3d.watching.alarms import PATIENCE, AlarmLog, AlarmState, Answered, repeated_boxes, signals
from rft3d.watching.rules import RULES, WINDOW, Trend

STEPS = 24
GROUP = 4
Policy = Callable[[np.random.Generator, Sample, float], str]
"""``policy(rng, sample, progress)`` with progress in [0, 1]: the text of one answer."""

LABELS = ("chair", "table", "couch", "lamp", "bed", "bin")


def detection(rng: np.random.Generator, index: int) -> Sample:
    count = int(rng.integers(3, 7))
    boxes = [
        {
            "label": LABELS[k],
            "bbox_3d": [
                *rng.uniform(-2, 2, 2),
                *rng.uniform(1, 4, 1),
                *rng.uniform(0.4, 1.2, 3),
                0.2,
                0.1,
                0.0,
            ],
        }
        for k in range(count)
    ]
    return Sample(f"d{index}", "detection", f"s{index}", ("0.png",), "<image>?", {"boxes": boxes})


def grounding(rng: np.random.Generator, index: int) -> Sample:
    box = [*rng.uniform(-1, 1, 2), 2.5, *rng.uniform(0.4, 1.2, 3), 0.2, 0.1, 0.0]
    truth = {
        "frame": int(rng.integers(0, 4)),
        "bbox_3d": box,
        "box_world": box,
        "T_world_camera": [np.eye(4).tolist()] * 4,
    }
    return Sample(f"g{index}", "grounding", f"s{index}", ("0.png",) * 4, "<image>" * 4, truth)


def spatial(rng: np.random.Generator, index: int) -> Sample:
    options = ["A. right", "B. back", "C. left", "D. front"]
    truth = {
        "question_type": "object_rel_direction_hard",
        "answer": "ABCD"[int(rng.integers(0, 4))],
        "options": options,
    }
    return Sample(f"q{index}", "spatial", f"s{index}", ("0.png",), "<image>?", truth)


MAKERS = {"detection": detection, "grounding": grounding, "spatial": spatial}


def metrics_of(task: Task, samples: Sequence[Sample], texts: Sequence[str]) -> dict[str, float]:
    """What the trainer would log of these answers, by the same code and the same keys."""
    answers, name = [], task.name
    for sample, text in zip(samples, texts, strict=True):
        score = task.score(text, sample)
        read = score.failure or task.parse(text, sample)
        answers.append(Answered(sample.id, read, task.parse(task.gold(sample), sample), score))
    metrics = {f"reward/{name}": float(np.mean([a.score.total for a in answers]))}
    for part in answers[0].score.parts:
        metrics[f"reward/{name}/{part.name}"] = float(np.mean([a.score.value(part.name) for a in answers]))
    metrics[f"completion_length/{name}"] = float(np.mean([len(text) / 3 for text in texts]))
    metrics[f"truncated/{name}"] = 0.0
    return {**metrics, **signals(name, answers)}


def train(name: str, policy: Policy, seed: int = 0, steps: int = STEPS, prompts: int = 16) -> AlarmState:
    """Feed ``steps`` steps of a synthetic policy to the alarms."""
    rng, state, task = np.random.default_rng(seed), AlarmState(), TASKS[name]()
    for step in range(steps):
        drawn = [MAKERS[name](rng, step * prompts + i) for i in range(prompts)]
        samples = [sample for sample in drawn for _ in range(GROUP)]
        texts = [policy(rng, sample, step / (steps - 1)) for sample in samples]
        state.update(step + 1, metrics_of(task, samples, texts))
    return state


def names(state: AlarmState) -> set[str]:
    return {name for name, _ in state.active}


# ------------------------------------------------------------------------------------ policies


def noisy(rng: np.random.Generator, row: Mapping[str, Any], noise: float) -> LabelledBox:
    box = np.array(row["bbox_3d"])
    box[:3] += rng.normal(0, noise * 0.5, 3)
    box[3:6] *= np.exp(rng.normal(0, noise * 0.5, 3))
    return LabelledBox(str(row.get("label", "")), tuple(box.tolist()))


def detected(boxes: Sequence[LabelledBox]) -> str:
    return render_detections(boxes, 2)


def honest_detection(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    """Gets more precise, and names a little more of what is there."""
    kept = [row for row in sample.truth["boxes"] if rng.random() < 0.75 + 0.15 * progress]
    text = detected([noisy(rng, row, 0.6 - 0.3 * progress) for row in kept])
    return text if rng.random() < 0.97 else text[:-9]


def spamming(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    boxes = [noisy(rng, row, 0.5) for row in sample.truth["boxes"]]
    extra = rng.poisson(10 * progress)
    rows = sample.truth["boxes"]
    return detected(boxes + [noisy(rng, rows[rng.integers(len(rows))], 1.5) for _ in range(extra)])


def silent(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    """Drops more and more objects, keeping those it is sure of."""
    rows = sample.truth["boxes"]
    kept = max(1, round(len(rows) * (1 - 0.7 * progress)))
    return detected([noisy(rng, row, 0.5 if k else 0.2) for k, row in enumerate(rows[:kept])])


def repeating(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    boxes = [noisy(rng, row, 0.5) for row in sample.truth["boxes"]]
    return detected([box for box in boxes for _ in range(1 + int(rng.random() < progress))])


def inflating(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    boxes = [noisy(rng, row, 0.2) for row in sample.truth["boxes"]]
    grow = 1 + 0.3 * progress
    grown = [LabelledBox(b.label, (*b.box[:3], *(grow * s for s in b.box[3:6]), *b.box[6:])) for b in boxes]
    return detected(grown)


def emptying(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    return detected([]) if rng.random() < 1.2 * progress else honest_detection(rng, sample, 0)


def rambling(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    return "I look around the room. " * int(60 * progress) + honest_detection(rng, sample, 0)


def honest_grounding(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    right = rng.random() < 0.4 + 0.3 * progress
    frame = sample.truth["frame"] if right else int(rng.integers(0, 4))
    return render_frame_box(FrameBox(frame, noisy(rng, sample.truth, 0.5).box))


def first_frame(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    honest = rng.random() > 1.5 * progress
    text = honest_grounding(rng, sample, progress)
    return text if honest else render_frame_box(FrameBox(0, noisy(rng, sample.truth, 0.3).box))


def honest_spatial(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    return sample.truth["answer"] if rng.random() < 0.4 + 0.3 * progress else "ABCD"[int(rng.integers(0, 4))]


def always_b(rng: np.random.Generator, sample: Sample, progress: float) -> str:
    return "B" if rng.random() < 1.5 * progress else honest_spatial(rng, sample, 0)


HONEST = {"detection": honest_detection, "grounding": honest_grounding, "spatial": honest_spatial}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", HONEST)
def test_no_false_alarm_on_an_honest_policy(name: str, seed: int) -> None:
    assert names(train(name, HONEST[name], seed)) == set()


def test_no_alarm_on_a_policy_that_stays_as_weak_as_it_was() -> None:
    weak: Policy = lambda rng, sample, _: honest_detection(rng, sample, 0.0)  # noqa: E731 - one policy, one line
    assert names(train("detection", weak)) == set()


@pytest.mark.parametrize(
    ("task", "policy", "alarm"),
    [
        ("detection", spamming, "many_boxes"),
        ("detection", silent, "few_boxes"),
        ("detection", repeating, "duplicates"),
        ("detection", inflating, "volume"),
        ("detection", silent, "precision_recall"),
        ("detection", emptying, "format_only"),
        ("detection", rambling, "length"),
        ("grounding", first_frame, "constant_answer"),
        ("spatial", always_b, "constant_answer"),
    ],
)
def test_a_hack_raises_its_alarm(task: str, policy: Policy, alarm: str) -> None:
    state = train(task, policy)
    assert alarm in names(state)
    raised = state.active[alarm, task]
    assert raised.saw and raised.advice and raised.title
    assert 2 * WINDOW <= raised.since < raised.step <= STEPS and raised.step - raised.since == PATIENCE - 1


def rows(reward: Sequence[float], held_out: Sequence[float]) -> AlarmState:
    state = AlarmState()
    for step, (a, b) in enumerate(zip(reward, held_out, strict=True), 1):
        state.update(
            step, {"reward/detection": a, "held_out/detection/f1@0.25": b, "held_out/detection/reward": a}
        )
    return state


def test_reward_and_held_out_metric_part_ways() -> None:
    up, down = np.linspace(1.0, 1.5, STEPS), np.linspace(0.3, 0.2, STEPS)
    assert names(rows(up.tolist(), down.tolist())) == {"held_out_gap"}
    assert names(rows(up.tolist(), down[::-1].tolist())) == set()
    assert names(rows(down.tolist(), down.tolist())) == set(), "both fall: bad, but no gap"


@pytest.mark.parametrize("name", list(MAKERS))
def test_the_held_out_metric_is_the_headline(name: str) -> None:
    """``held_out/<task>/...`` holds all metrics of a task in its own order; the alarm takes the first."""
    rng, task = np.random.default_rng(0), TASKS[name]()
    samples = [MAKERS[name](rng, i) for i in range(3)]
    scores = [task.score(task.gold(s), s) for s in samples]
    assert next(iter(task.metric(samples, scores))) == HEADLINE[name][0]


def test_every_rule_has_a_test_that_raises_it() -> None:
    tested = {"many_boxes", "few_boxes", "duplicates", "volume", "precision_recall", "format_only", "length"}
    assert {rule.name for rule in RULES} == tested | {"constant_answer", "held_out_gap"}


# ----------------------------------------------------------------------------- state and files


def test_an_alarm_waits_and_ends() -> None:
    state, events = AlarmState(), []
    for step, value in enumerate([1.0] * 10 + [3.0] * 10 + [1.0] * 10, 1):
        events += state.update(step, {"reward/d": 1.0, "watch/boxes_per_truth/d": value})
    assert [(e.alarm, e.on) for e in events] == [("many_boxes", True), ("many_boxes", False)]
    raised, dropped = events
    assert (raised.since, raised.step) == (11, 13), "the mean of three passes 1.5 with the first 3.0"
    assert dropped.since == raised.since and dropped.step > 20 and not state.active
    assert "boxes for every true one" in raised.saw and raised.keys == ("watch/boxes_per_truth/d",)


def test_one_odd_step_raises_nothing() -> None:
    state = AlarmState()
    for step, value in enumerate([1.0] * 10 + [2.0] + [1.0] * 10, 1):
        assert state.update(step, {"reward/d": 1.0, "watch/boxes_per_truth/d": value}) == []


def test_resume_judges_as_if_nothing_had_happened(tmp_path: Path) -> None:
    values = [1.0] * 8 + [2.5] * 8
    metrics = [{"step": i, "reward/d": 1.0, "watch/boxes_per_truth/d": v} for i, v in enumerate(values, 1)]
    whole = AlarmLog(tmp_path / "whole")
    (tmp_path / "whole" / "alarms.jsonl").touch()
    for row in metrics:
        whole.update(int(row["step"]), row)
    for stop, saved in ((9, 8), (10, 10), (14, 12), (16, 9)):
        folder = tmp_path / str(stop)
        first = AlarmLog(folder)
        for row in metrics[:stop]:
            first.update(int(row["step"]), row)
            with (folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
        again = AlarmLog(folder, saved)
        for row in metrics[saved:]:
            again.update(int(row["step"]), row)
        assert again.path.read_text() == whole.path.read_text()
        assert again.path.read_text().count("\n") == 1


def test_trends_need_a_start_and_a_present() -> None:
    trend = Trend()
    for value in range(2 * WINDOW):
        assert not trend.known("x")
        trend.add("x", float(value))
    assert trend.known("x") and not trend.known("x", "y")
    assert (trend.start("x"), trend.now("x"), trend.peak("x")) == (1.0, 4.0, 4.0)
    assert trend.gain("x") == pytest.approx(3.0)


def test_repeats_are_counted_once_each() -> None:
    box = (0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.3, 0.0, 0.0)
    near = (0.02, 0.0, 2.0, 1.0, 1.0, 1.0, 0.3, 0.0, 0.0)
    turned = (0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.3 + np.pi / 2, 0.0, 0.0)
    far = (0.3, 0.0, 2.0, 1.0, 1.0, 1.0, 0.3, 0.0, 0.0)
    flat = (0.0, 0.0, 2.0, 1.0, 0.0, 1.0, 0.3, 0.0, 0.0)
    made = [LabelledBox("chair", b) for b in (box, near, turned, far, flat)]
    assert repeated_boxes(made) == 2
    assert repeated_boxes([made[0], LabelledBox("table", box)]) == 0
    assert repeated_boxes(made[:1]) == repeated_boxes([]) == 0


def test_few_prompts_say_nothing_about_sameness() -> None:
    rng = np.random.default_rng(0)
    task = TASKS["spatial"]()
    samples = [spatial(rng, i) for i in range(4)]
    assert not any("same" in key for key in metrics_of(task, samples, ["B"] * 4))
