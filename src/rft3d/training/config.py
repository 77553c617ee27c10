"""Settings of training, as frozen dataclasses: the docstring of a field is its help text.

Where the 3D-RFT paper is silent, the default is ours and ``docs/papers.md`` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rft3d.training.advantages import Scale
from rft3d.training.losses import LossKind


@dataclass(frozen=True)
class OptimConfig:
    """Optimizer and schedule."""

    name: Literal["adamw", "muon"] = "adamw"
    """``muon``: Muon on the layers' matrices, AdamW on the rest (embeddings, norms, biases)."""
    lr: float = 1e-5
    """Peak learning rate of AdamW. Not given in the paper for RFT."""
    muon_lr: float = 0.02
    """Peak learning rate of Muon."""
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.95
    """Muon's momentum."""
    warmup: float = 0.03
    """Share of the steps with a linear warm-up."""
    schedule: Literal["cosine", "constant", "linear"] = "cosine"
    final: float = 0.0
    """Learning rate at the end as a share of the peak."""
    max_grad_norm: float = 1.0
    """0 turns clipping off."""


@dataclass(frozen=True)
class SFTConfig:
    """Supervised fine-tuning on gold answers."""

    steps: int = 400
    scenes_per_step: int = 32
    per_scene: Mapping[str, int] = field(
        default_factory=lambda: {"detection": 1, "grounding": 3, "spatial": 6}
    )
    """How many samples of each task a drawn scene contributes (drawn anew every epoch)."""
    task_weights: Mapping[str, float] = field(
        default_factory=lambda: {"detection": 1.0, "grounding": 0.5, "spatial": 0.5}
    )
    """Weight of a task's mean token loss."""
    optim: OptimConfig = OptimConfig(name="muon", lr=3e-3)
    seed: int = 0
    save_every: int = 100
    """Steps between checkpoints; the last step is always saved."""
    scene_share: Mapping[str, float] = field(default_factory=dict)
    """Share of a step's scenes that a task uses (1 where absent): running the frames is what costs, so
    a task with short answers asks more questions about fewer scenes."""


@dataclass(frozen=True)
class RFTConfig:
    """Reinforcement fine-tuning with GRPO."""

    steps: int = 30
    prompts_per_step: Mapping[str, int] = field(
        default_factory=lambda: {"detection": 8, "grounding": 16, "spatial": 32}
    )
    """Prompts (groups) of each task in a step."""
    group_size: int = 8
    """Completions per prompt. Not given in the paper."""
    max_new_tokens: Mapping[str, int] = field(
        default_factory=lambda: {"detection": 160, "grounding": 40, "spatial": 12}
    )
    temperature: float = 1.0
    """Sampling temperature; log-probabilities are taken at the same one. Not given in the paper."""
    loss: LossKind = "token"
    """The paper's: one over a group's total tokens."""
    scale: Scale = "group"
    advantage_eps: float = 1e-4
    task_weights: Mapping[str, float] = field(default_factory=dict)
    """Factor on a task's loss; 1 where absent."""
    object_credit: float = 0.0
    """Weight of per-object credit on a detection's own tokens; 0 = one advantage per completion."""
    epsilon: float = 0.2
    epsilon_high: float | None = None
    beta: float = 0.0
    """Weight of the k3 KL to the SFT policy. The paper uses one for perception; its value is not given."""
    updates_per_rollout: int = 1
    """Optimizer steps on one rollout; above 1, log-probabilities of the sampling policy are kept."""
    micro_groups: int = 8
    """Groups in one forward and backward; bounds memory, does not change the gradient."""
    skip_zero_advantage: bool = True
    """Leave groups without any advantage out of the update (only when ``beta`` is 0)."""
    optim: OptimConfig = OptimConfig(name="adamw", lr=1e-4, weight_decay=0.0, schedule="constant", warmup=0.1)
    seed: int = 0
    save_every: int = 20
    log_samples_every: int = 5
    """Steps between samples of raw text in ``samples.jsonl``."""
