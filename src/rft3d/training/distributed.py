"""Many processes: who owns which group, and how the model lies among the ranks.

A rank owns whole groups (one prompt, G completions), so rewards and advantages need no exchange. What
does cross ranks: the completions of a step (a few kilobytes), from which every rank computes the same
token weights and the same number of forwards; and the gradients, which DDP and FSDP2 average, so that a
rank's loss is multiplied by the number of ranks.

``accelerate launch`` decides: ``--multi_gpu`` is DDP (on CPUs too, with ``ACCELERATE_USE_CPU=true``),
``--use_fsdp --fsdp_version 2`` shards the trained part layer by layer. The frozen encoders stay whole on
every rank, and sampling runs on gathered weights, without a collective (ranks stop at different lengths).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rft3d.models.spatial import SpatialModel

T = TypeVar("T")
FROZEN = ("model.visual.", "geometry_encoder.")
SHARDED = "sharded"


def is_main_process() -> bool:
    """True on the one process that writes logs, models and progress."""
    return int(os.environ.get("RANK", "0")) == 0


def wants_sharding() -> bool:
    """True when ``accelerate launch`` was asked for FSDP2; ValueError for the older FSDP."""
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ValueError(f"FSDP_VERSION={version}: only FSDP2 is supported; launch with --fsdp_version 2")
    return True


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
        if self.world == 1:
            return list(own)
        import torch.distributed as dist

        shares: list[Any] = [None] * self.world
        dist.all_gather_object(shares, list(own))
        return [shares[i % self.world][i // self.world] for i in range(sum(map(len, shares)))]

    def gather_by_task(
        self, prompts: Mapping[str, Sequence[Any]], own: Mapping[str, Sequence[T]]
    ) -> dict[str, list[T]]:
        """:meth:`gather` for each task of ``prompts``; every rank gets all of them."""
        return {task: self.gather(own.get(task, ())) for task in prompts}

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value summed over the ranks."""
        if self.world == 1:
            return dict(values)
        import torch.distributed as dist

        shares: list[Any] = [None] * self.world
        dist.all_gather_object(shares, dict(values))
        return {name: sum(share[name] for share in shares) for name in values}

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()


ALONE = Ranks()


def shard(model: SpatialModel, device: torch.device, precision: str = "no") -> SpatialModel:
    """FSDP2 in place: a unit a decoder layer, one for the rest; the frozen encoders stay whole.

    Embeddings and head (one tensor where they are tied), the last norm and the geometry merger are the
    root's unit, which stays gathered between forward and backward. With ``precision="bf16"`` weights are
    kept in float32 and computed with in bfloat16.
    """
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    torch.nn.Module.to(model, device)
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if precision == "bf16" else None
    options: dict[str, Any] = {"mesh": mesh} | ({"mp_policy": policy} if policy else {})
    for layer in model.model.language_model.layers:
        fully_shard(layer, **options)
    frozen = {p for name, p in model.named_parameters() if name.startswith(FROZEN)}
    fully_shard(model, ignored_params=frozen, **options)
    for method in ("prefill", "next_logits"):  # entries beside forward: the root's hooks must run there too
        register_fsdp_forward_method(model, method)
    return model


def _units(model: nn.Module) -> list[Any]:
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """All weights whole on every rank inside the block; nothing to do for a model that isn't sharded."""
    units = _units(model) if wants_sharding() else []
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.reshard()
            unit.set_reshard_after_forward(unit is not model, recurse=False)


def whole_model(model: SpatialModel) -> SpatialModel:
    """A plain copy of a sharded model, on every rank; the model itself when it isn't sharded."""
    if not (wants_sharding() and _units(model)):
        return model
    import torch
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))
    weight = cast("torch.Tensor", state["lm_head.weight"])
    plain = type(model)(model.config)
    torch.nn.Module.to(plain, device=weight.device, dtype=weight.dtype)
    plain.load_state_dict(state)
    plain.suppress(cast("torch.Tensor", model.suppressed).tolist())
    plain.train(model.training)
    return plain


def save_sharded(folder: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Every rank writes its part of weights and optimizer state; readable by any number of ranks."""
    from torch.distributed.checkpoint.state_dict import get_state_dict
    from torch.distributed.checkpoint.state_dict_saver import save

    weights, state = get_state_dict(model, list(optimizers))
    save({"model": weights, "optimizer": state}, checkpoint_id=str(folder / SHARDED))


def load_sharded(folder: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """What :func:`save_sharded` wrote, into ``model`` and ``optimizers`` in place."""
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.checkpoint.state_dict_loader import load

    weights, state = get_state_dict(model, list(optimizers))
    found = {"model": weights, "optimizer": state}
    load(found, checkpoint_id=str(folder / SHARDED))
    set_state_dict(
        model, list(optimizers), model_state_dict=found["model"], optim_state_dict=found["optimizer"]
    )
