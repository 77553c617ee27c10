"""FSDP2: the trained part is sharded layer by layer, the frozen encoders stay whole on every rank.

Sampling runs on gathered weights, without a collective (ranks stop at different lengths). Sharded by ourselves
and not by accelerate, so that one path serves GPUs and the CPU tests.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from rft3d.models.policy import FROZEN
from rft3d.models.spatial import SpatialModel
from rft3d.training.config import LoRAConfig, OptimConfig
from rft3d.training.optim import build_optimizers
from rft3d.training.placement import ModelPlacement


def wants_fsdp2() -> bool:
    """True when ``accelerate launch`` was asked for FSDP2; ValueError for the older FSDP."""
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ValueError(f"FSDP_VERSION={version}: only FSDP2 is supported; launch with --fsdp_version 2")
    return True


class Sharded(ModelPlacement):
    """Each rank holds a share of weights, gradients and optimizer state."""

    launch = "FSDP2"
    mark = "sharded"

    @staticmethod
    def refuse(optim: OptimConfig, lora: LoRAConfig) -> None:
        if lora.rank:
            raise ValueError(
                "lora.rank > 0 is not supported with FSDP2; use DDP, or train all weights: adapters are a "
                "hundredth of what FSDP2 would split, and merging them into sharded weights is not built"
            )

    def place(self) -> tuple[Any, list[torch.optim.Optimizer]]:
        self.place_frozen(self.model)
        return self.model, build_optimizers(self.model, self.config)

    def place_frozen(self, model: SpatialModel) -> None:
        """A unit a decoder layer, one for the rest; the frozen encoders stay whole.

        Embeddings and head (one tensor where they are tied), the last norm and the geometry merger are the
        root's unit, which stays gathered between forward and backward. Under bf16 weights are kept in float32
        and computed with in bfloat16.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

        device = self.accelerator.device
        nn.Module.to(model, device)
        options: dict[str, Any] = {"mesh": init_device_mesh(device.type, (self.accelerator.num_processes,))}
        if self.accelerator.mixed_precision == "bf16":
            options["mp_policy"] = MixedPrecisionPolicy(torch.bfloat16, torch.float32)
        for layer in model.model.language_model.layers:
            fully_shard(layer, **options)
        frozen = {p for name, p in model.named_parameters() if name.startswith(FROZEN)}
        fully_shard(model, ignored_params=frozen, **options)
        for method in ("prefill", "next_logits"):  # entries beside forward: the root's hooks run there too
            register_fsdp_forward_method(model, method)

    @contextmanager
    def accumulating(self, last: bool) -> Iterator[None]:
        yield  # a rank must not hold whole gradients

    def save(self, folder: Path) -> None:
        """Readable by any number of ranks."""
        from torch.distributed.checkpoint.state_dict_saver import save

        save(self._state(), checkpoint_id=str(folder / self.mark))

    def load(self, folder: Path) -> None:
        from torch.distributed.checkpoint.state_dict import set_state_dict
        from torch.distributed.checkpoint.state_dict_loader import load

        found = self._state()
        load(found, checkpoint_id=str(folder / self.mark))
        set_state_dict(
            self.model, self.optimizers, model_state_dict=found["model"], optim_state_dict=found["optimizer"]
        )

    def _state(self) -> dict[str, Any]:
        from torch.distributed.checkpoint.state_dict import get_state_dict

        return dict(zip(("model", "optimizer"), get_state_dict(self.model, self.optimizers), strict=True))

    def plain(self) -> SpatialModel:
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        whole = StateDictOptions(full_state_dict=True)
        state = cast(dict[str, Tensor], get_model_state_dict(self.model, options=whole))
        weight = state["lm_head.weight"]
        made = type(self.model)(self.model.config)
        nn.Module.to(made, device=weight.device, dtype=weight.dtype)
        made.load_state_dict(state)
        made.suppress(self.model.suppressed.tolist())
        made.train(self.model.training)
        return made


@contextmanager
def unsharded(model: nn.Module) -> Iterator[None]:
    """All weights whole on every rank inside the block; nothing to do for a model that isn't sharded."""
    from torch.distributed.fsdp import FSDPModule

    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.reshard()
            unit.set_reshard_after_forward(unit is not model, recurse=False)
