"""Stage 1: it learns, and a stopped run goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.tiny import same_weights, weights_of

from rft3d.models import Policy
from rft3d.models.prefix import Row, pack
from rft3d.runfolder import logged_sum
from rft3d.training.config import OptimConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.loop import Watch
from rft3d.training.sft import task_loss, train_sft


def settings(name: str = "adamw", steps: int = 4, save_every: int = 1) -> SFTConfig:
    optim = OptimConfig(name=name, lr=3e-3, warmup=0.3, interpolate=0.5)  # type: ignore[arg-type]
    return SFTConfig(steps, 3, {"detection": 1, "spatial": 2}, {"spatial": 0.5}, optim, save_every=save_every)


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("name", "stops", "save_every"),
    [("adamw", (1,), 1), ("adamw", (3,), 2), ("muon", (1, 3), 1), ("muon", (2,), 1)],
)
def test_resume_equals_no_stop(
    name: str,
    stops: Sequence[int],
    save_every: int,
    new_policy: Callable[[], Policy],
    corpus: Corpus,
    tmp_path: Path,
    console: Console,
    stop_after: Callable[[int], Callable[[int], None]],
    stopped: type[Exception],
) -> None:
    """A stop after step 3 with checkpoints every 2 steps repeats step 3."""
    config = settings(name, save_every=save_every)
    whole = new_policy()
    train_sft(whole, corpus, config, tmp_path / "whole", Watch(console))
    for stop in stops:
        with pytest.raises(stopped):
            train_sft(
                new_policy(), corpus, config, tmp_path / "cut", Watch(console, on_step=stop_after(stop))
            )
    resumed = new_policy()
    train_sft(resumed, corpus, config, tmp_path / "cut", Watch(console))
    assert same_weights(weights_of(resumed), weights_of(whole))
    assert not same_weights(weights_of(resumed), weights_of(new_policy()))
    wall_clock = {"time", "seconds"}
    logs = [
        [
            {k: v for k, v in line.items() if k not in wall_clock}
            for line in lines(tmp_path / run / "metrics.jsonl")
        ]
        for run in ("whole", "cut")
    ]
    assert logs[0] == logs[1] and [line["step"] for line in logs[0]] == [1, 2, 3, 4]


def test_a_finished_run_is_not_repeated(
    new_policy: Callable[[], Policy], corpus: Corpus, tmp_path: Path, console: Console
) -> None:
    first, again = new_policy(), new_policy()
    train_sft(first, corpus, settings(steps=2), tmp_path, Watch(console))
    written = (tmp_path / "metrics.jsonl").read_bytes()
    assert logged_sum(tmp_path, "tokens") > 0
    train_sft(again, corpus, settings(steps=2), tmp_path, Watch(console))
    assert (tmp_path / "metrics.jsonl").read_bytes() == written
    assert same_weights(weights_of(first), weights_of(again))


def test_loss_falls_and_parts_are_logged(
    new_policy: Callable[[], Policy], corpus: Corpus, tmp_path: Path, console: Console
) -> None:
    train_sft(new_policy(), corpus, settings("muon", 12, 100), tmp_path, Watch(console))
    log = lines(tmp_path / "metrics.jsonl")
    assert log[-1]["loss/detection"] < 0.85 * log[0]["loss/detection"]
    assert log[-1]["loss/spatial"] < 0.85 * log[0]["loss/spatial"]
    for line in log:
        assert line["loss"] == pytest.approx(line["loss/detection"] + 0.5 * line["loss/spatial"], rel=1e-4)


def test_loss_is_the_mean_over_answer_tokens(new_policy: Callable[[], Policy], corpus: Corpus) -> None:
    """The shared rows give what each sample alone gives."""
    policy = new_policy()
    items = [*corpus.by_scene["spatial"][0][:3], *corpus.by_scene["spatial"][1][:2]]
    loss, _ = task_loss(Engine(policy, OptimConfig(), 1), corpus, items)
    alone = [
        policy.model(
            pack([Row(i.prompt.prefix, i.prompt.positions, [i.answer], [len(i.answer)])], policy.pad_id),
            [corpus.features[i.scene]],
        ).logps
        for i in items
    ]
    torch.testing.assert_close(loss, -torch.cat(alone).mean(), atol=1e-5, rtol=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run(
    new_policy: Callable[[], Policy], corpus: Corpus, tmp_path: Path, console: Console
) -> None:
    policy = new_policy()
    with torch.no_grad():
        policy.model.geometry_merger.mlp[0].weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="step 0"):
        train_sft(policy, corpus, settings(), tmp_path, Watch(console))
    assert not (tmp_path / "checkpoints").exists()


def test_empty_thoughts_are_not_trained_on(
    tmp_path: Path, new_policy: Callable[[], Policy], corpus: Corpus, console: Console
) -> None:
    first = corpus.by_scene["spatial"][0][0]
    asks = replace(first, sample=replace(first.sample, truth={**first.sample.truth, "thought": ""}))
    broken = replace(
        corpus, by_scene={**corpus.by_scene, "spatial": [[asks], *corpus.by_scene["spatial"][1:]]}
    )
    config = SFTConfig(steps=1, scenes_per_step=2, per_scene={"detection": 1, "spatial": 1})
    with pytest.raises(ValueError, match=f"{asks.sample.id}.*--answers think"):
        train_sft(new_policy(), broken, config, tmp_path, Watch(console))
    off = replace(config, per_scene={"detection": 1, "spatial": 0})
    train_sft(new_policy(), broken, off, tmp_path, Watch(console))
    assert logged_sum(tmp_path, "tokens") > 0
