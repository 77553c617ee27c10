"""Settings of training, as frozen dataclasses: the docstring of a field is its help text.

Where the 3D-RFT paper is silent, the default is ours and ``docs/papers.md`` says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from rft3d.settings import Bounds, Checked, Count, Natural, NotNegative, Positive, Share

Scale = Literal["group", "task", "none"]
LossKind = Literal["token", "grpo", "dapo", "dr_grpo", "gspo", "cispo"]
LONGEST = {"detection": 160, "grounding": 40, "spatial": 12}
"""Tokens of an answer, at most."""


@dataclass(frozen=True)
class OptimConfig(Checked):
    """Optimizer and schedule."""

    name: Literal["adamw", "muon"] = "adamw"
    """``muon``: Muon on the layers' matrices, AdamW on the rest (embeddings, norms, biases)."""
    lr: NotNegative = 1e-5
    """Peak learning rate of AdamW. Not given in the paper for RFT."""
    muon_lr: NotNegative = 0.02
    """Peak learning rate of Muon."""
    weight_decay: NotNegative = 0.01  # Of AdamW and Muon.
    betas: tuple[Share, Share] = (0.9, 0.999)  # Of AdamW's moving means.
    momentum: Share = 0.95
    """Muon's momentum."""
    warmup: Share = 0.03
    """Share of the steps with a linear warm-up."""
    schedule: Literal["cosine", "constant", "linear"] = "cosine"  # Of the learning rate after the warm-up.
    final: Share = 0.0
    """Learning rate at the end as a share of the peak."""
    interpolate: Share = 1.0
    """How far the result lies on the way from the first weights to the last step's; 1: all the way. RL with large
    steps, taken back most of the way, gains where small steps do not (WiSE-FT, arXiv 2109.01903; WARP, arXiv
    2406.16768). Below 1 the first weights stay in memory. Not given in the paper."""
    max_grad_norm: NotNegative = 1.0
    """0 turns clipping off."""


@dataclass(frozen=True)
class MemoryConfig(Checked):
    """What bounds the peak memory of a step. None of it changes the gradient, only the time it takes."""

    logit_chunk: Natural = 0
    """Scored tokens whose logits exist together; 0: as many as fit into 256 MiB."""
    prefill: Natural = 0
    """Prompts that are prefilled together when sampling; 0: all of a step."""
    gradient_checkpointing: bool = False
    """Keep only the layers' inputs and run each layer again in the backward pass."""


@dataclass(frozen=True)
class LoRAConfig(Checked):
    """Low-rank adapters on the language model's matrices instead of training them (peft)."""

    rank: Natural = 0
    """0: no adapters, everything but the encoders trains."""
    alpha: Count = 16
    """The adapters' product is scaled by alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Matrices that get them."""
    merger: bool = False
    """Train the geometry merger too, in full. A KL term then needs a copy of the policy as its reference."""


@dataclass(frozen=True)
class SFTConfig(Checked):
    """Supervised fine-tuning on gold answers."""

    kind: ClassVar[str] = "sft"
    steps: Count = 400  # Optimizer steps.
    scenes_per_step: Count = 32  # Scenes whose samples make a step.
    per_scene: Mapping[str, Natural] = field(
        default_factory=lambda: {"detection": 1, "grounding": 3, "spatial": 6}
    )
    """How many samples of each task a drawn scene contributes (drawn anew every epoch)."""
    task_weights: Mapping[str, NotNegative] = field(
        default_factory=lambda: {"detection": 1.0, "grounding": 0.5, "spatial": 0.5}
    )
    """Weight of a task's mean token loss."""
    optim: OptimConfig = OptimConfig(name="muon", lr=3e-3)
    seed: int = 0  # Of the order and the samples drawn.
    save_every: Count = 100
    """Steps between checkpoints; the last step is always saved."""
    scene_share: Mapping[str, Share] = field(default_factory=dict)
    """Share of a step's scenes that a task uses (1 where absent): running the frames is what costs, so
    a task with short answers asks more questions about fewer scenes."""
    micro_scenes: Natural = 0
    """Scenes of a task in one forward and backward (0: all): bounds memory, changes the gradient by rounding."""
    memory: MemoryConfig = MemoryConfig()
    lora: LoRAConfig = LoRAConfig()
    max_new_tokens: Mapping[str, Count] = field(default_factory=LONGEST.copy)
    """Longest answers to held-out samples."""

    @property
    def asked(self) -> dict[str, int]:
        """The tasks that it trains on, and how many samples of each."""
        return {task: count for task, count in self.per_scene.items() if count}


