"""How a model and its optimizers lie among the ranks: one class for each kind of launch.

``accelerate launch`` decides: ``--multi_gpu`` is DDP (on CPUs too, with ``ACCELERATE_USE_CPU=true``),
``--use_fsdp --fsdp_version 2`` is FSDP2 (:mod:`rft3d.training.fsdp2`), a config with DeepSpeed is ZeRO-2
(:class:`SplitState`). The last two override what differs from :class:`ModelPlacement`.

A rank owns whole groups (one prompt, G completions), so rewards and advantages need no exchange. What does cross
ranks: the completions of a step (a few kilobytes), from which every rank computes the same token weights and the
same number of forwards; and the gradients, which DDP and FSDP2 average, so that a rank's loss is multiplied by the
number of ranks.
"""

import importlib.util
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rft3d.models.spatial import SpatialModel
from rft3d.training.config import LoRAConfig, OptimConfig
from rft3d.training.optim import build_optimizers, set_rates, step_all, trainable_parameters

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process (``rank``) among ``world``; with one process nothing here communicates."""

    rank: int = 0
    world: int = 1

    def mine(self, items: Sequence[T]) -> list[T]:
        """Every ``world``-th item from ``rank`` on: this rank's share of a list that all ranks know."""
        return list(items[self.rank :: self.world])

    def gather(self, own: Sequence[T]) -> list[T]:
        """The whole list again from every rank's share, in the order that :meth:`mine` cut."""
        shares = self._of_all(list(own))
        return [shares[i % self.world][i // self.world] for i in range(sum(map(len, shares)))]

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value summed over the ranks."""
        shares = self._of_all(dict(values))
        return {name: sum(share[name] for share in shares) for name in values}

    def _of_all(self, own: T) -> list[T]:
        """What each rank gives."""
        if self.world == 1:
            return [own]
        import torch.distributed as dist

        shares: list[Any] = [None] * self.world
        dist.all_gather_object(shares, own)
        return shares

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()


ALONE = Ranks()


class ModelPlacement:
    """One process, or DDP: every rank holds everything. ``network``: the wrapped model (call this one); ``model``:
    the bare one inside."""

    launch: ClassVar[str] = ""
    """What the launch is called in messages."""
    mark: ClassVar[str] = ""
    """The folder inside a checkpoint that only this kind of launch writes."""

    def __init__(self, accelerator: Accelerator, model: SpatialModel, config: OptimConfig) -> None:
        self.accelerator, self.model, self.config = accelerator, model, config
        self.network: Any
        self.optimizers: list[torch.optim.Optimizer]
        self.network, self.optimizers = self.place()
        self.parameters = list(trainable_parameters(model).values())
        self.first = [p.detach().clone() for p in self.parameters] if config.interpolate < 1 else []

    @staticmethod
    def refuse(optim: OptimConfig, lora: LoRAConfig) -> None:
        """ValueError for settings that this launch cannot serve, before anything is changed."""
        if optim.interpolate < 1 and lora.rank:
            raise ValueError(
                f"optim.interpolate={optim.interpolate:g} mixes whole weights, but lora.rank={lora.rank} trains "
                "adapters, whose product would not lie between; use 1, or lora.rank=0"
            )

    def place(self) -> tuple[Any, list[torch.optim.Optimizer]]:
        """The network to call and its optimizers."""
        made = build_optimizers(self.model, self.config)
        network, *optimizers = self.accelerator.prepare(self.model, *made)
        return network, optimizers

    def place_frozen(self, model: SpatialModel) -> None:
        """The same in place for a model that does not train."""

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        """Around one forward and backward of a step: only the last one exchanges gradients."""
        if last or self.accelerator.num_processes == 1:
            yield
        else:
            with self.accelerator.no_sync(self.network):
                yield

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def step(self, scale: float) -> float:
        """Clip, update at ``scale`` times the peak learning rates, reset; the gradient norm before clipping.
        Nothing is updated where that is no finite number (on all ranks alike)."""
        clipped = self.accelerator.clip_grad_norm_(self.parameters, self.config.max_grad_norm or math.inf)
        norm = float(getattr(clipped, "full_tensor", lambda: clipped)()) if clipped is not None else 0.0
        if math.isfinite(norm):
            step_all(self.optimizers, scale)
        return norm

    @torch.no_grad()
    def interpolate(self) -> None:
        """After the last step: the weights go back to where ``config.interpolate`` says."""
        for weight, first in zip(self.parameters, self.first, strict=False):  # none where all the way is kept
            weight.copy_(first.lerp(weight, self.config.interpolate))

    def save(self, folder: Path) -> None:
        """Every rank writes its part of weights, optimizer and random state."""
        self.accelerator.save_state(str(folder))

    def load(self, folder: Path) -> None:
        """What :meth:`save` wrote, in place."""
        self.accelerator.load_state(str(folder))

    def plain(self) -> SpatialModel:
        """The model as one process would have it, after training; on every rank."""
        return self.model


def wants_zero() -> bool:
    """True when ``accelerate launch`` was asked for DeepSpeed; ModuleNotFoundError when it is not installed."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() != "true":
        return False
    if importlib.util.find_spec("deepspeed") is None:
        raise ModuleNotFoundError("DeepSpeed was asked for but is not installed", name="deepspeed")
    return True


class SplitState(ModelPlacement):
    """DeepSpeed ZeRO-2: each rank holds all weights, a share of the gradients and of the optimizer state.

    DeepSpeed then owns the backward, the clipping, the update and the reset, in one call each; accelerate's
    wrapper ties the last three to a backward, but here a step is many backwards and its learning rate is known
    only at its end, so the engine calls DeepSpeed itself: ``set_gradient_accumulation_boundary`` before each
    backward (true at the last one), ``step`` at the end. A step whose gradient is not finite is left out by
    DeepSpeed and reported here. In bf16 DeepSpeed computes with bf16 weights beside fp32 masters, a share on
    each rank, and adds gradients up in fp32. What a stage hands on are the masters.
    """

    launch = "DeepSpeed"
    mark = "pytorch_model"  # accelerate's name

    @staticmethod
    def refuse(optim: OptimConfig, lora: LoRAConfig) -> None:
        ModelPlacement.refuse(optim, lora)
        if optim.name == "muon":
            raise ValueError("optim.name='muon' needs matrices that ZeRO cuts; use adamw, FSDP2 or DDP")
        if optim.interpolate < 1:
            raise ValueError(
                f"optim.interpolate={optim.interpolate:g} changes weights, whose masters DeepSpeed keeps to "
                "itself; use 1, or FSDP2 or DDP"
            )

    def place(self) -> tuple[Any, list[torch.optim.Optimizer]]:
        plugin: Any = self.accelerator.deepspeed_plugin
        if plugin.zero_stage != 2:
            raise ValueError(
                f"zero_stage={plugin.zero_stage}: only ZeRO-2 is supported; to split the weights too, launch "
                "with recipes/accelerate/fsdp2_8gpu.yaml"
            )
        plugin.deepspeed_config.update(
            {
                "train_micro_batch_size_per_gpu": 1,  # DeepSpeed only multiplies it; batches are the recipe's
                "gradient_accumulation_steps": 1,  # losses carry their weights already
                "gradient_clipping": self.config.max_grad_norm,
                "data_types": {"grad_accum_dtype": "fp32"},
            }
        )
        return super().place()

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        self.network.set_gradient_accumulation_boundary(last)
        yield

    def backward(self, loss: Tensor) -> None:
        self.network.backward(loss)  # accelerate's would take the step as well

    def step(self, scale: float) -> float:
        set_rates(self.optimizers, scale)
        self.network.step()
        return math.inf if self.network.optimizer.overflow else float(self.network.get_global_grad_norm())

    def plain(self) -> SpatialModel:
        """The model in place: trained weights become their fp32 masters, DeepSpeed's hooks go."""
        from deepspeed.utils import safe_get_full_fp32_param  # pyright: ignore[reportMissingImports]

        fresh: dict[nn.Parameter, nn.Parameter] = {}
        for name, parameter in trainable_parameters(self.model).items():
            value = safe_get_full_fp32_param(parameter)
            assert value is not None, f"DeepSpeed keeps no master of {name}"
            fresh[parameter] = nn.Parameter(value.detach().clone().view(parameter.shape))
        self.network.destroy()
        for module in self.model.modules():  # new parameters, since those carry hooks; tied ones stay tied
            for name, parameter in module._parameters.items():
                if parameter is not None and parameter in fresh:
                    module._parameters[name] = fresh[parameter]
        return self.model
