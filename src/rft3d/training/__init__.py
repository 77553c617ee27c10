"""FLOOR 4: supervised fine-tuning and reinforcement fine-tuning on ``accelerate``.

Start with :mod:`rft3d.training.grpo` (one GRPO step, top to bottom) or :mod:`rft3d.training.sft`.
"""

# pyright: reportUnsupportedDunderAll=false
# (they are made when asked for: a name of the configs costs no torch)

from rft3d import lazily

__all__ = [
    "CacheConfig", "Corpus", "LoRAConfig", "LoadConfig", "MemoryConfig", "OptimConfig", "Plan",
    "RFTConfig", "Recipe", "Rollouts", "SFTConfig", "Watch", "assign_advantages",
    "run_recipe", "tokenize", "train_rft", "train_sft",
]  # fmt: skip

__getattr__ = lazily(__name__, "config", "recipes", "data", "grpo", "loop", "sft", "rollout", "advantages")
