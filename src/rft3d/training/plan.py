"""What the price of a recipe depends on and its training settings don't say; see :mod:`rft3d.cost.estimate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Parallel = Literal["single", "ddp", "zero2", "fsdp2"]


@dataclass(frozen=True)
class Plan:
    """The hardware a recipe is meant for, and how large its questions are. Changes nothing of a run."""

    backbone: str = ""
    """A name of ``rft3d.models.BACKBONES``; empty: read from the model folder's config.json."""
    frames: Mapping[str, int] = field(default_factory=dict)
    """Frames of a task's question; where absent, those of the first sample in the recipe's file."""
    frame_size: tuple[int, int] | None = None
    """(width, height) as the vision tower sees a frame; None: the model folder's, else 504 x 392 (4:3)."""
    question_tokens: Mapping[str, int] = field(default_factory=dict)
    """Text of the prompt, chat markup included; where absent, guessed from the first sample's length."""
    answer_tokens: Mapping[str, int] = field(default_factory=dict)
    """Mean length of answers; where absent, guessed from the first gold answer (SFT) or the limit (RFT)."""
    gpus: int = 1
    parallel: Parallel = "single"
    """``single`` and ``ddp`` hold everything on each device, ``zero2`` splits gradients and optimizer state,
    ``fsdp2`` the weights too."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What activations, frozen weights and cached keys are computed in; trained weights keep fp32 copies."""

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise ValueError(f"plan.gpus must be at least 1, got {self.gpus}")
        if self.frame_size is not None and (self.frame_size[0] % 28 or self.frame_size[1] % 28):
            raise ValueError(
                f"plan.frame_size={self.frame_size} must be multiples of 28 (2 x 2 patches of 14)"
            )
