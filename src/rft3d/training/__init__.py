"""FLOOR 4: supervised fine-tuning and reinforcement fine-tuning on ``accelerate``.

Start with :mod:`rft3d.training.grpo` (one GRPO step, top to bottom) or :mod:`rft3d.training.sft`.
"""

from __future__ import annotations

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