@dataclass(frozen=True)
class RFTConfig(Checked):
    """Reinforcement fine-tuning with GRPO."""

    kind: ClassVar[str] = "rft"
    steps: Count = 30  # Rounds of sampling.
    prompts_per_step: Mapping[str, Natural] = field(
        default_factory=lambda: {"detection": 8, "grounding": 16, "spatial": 32}
    )
    """Prompts (groups) of each task in a step."""
    group_size: Annotated[int, Bounds(2)] = 8
    """Completions per prompt; one alone has nothing to be compared with. Not given in the paper."""
    max_new_tokens: Mapping[str, Count] = field(default_factory=LONGEST.copy)
    """Longest completions of each task, tokens."""
    temperature: Positive = 1.0
    """Sampling temperature; log-probabilities are taken at the same one. Not given in the paper."""
    loss: LossKind = "token"
    """The paper's: one over a group's total tokens. ``docs/algorithms.md`` has the others."""
    parts: Literal["sum", "separate"] = "sum"
    """Whether the parts of a reward are summed and then compared in the group, or each is compared and scaled by
    itself and the results summed (GDPO), so that a part with a small spread counts as much as one with a large."""
    scale: Scale = "group"
    """What advantages are divided by: the spread of the group's rewards, of all the task's rewards in the
    step (so that tasks with wide and narrow rewards weigh alike), or nothing."""
    task_weights: Mapping[str, NotNegative] = field(default_factory=dict)
    """Factor on a task's loss; 1 where absent."""
    baseline: Literal["mean", "leave_one_out"] = "mean"
    """What a completion is compared with: the mean of the group, or of its other members (RLOO)."""
    credit: Literal["none", "marginal"] = "none"
    """Extra advantage of a detected box's own tokens: none, or what the box adds to the answer's reward
    (``marginal``)."""
    credit_weight: NotNegative = 1.0
    """Factor on ``credit``."""
    epsilon: NotNegative = 0.2  # Clip range of the importance ratio.
    epsilon_high: NotNegative | None = None  # Its upper end where it differs (DAPO).
    beta: NotNegative = 0.0
    """Weight of the k3 KL to the SFT policy. The paper uses one for perception; its value is not given."""
    kl_bias_correction: bool = False
    """Multiply the KL estimate by the importance ratio, as TRL does by default since 1.16."""
    updates_per_rollout: Count = 1
    """Optimizer steps on one rollout; above 1, log-probabilities of the sampling policy are kept."""
    micro_groups: Count = 8
    """Groups in one forward and backward; bounds memory, changes the gradient only by rounding."""
    clip_cov: float = 0.0
    """Clip-Cov: the share of a group's tokens that get no gradient, those with the largest covariance of
    log-probability and advantage (arXiv 2505.22617 uses 0.0002 of a batch); keeps the entropy up. 0: none."""
    skip_zero_advantage: bool = True
    """Leave groups without any advantage out of the update (only when ``beta`` is 0)."""
    beats_greedy: float | None = None
    """Learn only from groups where some sample earns more than the greedy answer by at least this much (for a
    reward of 0 or 1: greedy wrong, some sample right); None: from all. If none is left, all are."""
    dynamic_sampling: Natural = 0
    """Rounds of further prompts for groups whose completions all earned the same (DAPO); 0: none."""
    sampler: str = "own"
    """Who samples; a key of ``rft3d.training.rollout.SAMPLERS`` (``own``, ``vllm``)."""
    importance_cap: NotNegative = 0.0
    """Truncated importance sampling: multiply a token's weight by what training gives it over what the sampler
    gave it, at most this much; 0: not at all. For a sampler whose arithmetic is not ours (``logp_gap``)."""
    memory: MemoryConfig = MemoryConfig()
    lora: LoRAConfig = LoRAConfig()
    optim: OptimConfig = OptimConfig(name="adamw", lr=1e-4, weight_decay=0.0, schedule="constant", warmup=0.1)
    seed: int = 0  # Of the order and the samples drawn.
    save_every: Count = 20  # Steps between checkpoints; the last step is always saved.
    log_rollouts_every: Natural = 5
    """Steps between groups that are written to ``rollouts.jsonl`` for the reward inspector; 0: none."""
    rollouts_per_task: Natural = 2
    """Groups of each task that are written at such a step."""
    rollouts_mb: Positive = 64.0
    """Bound on the size of ``rollouts.jsonl``; long texts are cut to keep it."""

    @property
    def asked(self) -> dict[str, int]:
        """The tasks that it trains on, and how many prompts of each."""
        return {task: count for task, count in self.prompts_per_step.items() if count}


@dataclass(frozen=True)
class Plan(Checked):
    """The hardware a recipe is meant for, and how large its questions are. Changes nothing of a run."""

    backbone: str = ""
    """A name of ``rft3d.models.BACKBONES``; empty: read from the model folder's config.json."""
    frames: Mapping[str, Count] = field(default_factory=dict)
    """Frames of a task's question; where absent, those of the first sample in the recipe's file."""
    frame_size: tuple[int, int] | None = None
    """(width, height) as the vision tower sees a frame; None: the model folder's, else 504 x 392 (4:3)."""
    question_tokens: Mapping[str, Natural] = field(default_factory=dict)
    """Text of the prompt, chat markup included; where absent, guessed from the first sample's length."""
    answer_tokens: Mapping[str, Count] = field(default_factory=dict)
    """Mean length of answers; where absent, guessed from the first gold answer (SFT) or the limit (RFT)."""
    gpus: Count = 1  # Devices of the run.
    parallel: Literal["single", "ddp", "zero2", "fsdp2"] = "single"
    """``single`` and ``ddp`` hold everything on each device, ``zero2`` splits gradients and optimizer state,
    ``fsdp2`` the weights too."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """What activations, frozen weights and cached keys are computed in; trained weights keep fp32 copies."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frame_size is not None and (self.frame_size[0] % 28 or self.frame_size[1] % 28):
            raise ValueError(f"plan.frame_size={self.frame_size} must be multiples of 28 (2x2 patches of 14)")
