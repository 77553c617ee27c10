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
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import nn

STATE = "pytorch_model"
"""The folder that accelerate gives DeepSpeed inside a checkpoint."""


def wants_zero() -> bool:
    """True when ``accelerate launch`` was asked for DeepSpeed; ModuleNotFoundError when it is not installed."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() != "true":
        return False
    if importlib.util.find_spec("deepspeed") is None:
        raise ModuleNotFoundError("DeepSpeed was asked for but is not installed", name="deepspeed")
    return True


def split_state(
    accelerator: Accelerator,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    max_grad_norm: float,
) -> tuple[Any, list[torch.optim.Optimizer]]:
    """DeepSpeed's engine around ``model`` (call that one), and the optimizer whose learning rates it uses.

    Raises:
        ValueError: another ZeRO stage than 2, or more than one optimizer (DeepSpeed lays all weights of an
            optimizer end to end, where Muon finds no matrices).
    """
    if len(optimizers) != 1:
        raise ValueError(
            "optim.name='muon' needs whole matrices, which ZeRO cuts; use adamw, or FSDP2 or DDP"
        )
    plugin: Any = accelerator.deepspeed_plugin
    if plugin.zero_stage != 2:
        raise ValueError(
            f"zero_stage={plugin.zero_stage}: only ZeRO-2 is supported; to split the weights too, launch with "
            "recipes/accelerate/fsdp2_8gpu.yaml"
        )
    plugin.deepspeed_config.update(
        {
            "train_micro_batch_size_per_gpu": 1,  # DeepSpeed only multiplies it; batches are the recipe's
            "gradient_accumulation_steps": 1,  # losses carry their weights already
            "gradient_clipping": max_grad_norm,
            "data_types": {"grad_accum_dtype": "fp32"},
        }
    )
    prepared = accelerator.prepare(model, *optimizers)
    return prepared[0], list(prepared[1:])


def take_step(network: Any) -> float:
    """Clip, update, reset; the gradient norm before clipping, infinite when nothing was updated."""
    network.step()
    if network.optimizer.overflow:
        return math.inf
    return float(network.get_global_grad_norm())


def masters(params: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The fp32 weights that DeepSpeed keeps of ``params``, whole on every rank (all ranks must call it)."""
    from deepspeed.utils import safe_get_full_fp32_param  # pyright: ignore[reportMissingImports]

    found: dict[str, torch.Tensor] = {}
    for name, parameter in params.items():
        value = safe_get_full_fp32_param(parameter)
        assert value is not None, f"DeepSpeed keeps no master of {name}"
        found[name] = value.detach().clone().view(parameter.shape)
    return found


def without_zero(network: Any, model: nn.Module) -> None:
    """Make ``model`` a plain one again, in place: trained weights become their fp32 masters, hooks go."""
    from torch import nn

    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    plain = {trained[name]: nn.Parameter(value) for name, value in masters(trained).items()}
    network.destroy()
    for module in model.modules():  # new parameters, since DeepSpeed's carry hooks; tied ones stay tied
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter in plain:
                module._parameters[name] = plain[parameter]
