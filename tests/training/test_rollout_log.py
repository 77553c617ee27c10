"""What a stage writes down about its rollouts: complete lines, bounded files, pictures, and at what cost."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.tiny import sampled_groups

from rft3d.models import Policy
from rft3d.tasks.types import Task
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.rollout import Group, sampling_seed
from rft3d.training.runs import StageWatch, Tracking, line_limit, logs_rollouts, rollout_line

CONFIG = RFTConfig(
    steps=3,
    prompts_per_step={"detection": 3, "spatial": 6},
    group_size=4,
    max_new_tokens={"detection": 24, "spatial": 4},
    log_rollouts_every=2,
    rollouts_per_task=2,
    save_every=10,
)


@pytest.fixture(scope="module")
def groups(new_policy: Callable[[], Policy], tasks: Mapping[str, Task], corpus: Corpus) -> list[Group]:
    chosen = {name: tasks[name] for name in CONFIG.prompts_per_step}
    return sampled_groups(new_policy(), chosen, corpus, CONFIG)


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_stage_logs_what_the_inspector_needs(
    new_policy: Callable[[], Policy],
    tasks: Mapping[str, Task],
    corpus: Corpus,
    tmp_path: Path,
    console: Console,
) -> None:
    train_rft(new_policy(), tasks, corpus, CONFIG, tmp_path, Watch(console))
    rows = written(tmp_path / "rollouts.jsonl")
    assert [(r["step"], r["task"]) for r in rows] == [
        (step, task) for step in (1, 3) for task in ("detection", "spatial") for _ in range(2)
    ]
    known = {item.sample.id: item.sample for name in tasks for item in corpus.items(name)}
    for row in rows:
        sample = known[row["sample_id"]]
        assert (row["scene_id"], row["prompt"], row["truth"]) == (sample.scene, sample.prompt, sample.truth)
        assert row["frames"] == list(sample.frames) and row["seed"] == sampling_seed(CONFIG, row["step"] - 1)
        assert len(row["completions"]) == CONFIG.group_size
        for made in row["completions"]:
            score = tasks[row["task"]].score(made["text"], sample, made["truncated"])
            assert made["total"] == pytest.approx(score.total, abs=1e-4)
            assert [p["name"] for p in made["parts"]] == [p.name for p in score.parts]
            assert (made["parse_failure"] is None) == (score.failure is None)
            assert made["tokens"] > 0
        if len({c["tokens"] for c in row["completions"]}) == 1:  # the mean over tokens hides no lengths
            assert sum(c["advantage"] for c in row["completions"]) == pytest.approx(0, abs=1e-3)
    metrics = written(tmp_path / "metrics.jsonl")
    assert len(metrics) == 3
    for row in metrics:
        assert row["alarms"] == 0 and 0 < row["watch_seconds"] < row["seconds"]
        assert "watch/same_answer/spatial" not in row or row["watch/same_answer/spatial"] <= 1
    assert json.loads((tmp_path / "stage.json").read_text())["steps"] == 3


def test_the_file_stays_below_its_bound(groups: list[Group], tmp_path: Path) -> None:
    loud = [dataclasses.replace(g, texts=["é\x00" * 20_000] * len(g.texts)) for g in groups]
    for megabytes in (0.05, 0.004, 0.0001):
        config = dataclasses.replace(CONFIG, rollouts_mb=megabytes, steps=6)
        logged = [step for step in range(1, 7) if logs_rollouts(config, step)]
        lines = [rollout_line(g, s, 0, line_limit(config)) for s in logged for g in loud[:2] + loud[3:5]]
        assert sum(len(line.encode()) for line in lines) <= megabytes * 1e6
        assert all(json.loads(line)["step"] for line in lines if line)
    assert "…" in json.loads(rollout_line(loud[0], 1, 0, 8000))["completions"][0]["text"]
    whole = json.loads(rollout_line(groups[0], 1, 0, 10**6))
    assert [c["text"] for c in whole["completions"]] == list(groups[0].texts)


def test_the_rate_is_a_setting() -> None:
    def logged(**changes: Any) -> list[int]:
        config = dataclasses.replace(CONFIG, **changes)
        return [step for step in range(1, 9) if logs_rollouts(config, step)]

    assert logged(log_rollouts_every=3) == [1, 4, 7]
    assert logged(log_rollouts_every=0) == logged(rollouts_per_task=0) == []


def test_only_the_main_process_writes(
    groups: list[Group], tasks: Mapping[str, Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rft3d.training.runs.is_main_process", lambda: False)
    watch = StageWatch(tmp_path, CONFIG, tasks, 0, Console(quiet=True))
    assert watch.observe(1, groups, {}) == {}
    assert not (tmp_path / "rollouts.jsonl").exists() or not (tmp_path / "rollouts.jsonl").read_text()


def test_tensorboard_gets_scalars(tmp_path: Path) -> None:
    """For real: what it wrote is read back."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accelerator = Tracking(("tensorboard",), tmp_path, "run").accelerator()
    accelerator.log({"reward": 0.5}, step=7)
    accelerator.end_training()
    events = EventAccumulator(str(tmp_path / "run"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward")] == [(7, 0.5)]


def test_watching_is_cheap(groups: list[Group], tasks: Mapping[str, Task], tmp_path: Path) -> None:
    """Generous, since a busy machine is slow; real figures are in docs/watching.md."""
    import time

    watch = StageWatch(tmp_path, CONFIG, tasks, 0, Console(quiet=True))
    watch.observe(1, groups, {})
    began = time.process_time()
    for step in range(2, 12):
        watch.observe(step, groups, {})
    assert (time.process_time() - began) / 10 < 0.05
