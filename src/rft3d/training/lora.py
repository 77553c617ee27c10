"""LoRA (Hu et al., arXiv 2106.09685) through peft: train small matrices added to frozen ones.

The adapters are put into the network itself, so that packed forward and sampling
have them without changes. With all of them off the network is the policy that the stage
started from: the reference of the KL term, without a second copy. At the end of a stage they are saved
by themselves and merged, so that a saved policy is always a plain one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from rft3d.files import replacing
from rft3d.models.spatial import SpatialModel
from rft3d.training.config import LoRAConfig

if TYPE_CHECKING:
    from peft import LoraConfig

WEIGHTS = "adapter_model.safetensors"
ADAPTER = "default"


def add_lora(model: SpatialModel, config: LoRAConfig, seed: int) -> None:
    """Put fresh adapters (they change nothing yet) into the language model's layers; only they train.

    With ``config.merger`` the geometry merger trains too, in full. What trains is in float32 where the model is in
    bf16 (as peft does by default): small steps would be rounded away.
    """
    from peft import inject_adapter_in_model

    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith("model.language_model.layers.")
        and name.rsplit(".", 1)[-1] in config.targets
    ]
    if not names:
        raise ValueError(f"lora.targets={config.targets}: no such matrices in the language model's layers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(_settings(config, names), model, ADAPTER)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name or (config.merger and name.startswith("geometry_merger.")))
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()


def _settings(config: LoRAConfig, targets: Sequence[str]) -> LoraConfig:
    from peft import LoraConfig

    return LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=list(targets))


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """The network as it was before :func:`add_lora`, inside the block."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    modules = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    if not modules:
        raise ValueError("the model has no adapters to switch off; use a copy as the reference")
    trained = [p for p in model.parameters() if p.requires_grad]
    for module in modules:
        module.enable_adapters(False)
    try:
        yield
    finally:
        for module in modules:
            module.enable_adapters(True)
        for parameter in trained:  # peft switches their gradients with them
            parameter.requires_grad_(True)


def save_adapters(model: nn.Module, config: LoRAConfig, folder: Path) -> None:
    """The adapters alone, in peft's file format; the folder appears complete or not at all."""
    from safetensors.torch import save_file

    state = {
        f"base_model.model.{name.replace(f'.{ADAPTER}.', '.')}": tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if ".lora_" in name
    }
    with replacing(folder) as staging:
        staging.mkdir()
        save_file(state, str(staging / WEIGHTS))
        _settings(config, config.targets).save_pretrained(str(staging))


def merge_lora(model: SpatialModel) -> None:
    """Merge the adapters into their base matrices and remove them."""
    for name, module in list(model.named_modules()):
        if not hasattr(module, "merge") or not hasattr(module, "get_base_layer"):
            continue
        module.merge()  # pyright: ignore[reportCallIssue]
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())  # pyright: ignore[reportCallIssue]
    if hasattr(model, "peft_config"):
        del model.peft_config
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    model.freeze_encoders()
