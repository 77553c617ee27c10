"""Stage 1: supervised fine-tuning, through the same packed forward as stage 2."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from rft3d.models.policy import Policy
from rft3d.models.prefix import pack
from rft3d.training.config import SFTConfig
from rft3d.training.data import Corpus, Item, choose, draw, shared_rows
from rft3d.training.engine import Engine, tracking_in
from rft3d.training.runs import MetricsLog, progress


def task_loss(engine: Engine, corpus: Corpus, items: list[Item]) -> tuple[Tensor, int]:
    """Mean negative log-likelihood of the answers' tokens, and how many tokens ran through the model."""
    rows = shared_rows(items)
    packed = pack([row for _, row in rows], engine.policy.pad_id).to(engine.policy.device)
    features = [corpus.features[scene] for scene, _ in rows]
    scored = engine.network(packed, features)
    return -scored.logps.mean(), packed.input_ids.numel()


def step_items(corpus: Corpus, config: SFTConfig, step: int) -> dict[str, list[Item]]:
    """The items of one step, per task."""
    scenes = draw(config.seed, step, config.scenes_per_step, len(corpus.features))
    chosen: dict[str, list[Item]] = {}
    for task, count in config.per_scene.items():
        if not count:
            continue
        by_scene = corpus.by_scene[task]
        used = scenes[: max(1, round(config.scene_share.get(task, 1.0) * len(scenes)))]
        items = [i for epoch, s in used for i in choose(config.seed, epoch, s, by_scene[s], count)]
        if items:
            chosen[task] = items
    return chosen


def train_sft(
    policy: Policy,
    corpus: Corpus,
    config: SFTConfig,
    folder: Path,
    console: Console,
    title: str = "SFT",
    on_step: Callable[[int], None] | None = None,
    trackers: Sequence[str] = (),
) -> int:
    """Train ``policy`` in place; resumes from ``folder``. Returns the tokens that went through the model."""
    tracking = tracking_in(folder, trackers, title)
    engine = Engine(policy, config.optim, config.steps, tracking)
    start = engine.resume(folder / "checkpoints")
    log = MetricsLog(folder / "metrics.jsonl", start)
    tokens = 0
    engine.network.train()
    with progress(console, title, config.steps, start) as update:
        for step in range(start, config.steps):
            began = time.perf_counter()
            metrics: dict[str, float] = {}
            total = 0.0
            for task, items in step_items(corpus, config, step).items():
                loss, count = task_loss(engine, corpus, items)
                weight = config.task_weights.get(task, 1.0)
                engine.backward(weight * loss)
                value = float(loss.detach())
                metrics[f"loss/{task}"] = value
                total += weight * value
                tokens += count
            norm = engine.step(step)
            if not torch.isfinite(torch.tensor(total)):
                raise FloatingPointError(f"{title}: the loss became {total} at step {step}")
            metrics |= {"loss": total, "grad_norm": norm, "seconds": time.perf_counter() - began}
            log.write(step + 1, metrics)
            engine.track(metrics, step + 1)
            update(step + 1, f"loss {total:.3f}")
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                engine.save(folder / "checkpoints", step + 1)
            if on_step is not None:
                on_step(step + 1)
    engine.finish()
    policy.model.eval()
    return tokens
