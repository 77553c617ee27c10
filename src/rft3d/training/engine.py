"""Optimizers, schedules, checkpoints: what SFT and RFT share, on ``accelerate``."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rft3d.models.policy import Policy
from rft3d.training.checkpoints import name_of, newest_whole, publish, writing
from rft3d.training.config import LoRAConfig, MemoryConfig, OptimConfig
from rft3d.training.distributed import (
    SHARDED,
    Ranks,
    load_sharded,
    save_sharded,
    shard,
    wants_sharding,
    whole_model,
)
from rft3d.training.finite import require_finite
from rft3d.training.lora import add_lora
from rft3d.training.zero import STATE, masters, split_state, take_step, wants_zero, without_zero


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def build_optimizers(model: nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon on the layers' 2-D matrices beside AdamW on everything else (adapters too).

    Weight decay leaves vectors (norms, biases) alone. Base learning rates are the peaks; the schedule
    scales them.
    """
    return optimizers_of(trainable_parameters(model), config, _is_inner_matrix)


def _is_inner_matrix(name: str) -> bool:
    inner = ".layers." in name or name.startswith("geometry_merger.")
    return inner and ".lora_" not in name


def optimizers_of(
    params: Mapping[str, nn.Parameter], config: OptimConfig, for_muon: Callable[[str], bool]
) -> list[torch.optim.Optimizer]:
    """Optimizers of ``params``; with Muon, it takes the matrices whose names ``for_muon`` accepts."""
    matrices = {n: p for n, p in params.items() if p.ndim == 2 and for_muon(n)}
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
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]  # what step_all scales
    return optimizers


