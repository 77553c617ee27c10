"""Optimizers, schedules, checkpoints: what SFT and RFT share, on ``accelerate``."""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rft3d.models.policy import Policy
from rft3d.training.config import OptimConfig


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def build_optimizers(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon on the layers' 2-D matrices beside AdamW on everything else.

    Weight decay leaves vectors (norms, biases) alone. Base learning rates are the peaks; the schedule
    scales them.
    """
    params = trainable_parameters(model)
    matrices = {
        n: p
        for n, p in params.items()
        if p.ndim == 2 and (".layers." in n or n.startswith("geometry_merger."))
    }
    chosen = matrices if config.name == "muon" else {}
    rest = {n: p for n, p in params.items() if n not in chosen}
    groups = [
        {"params": [p for p in rest.values() if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in rest.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=1e-8)
    ]
    if chosen:
        optimizers.append(
            torch.optim.Muon(
                list(chosen.values()),
                lr=config.muon_lr,
                momentum=config.momentum,
                weight_decay=config.weight_decay,
                adjust_lr_fn="original",
            )
        )
    return with_peaks(optimizers)


def with_peaks(optimizers: list[torch.optim.Optimizer]) -> list[torch.optim.Optimizer]:
    """Remember the learning rates as peaks, which :func:`step_all` scales."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def step_all(optimizers: Sequence[torch.optim.Optimizer], scale: float) -> None:
    """Update at ``scale`` times the peak learning rates and drop the gradients."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * scale
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def lr_scale(config: OptimConfig, step: int, steps: int) -> float:
    """Share of the peak learning rate at 0-based ``step`` of ``steps``."""
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    along = (step - warmup) / max(1, steps - warmup)
    shape = 0.5 * (1 + math.cos(math.pi * along)) if config.schedule == "cosine" else 1 - along
    return config.final + (1 - config.final) * shape


@dataclass(frozen=True)
class Tracking:
    """Trackers beside ``metrics.jsonl``, through accelerate: ``tensorboard``, ``wandb``, ``trackio`` ...

    ``folder`` is where those that write files put them; ``run`` names the run.
    """

    trackers: tuple[str, ...]
    folder: Path
    run: str


def tracking_in(folder: Path, trackers: Sequence[str], run: str) -> Tracking | None:
    """Tracking for ``trackers``, or None when there are none."""
    return Tracking(tuple(trackers), folder, run) if trackers else None


def _accelerator(tracking: Tracking | None) -> Accelerator:
    if tracking is None:
        return Accelerator()
    with warnings.catch_warnings():  # what it warns of is an error below
        warnings.simplefilter("ignore", UserWarning)
        made = Accelerator(log_with=list(tracking.trackers), project_dir=str(tracking.folder))
    found = {str(getattr(t, "value", t)) for t in made.log_with}
    missing = [name for name in tracking.trackers if name not in found]
    if missing:  # accelerate would go on without them
        raise ValueError(f"tracker {', '.join(missing)} is not installed, or accelerate does not know it")
    made.init_trackers(tracking.run)
    return made


@dataclass
class Engine:
    """A model with its optimizers under ``accelerate``.

    ``network`` is the wrapped model (call this one); ``policy.model`` the bare one inside.
    """

    policy: Policy
    config: OptimConfig
    steps: int
    tracking: Tracking | None = None

    def __post_init__(self) -> None:
        self.accelerator = _accelerator(self.tracking)
        self.policy.model.freeze_encoders()
        optimizers = build_optimizers(self.policy.model, self.config)
        prepared = self.accelerator.prepare(self.policy.model, *optimizers)
        self.network, self.optimizers = prepared[0], list(prepared[1:])
        self.parameters = list(trainable_parameters(self.policy.model).values())

    def track(self, values: dict[str, float], step: int) -> None:
        """Send one step's metrics to the trackers, if there are any."""
        if self.tracking is not None:
            self.accelerator.log(values, step=step)

    def finish(self) -> None:
        """Flush and close the trackers."""
        if self.tracking is not None:
            self.accelerator.end_training()

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def step(self, step: int) -> float:
        """Clip, update, reset; returns the gradient norm before clipping."""
        limit = self.config.max_grad_norm or math.inf
        norm = self.accelerator.clip_grad_norm_(self.parameters, limit)
        step_all(self.optimizers, lr_scale(self.config, step, self.steps))
        return float(norm) if norm is not None else 0.0

    def save(self, folder: Path, step: int) -> None:
        """Checkpoint after ``step`` finished steps; it appears complete or not at all, older ones go."""
        final = folder / f"step-{step:06d}"
        staging = folder / f"step-{step:06d}.tmp"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        # it would warn of the tied embeddings at every save; that they come back is tested
        logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)
        self.accelerator.save_state(str(staging))
        (staging / "progress.json").write_text(json.dumps({"step": step, "steps": self.steps}))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(staging, final)
        for other in folder.glob("step-*"):  # also what an interrupted save left behind
            if other != final:
                shutil.rmtree(other)

    def resume(self, folder: Path) -> int:
        """Load the newest complete checkpoint; returns its step, 0 when there is none."""
        found = sorted(
            p for p in folder.glob("step-*") if (p / "progress.json").is_file() and p.suffix != ".tmp"
        )
        if not found:
            return 0
        progress = json.loads((found[-1] / "progress.json").read_text())
        if progress["steps"] != self.steps:
            raise ValueError(
                f"{found[-1]} is from a run of {progress['steps']} steps, this one has {self.steps}; "
                "the schedule would differ. Use another run folder"
            )
        self.accelerator.load_state(str(found[-1]))
        return int(progress["step"])
