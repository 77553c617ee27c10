"""Stage 2: GRPO. A group (one prompt, G completions) is the unit of everything."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from rft3d.models.policy import Policy
from rft3d.models.spatial import SpatialModel
from rft3d.tasks.types import Task
from rft3d.training.collect import collect
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.distributed import is_main_process, shard
from rft3d.training.engine import Engine, tracking_in
from rft3d.training.loop import Loop, OnStep
from rft3d.training.rollout import rollout_metrics
from rft3d.training.rollout_log import Painter, StageWatch
from rft3d.training.samplers import sampler
from rft3d.training.selection import HeldOut
from rft3d.training.trackers import track_pictures
from rft3d.training.update import AdaptersOff, Reference, micro_batches, update_policy

__all__ = ["micro_batches", "reference_copy", "train_rft", "update_policy"]


def reference_copy(model: SpatialModel) -> SpatialModel:
    """A frozen copy of the language model and merger that *shares* the frozen encoders."""
    shared: list[torch.nn.Module] = [model.model.visual]
    if model.config.use_geometry_encoder:
        shared.append(model.geometry_encoder)
    reference = copy.deepcopy(model, {id(module): module for module in shared})
    return reference.requires_grad_(False).eval()


def _reference(policy: Policy, config: RFTConfig, given: SpatialModel | None) -> Reference | None:
    """The reference of the KL term, made before anything is loaded or added; None without one."""
    if given is not None or config.beta == 0:
        return given
    return AdaptersOff() if config.lora.rank and not config.lora.merger else reference_copy(policy.model)


def train_rft(
    policy: Policy,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    config: RFTConfig,
    folder: Path,
    console: Console,
    title: str = "RFT",
    reference: SpatialModel | None = None,
    on_step: OnStep | None = None,
    trackers: Sequence[str] = (),
    paint: Painter | None = None,
    held_out: HeldOut | None = None,
) -> int:
    """Train ``policy`` in place; resumes from ``folder``. Returns the tokens that went through the model.

    ``paint`` draws an answer for the trackers; ``held_out`` is measured now and then. ``reference`` is the
    SFT policy for the KL term; by default ``policy`` as it is given, as a copy or without its adapters (so
    give the stage-1 policy, also when resuming: the checkpoint is loaded afterwards).

    Raises:
        NonFiniteError: a loss or gradient became NaN; the state before that step is saved.
        Stopped: SIGTERM came; the step was finished and saved.
    """
    sampler(config.sampler, policy)  # an unsupported one is named before anything is done
    fixed = _reference(policy, config, reference)
    tracking = tracking_in(folder, trackers, title)
    updates = config.steps * config.updates_per_rollout
    engine = Engine(policy, config.optim, updates, tracking, config.lora, config.memory, config.seed)
    if config.memory.two_phase and engine.ranks.world > 1:
        raise ValueError("memory.two_phase works in one process only; use memory.gradient_checkpointing")
    if isinstance(fixed, torch.nn.Module) and engine.sharded:
        shard(fixed, engine.accelerator.device, engine.accelerator.mixed_precision)
    loop = Loop(
        engine, folder, console, title, config.steps, config.save_every, config.select, held_out, on_step
    )
    watch = StageWatch(folder, config, tasks, loop.start, console)
    tokens = 0
    with loop:
        for step in loop.remaining():
            began = time.perf_counter()
            policy.model.eval()
            groups = collect(engine, tasks, corpus, config, step)
            sampled = time.perf_counter()
            engine.network.train()
            with loop.guarded(step, [g.item.sample.id for g in groups.trained]):
                metrics, count = update_policy(engine, corpus, groups.trained, config, fixed, step)
            written = sum(len(c.tokens) for g in groups.drawn for c in g.completions)
            tokens += count + (written if is_main_process() else 0)
            metrics |= rollout_metrics(groups.drawn) | groups.metrics(config)
            metrics |= loop.measure(step)
            metrics |= watch.observe(step + 1, groups.drawn, metrics)
            metrics |= {"seconds": time.perf_counter() - began, "rollout_seconds": sampled - began}
            if paint is not None and trackers:
                pictures = watch.pictures(step + 1, groups.drawn, paint)
                track_pictures(engine.accelerator, pictures, step + 1)
            loop.end_step(step, metrics, f"reward {metrics['reward']:.3f}")
    loop.finish(config.lora)
    return round(engine.ranks.total({"tokens": tokens})["tokens"])
