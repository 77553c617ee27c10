"""FLOOR 4: supervised fine-tuning and reinforcement fine-tuning on ``accelerate``.

Start with :mod:`rft3d.training.grpo` (one GRPO step, top to bottom) or :mod:`rft3d.training.sft`. What recipes
and scripts need can be had from here; a name is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rft3d.training.advantages import assign_advantages
    from rft3d.training.config import (
        LoRAConfig,
        MemoryConfig,
        OptimConfig,
        RFTConfig,
        SelectConfig,
        SFTConfig,
    )
    from rft3d.training.data import Corpus, tokenize
    from rft3d.training.grpo import train_rft
    from rft3d.training.loop import Watch
    from rft3d.training.plan import Plan
    from rft3d.training.recipes import CacheConfig, Recipe, run_recipe
    from rft3d.training.rollout import Rollouts
    from rft3d.training.sft import train_sft
    from rft3d.training.start import LoadConfig

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
    "advantages": ("assign_advantages",),
    "config": ("LoRAConfig", "MemoryConfig", "OptimConfig", "RFTConfig", "SFTConfig", "SelectConfig"),
    "data": ("Corpus", "tokenize"),
    "grpo": ("train_rft",),
    "loop": ("Watch",),
    "plan": ("Plan",),
    "recipes": ("CacheConfig", "Recipe", "run_recipe"),
    "rollout": ("Rollouts",),
    "sft": ("train_sft",),
    "start": ("LoadConfig",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"rft3d.training.{home}"), name)
    raise AttributeError(f"module 'rft3d.training' has no attribute {name!r}")
