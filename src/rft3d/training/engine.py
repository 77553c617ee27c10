"""The engine of SFT and RFT on ``accelerate``: a model whose steps can be taken, saved and resumed."""

import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rft3d.models.policy import Policy, non_finite
from rft3d.training.checkpoints import name_of, newest_whole, publish_checkpoint, writing
from rft3d.training.config import LoRAConfig, MemoryConfig, OptimConfig
from rft3d.training.fsdp2 import Sharded, wants_fsdp2
from rft3d.training.lora import add_lora
from rft3d.training.optim import lr_scale, require_finite, trainable_parameters
from rft3d.training.placement import ModelPlacement, Ranks, SplitState, wants_zero
from rft3d.training.runs import Tracking


@dataclass
class Engine:
    """A model with its optimizers under ``accelerate``.

    ``network`` is the wrapped model (call this one); ``policy.model`` the bare one inside. ``ranks`` says which
    share of the work is this process's. ValueError: settings that the launch cannot serve, or a tracker that is
    not installed.
    """

    policy: Policy
    config: OptimConfig
    steps: int
    tracking: Tracking = Tracking()
    lora: LoRAConfig = LoRAConfig()
    memory: MemoryConfig = MemoryConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        kind = SplitState if wants_zero() else Sharded if wants_fsdp2() else ModelPlacement
        kind.refuse(self.config, self.lora)
        self.accelerator = self.tracking.accelerator()
        self.ranks = Ranks(self.accelerator.process_index, self.accelerator.num_processes)
        model = self.policy.model
        model.freeze_encoders()
        if self.lora.rank:
            add_lora(model, self.lora, self.seed)
        if self.memory.gradient_checkpointing:
            model.checkpoint_layers(True)
        self.placement = kind(self.accelerator, model, self.config)
        self.network = self.placement.network
        self.accumulating = self.placement.accumulating
        self.updates = 0  # taken by this process

    def finish(self) -> None:
        """Close the trackers; ``policy.model`` is a plain model again."""
        for tracker in self.accelerator.trackers:
            tracker.finish()
        if self.memory.gradient_checkpointing:
            self.policy.model.checkpoint_layers(False)
        self.policy.model = self.placement.plain()

    def backward(self, loss: Tensor) -> None:
        """Backward of this rank's share of a loss whose weights count all ranks (gradients are averaged)."""
        self.placement.backward(loss * self.ranks.world if self.ranks.world > 1 else loss)

    def step(self, step: int) -> float:
        """Clip, update, reset; returns the gradient norm before clipping.

        NonFiniteError: the norm is NaN or infinite (on all ranks alike) and nothing was updated; or the update
        made weights so, and only a checkpoint is good.
        """
        norm = self.placement.step(lr_scale(self.config, step, self.steps))
        require_finite(step, {"grad_norm": norm})
        self.updates += 1
        if step + 1 == self.steps:
            self.placement.interpolate()
        weights = list(trainable_parameters(self.policy.model).values())
        bad = self.ranks.total({"weights": float(len(non_finite(weights)))})["weights"]
        if bad:
            require_finite(step, {f"a weight ({bad:.0f} of {len(weights)} tensors)": math.nan})
        return norm

    def save(self, folder: Path, step: int) -> None:
        """Checkpoint after ``step`` finished steps; it appears complete or not at all (CheckpointError)."""
        main = self.accelerator.is_main_process
        # it would warn of the tied embeddings at every save; that they come back is tested
        logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)
        staged = writing(folder, step) if main else nullcontext(folder / f"{name_of(step)}.tmp")
        with staged as staging:
            self.ranks.barrier()
            self.placement.save(staging)
            self.ranks.barrier()  # every rank has written its part
            publish_checkpoint(staging, step, self.steps, self.ranks)

    def resume(self, folder: Path, say: Callable[[str], None] = print) -> int:
        """Load the newest undamaged checkpoint; returns its step, 0 when there is none. ``say`` gets a line for
        every damaged one that is passed over.

        ValueError: all checkpoints are damaged, or from a run of another length or launch.
        """
        found = newest_whole(folder, say, self.ranks)
        if found is None:
            return 0
        if found.steps != self.steps:
            raise ValueError(
                f"{found.path} is from a run of {found.steps} steps, this one has {self.steps}; "
                "the schedule would differ. Use another run folder"
            )
        for kind in (Sharded, SplitState):
            ours = isinstance(self.placement, kind)
            if (found.path / kind.mark).is_dir() != ours:
                raise ValueError(
                    f"{found.path} was saved {'without' if ours else 'with'} {kind.launch}; "
                    "resume with the launch options of the first start"
                )
        self.placement.load(found.path)
        return found.step
