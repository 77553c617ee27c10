"""DeepSpeed ZeRO-2 under the engine: gradients and optimizer state split among the ranks, weights whole.

``accelerate launch --config_file recipes/accelerate/zero2_8gpu.yaml`` asks for it. DeepSpeed then owns the
backward, the clipping, the update and the reset, in one call each; accelerate's wrapper ties the last three to
a backward, but here a step is many backwards and its learning rate is known only at its end, so the engine
calls DeepSpeed itself: ``set_gradient_accumulation_boundary`` before each backward (true at the last one),
``step`` at the end. A step whose gradient is no number is left out by DeepSpeed and reported here.

In bf16 DeepSpeed computes with bf16 weights beside fp32 masters, a share on each rank, and adds gradients up in
fp32. What a stage hands on are the masters.
"""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rft3d.models.spatial import SpatialModel
from rft3d.training.config import LoRAConfig, OptimConfig
from rft3d.training.optim import set_rates, trainable_parameters
from rft3d.training.placement import Placement


def wants_zero() -> bool:
    """True when ``accelerate launch`` was asked for DeepSpeed; ModuleNotFoundError when it is not installed."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() != "true":
        return False
    if importlib.util.find_spec("deepspeed") is None:
        raise ModuleNotFoundError("DeepSpeed was asked for but is not installed", name="deepspeed")
    return True


class SplitState(Placement):
    """Each rank holds all weights, a share of the gradients and of the optimizer state."""

    launch = "DeepSpeed"
    mark = "pytorch_model"  # accelerate's name

    @staticmethod
    def refuse(optim: OptimConfig, lora: LoRAConfig) -> None:
        if optim.name == "muon":
            raise ValueError(
                "optim.name='muon' needs whole matrices, which ZeRO cuts; use adamw, or FSDP2 or DDP"
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
