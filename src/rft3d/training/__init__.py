"""FLOOR 4: supervised fine-tuning and reinforcement fine-tuning on ``accelerate``.

Start with :mod:`rft3d.training.grpo` (one GRPO step, top to bottom) or :mod:`rft3d.training.sft`. What recipes
and scripts need can be had from here; a name is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rft3d.models.start import LoadConfig
    from rft3d.training.advantages import assign_advantages
    from rft3d.training.config import (
        LoRAConfig,
        MemoryConfig,
        OptimConfig,
        Plan,
        RFTConfig,
        SelectConfig,
        SFTConfig,
    )
    from rft3d.training.data import Corpus, tokenize
    from rft3d.training.grpo import train_rft
    from rft3d.training.loop import Watch
    from rft3d.training.recipes import CacheConfig, Recipe, run_recipe
    from rft3d.training.rollout import Rollouts
    from rft3d.training.sft import train_sft

__all__ = [
    "CacheConfig",
    "Corpus",
    "LoRAConfig",
    "LoadConfig",
    "MemoryConfig",
    "OptimConfig",
    "Plan",
    "RFTConfig",
    "Recipe",
    "Rollouts",
    "SFTConfig",
    "SelectConfig",
    "Watch",
    "assign_advantages",
    "run_recipe",
    "tokenize",
    "train_rft",
    "train_sft",
]

_HOMES = {
    "models.start": ("LoadConfig",),
    "training.advantages": ("assign_advantages",),
    "training.config": (
        "LoRAConfig",
        "MemoryConfig",
        "OptimConfig",
        "Plan",
        "RFTConfig",
        "SFTConfig",
        "SelectConfig",
    ),
    "training.data": ("Corpus", "tokenize"),
    "training.grpo": ("train_rft",),
    "training.loop": ("Watch",),
    "training.recipes": ("CacheConfig", "Recipe", "run_recipe"),
    "training.rollout": ("Rollouts",),
    "training.sft": ("train_sft",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"rft3d.{home}"), name)
    raise AttributeError(f"module 'rft3d.training' has no attribute {name!r}")
