"""The policy that a recipe starts from: where it comes from, on which device, in which number format.

Frozen encoders are run in the device's own format (bf16 on a GPU, fp32 on a CPU), because clips go through them
before the engine exists; trained weights get the format that the recipe asks for.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from rft3d.models import Policy, load_policy
from rft3d.models.features import FORMATS
from rft3d.models.policy import TEXT_RULES
from rft3d.settings import Checked


@dataclass(frozen=True)
class LoadConfig(Checked):
    """How ``Recipe.model`` is loaded."""

    device: str = "auto"
    """``auto``: the GPU that accelerate gives this process, else the CPU; or a name like ``cpu``."""
    dtype: Literal["auto", "stored", "bfloat16", "float32"] = "auto"
    """Number format of the weights. ``auto``: bfloat16 on a GPU, float32 on a CPU; ``stored``: as in the files."""
    geometry: str | None = None
    """Where VGGT comes from when the weights hold none (a folder or hub repository), or ``off``: without the
    geometry prior (the paper's ablation). None: the weights' own."""
    box_convention: Literal["intrinsic_zxy", "extrinsic_zxy"] | None = None
    """How the weights write angles; None: as their config says. ``extrinsic_zxy`` for VG-LLM's V2 from before
    2025-11-27."""
    answer_end: str | None = None
    """What SFT trains behind an answer; None: the policy's own (docs/papers.md). So for the next two."""
    stops: tuple[str, ...] | None = None
    """Tokens that end a sampled answer; ``<|im_end|>`` alone as VG-LLM samples."""
    suppress_visual: bool | None = None
    """Whether visual special tokens have probability 0; False: they count in the softmax, as in VG-LLM's SFT."""


def local_device() -> torch.device:
    """Where this process computes, as accelerate decides: its own GPU, else the CPU."""
    asked_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    if asked_cpu or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def load_start(
    model: str | Path, load: LoadConfig, trained: Literal["stored", "float32"], own: bool = False
) -> Policy:
    """The policy ``model`` (as :func:`rft3d.models.load_policy` takes it) on its device, frozen encoders in
    ``load.dtype``.

    ``trained``: ``float32``: the trained weights are read in float32, whatever ``load.dtype`` is, so that weights
    which a stage saved in float32 are not rounded on the way to the next. ``own``: the folder was saved by this
    run, so it holds its geometry branch and convention itself.
    """
    device = local_device() if load.device == "auto" else torch.device(load.device)
    dtype = load.dtype if load.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32"
    wanted = None if dtype == "stored" else FORMATS[dtype]
    wide = trained == "float32" and wanted is not None
    options = {} if own else {"geometry": load.geometry, "box_convention": load.box_convention}
    given = {name: value for name, value in options.items() if value is not None}
    policy = load_policy(model, str(device), dtype=torch.float32 if wide else wanted, **given)
    rules = {name: getattr(load, name) for name in TEXT_RULES if getattr(load, name) is not None}
    policy = replace(policy, **rules) if rules else policy
    if trained == "float32":
        set_formats(policy, wanted, torch.float32)
    return policy


def set_formats(policy: Policy, frozen: torch.dtype | None, trained: torch.dtype) -> None:
    """Number formats of frozen (None: as they are) and trained weights, in place; tied ones stay tied. Buffers
    keep theirs: rotary frequencies must not be rounded to bf16."""
    policy.model.freeze_encoders()
    for parameter in policy.model.parameters():
        wanted = trained if parameter.requires_grad else frozen
        if wanted is not None:
            parameter.data = parameter.data.to(wanted)