def set_rates(optimizers: Sequence[torch.optim.Optimizer], scale: float) -> None:
    """Learning rates at ``scale`` times their peaks."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * scale


def step_all(optimizers: Sequence[torch.optim.Optimizer], scale: float) -> None:
    """Update at ``scale`` times the peak learning rates and drop the gradients."""
    set_rates(optimizers, scale)
    for optimizer in optimizers:
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
    with warnings.catch_warnings():  # we raise instead, below
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

    ``network`` is the wrapped model (call this one); ``policy.model`` the bare one inside. ``ranks`` says
    which share of the work is this process's.
    """

    policy: Policy
    config: OptimConfig
    steps: int
    tracking: Tracking | None = None
    lora: LoRAConfig = LoRAConfig()
    memory: MemoryConfig = MemoryConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        self.zero = wants_zero()
        if self.zero and self.memory.two_phase:
            raise ValueError("memory.two_phase runs beside DeepSpeed's backward; use gradient_checkpointing")
        self.accelerator = _accelerator(self.tracking)
        self.updates = 0  # taken by this process
        self.policy.model.freeze_encoders()
        if self.lora.rank:
            if wants_sharding():
                raise ValueError("lora.rank > 0 is not supported with FSDP2; use DDP, or train all weights")
            add_lora(self.policy.model, self.lora, self.seed)
        if self.memory.gradient_checkpointing:
            self.policy.model.checkpoint_layers(True)
        self.ranks = Ranks(self.accelerator.process_index, self.accelerator.num_processes)
        self.sharded = wants_sharding()
        self.network: Any
        if self.zero:
            made = build_optimizers(self.policy.model, self.config)
            self.network, self.optimizers = split_state(
                self.accelerator, self.policy.model, made, self.config.max_grad_norm
            )
        elif self.sharded:  # by ourselves, so that one path serves GPUs and the CPU tests
            self.network = shard(self.policy.model, self.accelerator.device, self.accelerator.mixed_precision)
            self.optimizers = build_optimizers(self.policy.model, self.config)
        else:
            optimizers = build_optimizers(self.policy.model, self.config)
            prepared = self.accelerator.prepare(self.policy.model, *optimizers)
            self.network, self.optimizers = prepared[0], list(prepared[1:])
        self.parameters = list(trainable_parameters(self.policy.model).values())

    def track(self, values: dict[str, float], step: int) -> None:
        """Send one step's metrics to the trackers, if there are any."""
        if self.tracking is not None:
            self.accelerator.log(values, step=step)

    def finish(self) -> None:
        """Flush and close the trackers; a sharded model becomes a plain one again (``policy.model``)."""
        if self.tracking is not None:
            self.accelerator.end_training()
        if self.memory.gradient_checkpointing:
            self.policy.model.checkpoint_layers(False)
        if self.zero:
            without_zero(self.network, self.policy.model)
        self.policy.model = whole_model(self.policy.model)

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """Around one forward and backward of a step: under DDP only the last one exchanges gradients."""
        if self.zero:
            self.network.set_gradient_accumulation_boundary(last)
            yield
        elif last or self.sharded or self.ranks.world == 1:  # FSDP2 must not hold whole gradients
            yield
        else:
            with self.accelerator.no_sync(self.network):
                yield

    def backward(self, loss: Tensor) -> None:
        """Backward of this rank's share of a loss whose weights count all ranks (gradients are averaged)."""
        whole = loss * self.ranks.world if self.ranks.world > 1 else loss
        if self.zero:  # accelerate's would take the step as well
            self.network.backward(whole)
        else:
            self.accelerator.backward(whole)

    def step(self, step: int) -> float:
        """Clip, update, reset; returns the gradient norm before clipping.

        Raises:
            NonFiniteError: the norm is NaN or infinite (on all ranks alike); nothing was updated.
        """
        scale = lr_scale(self.config, step, self.steps)
        if self.zero:
            set_rates(self.optimizers, scale)
            norm = take_step(self.network)
            require_finite(step, {"grad_norm": norm})
            self.updates += 1
            return norm
        limit = self.config.max_grad_norm or math.inf
        clipped = self.accelerator.clip_grad_norm_(self.parameters, limit)
        norm = float(getattr(clipped, "full_tensor", lambda: clipped)()) if clipped is not None else 0.0
        require_finite(step, {"grad_norm": norm})
        step_all(self.optimizers, scale)
        self.updates += 1
        return norm

    def save(self, folder: Path, step: int) -> None:
        """Checkpoint after ``step`` finished steps; it appears complete or not at all.

        Raises:
            CheckpointError: it could not be written; older ones are as they were.
        """
        main = self.accelerator.is_main_process
        # it would warn of the tied embeddings at every save; that they come back is tested
        logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)
        staged = writing(folder, step) if main else nullcontext(folder / f"{name_of(step)}.tmp")
        with staged as staging:
            self.ranks.barrier()
            if self.sharded:
                save_sharded(staging, self.policy.model, self.optimizers)
            else:
                self.accelerator.save_state(str(staging))
            self.ranks.barrier()  # every rank has written its part
            if main:
                publish(staging, step, self.steps)

    def resume(self, folder: Path, say: Callable[[str], None] = print) -> int:
        """Load the newest undamaged checkpoint; returns its step, 0 when there is none.

        ``say`` gets a line for every damaged one that is passed over.

        Raises:
            ValueError: all checkpoints are damaged, or from a run of another length or launch.
        """
        found = newest_whole(folder, say)
        if found is None:
            return 0
        if found.steps != self.steps:
            raise ValueError(
                f"{found.path} is from a run of {found.steps} steps, this one has {self.steps}; "
                "the schedule would differ. Use another run folder"
            )
        for folder_of, ours, launch in ((SHARDED, self.sharded, "FSDP2"), (STATE, self.zero, "DeepSpeed")):
            if (found.path / folder_of).is_dir() != ours:
                raise ValueError(
                    f"{found.path} was saved {'without' if ours else 'with'} {launch}; "
                    "resume with the launch options of the first start"
                )
        if self.sharded:
            load_sharded(found.path, self.policy.model, self.optimizers)
        else:
            self.accelerator.load_state(str(found.path))
        return found.step


def trained_weights(engine: Engine) -> dict[str, Tensor]:
    """The trained parameters by name, whole on every rank (all ranks must call it)."""
    names = trainable_parameters(engine.policy.model)
    if engine.zero:
        return masters(names)
    if not engine.sharded:
        return {name: p.detach() for name, p in names.items()}
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state = get_model_state_dict(engine.policy.model, options=StateDictOptions(full_state_dict=True))
    return {name: tensor for name, tensor in state.items() if name in names}  # pyright: ignore[reportReturnType]
