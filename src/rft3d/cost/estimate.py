"""What a recipe costs, known before it runs: tokens, parameters, memory by part, FLOPs by stage.

From the config alone, without weights or a GPU. Parameters are exact. FLOPs are those of matrix products and
attention (:mod:`.sizes`); a backward pass costs twice its forward (once with LoRA, whose weights' gradients
are small), gradient checkpointing one forward more. Memory is what tensors need; the allocator's rounding,
the CUDA context (about 1 GB) and communication buffers come on top.

Activations of one decoder layer, in values a token (counted from what autograd saves in the packed forward,
and measured so on the tiny model by the tests), ``d`` hidden, ``I`` MLP width, ``q``, ``k`` of queries, keys:
``7d`` (two norms with input, normalised and output; output of attention), ``2q + 2k`` (rotated queries, keys,
values, attention before its output is put together), ``4I`` (gate, up, silu, product). The packed attention
adds ``2 k G (P + C)`` for the prefix laid beside each suffix, and its mask ``G C (P + C)``. In bf16 the norms'
inputs are kept in fp32.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rft3d.cost.sizes import Sizes
from rft3d.models.policy import PATCHES_AT_ONCE
from rft3d.models.prefix import chunk_size
from rft3d.training.config import Plan, RFTConfig, SFTConfig


@dataclass(frozen=True)
class QuestionSize:
    """Size of one question of a task.

    Attributes:
        visual: tokens of its frames. With ``markers`` (two a frame) and ``text`` they are the prompt.
        answer: mean length; ``limit``: the longest that may be sampled (SFT: the same).
    """

    frames: int
    patches: int
    text: int
    answer: int
    limit: int

    @property
    def visual(self) -> int:
        return self.frames * self.patches // 4

    @property
    def prompt(self) -> int:
        return self.visual + 2 * self.frames + self.text


@dataclass(frozen=True)
class Pass:
    """Packed rows that go through the model together: ``rows`` of a prefix and ``suffixes`` behind it."""

    rows: float
    prefix: int
    suffixes: int
    suffix: int
    scored: int

    @property
    def tokens(self) -> float:
        return self.rows * (self.prefix + self.suffixes * self.suffix)

    @property
    def pairs(self) -> float:
        """Pairs of a query and a key that it may see."""
        own = self.suffix * self.prefix + self.suffix**2 / 2
        return self.rows * (self.prefix**2 / 2 + self.suffixes * own)

    @property
    def targets(self) -> float:
        """Tokens whose probabilities are asked for."""
        return self.rows * self.suffixes * self.scored


LOGIT_COPIES = 4
"""Tables of a chunk of logits that exist together: logits, at the temperature, log-softmax, its gradient."""
GEOMETRY_BYTES = 112
"""Bytes for each token and unit of the geometry encoder's width at the worst moment, in fp32 and bf16 alike (norms,
rotary positions and the residual are fp32 in both). Measured on a tiny encoder; the tests hold it to 2 %."""


@dataclass(frozen=True)
class StageCost:
    """One stage. ``memory``: bytes on one GPU, kept throughout; ``phases``: bytes on top, one phase at a time;
    ``flops``: of one step over all GPUs (``encode``: of all its clips, paid once a clip)."""

    name: str
    steps: int
    questions: Mapping[str, QuestionSize]
    trained: int
    memory: Mapping[str, float]
    phases: Mapping[str, Mapping[str, float]]
    flops: Mapping[str, float]

    @property
    def peak(self) -> float:
        """Bytes on one GPU at the worst moment."""
        return sum(self.memory.values()) + max(sum(phase.values()) for phase in self.phases.values())

    @property
    def step_flops(self) -> float:
        """One step whose clips were encoded before."""
        return sum(value for name, value in self.flops.items() if name != "encode")


def stage_cost(
    name: str, stage: SFTConfig | RFTConfig, questions: Mapping[str, QuestionSize], sizes: Sizes, plan: Plan
) -> StageCost:
    """The cost of ``stage`` on questions of these sizes."""
    if isinstance(stage, SFTConfig):
        passes, micro, flops, rollout = _sft(stage, questions, sizes, plan)
    else:
        passes, micro, flops, rollout = _rft(stage, questions, sizes, plan)
    trained = trained_parameters(stage, sizes)
    backward = 1.0 if stage.lora.rank else 2.0
    again = 1.0 if stage.memory.gradient_checkpointing else 0.0
    forward = sum(forward_flops(sizes, each) for each in passes)
    updates = stage.updates_per_rollout if isinstance(stage, RFTConfig) else 1
    flops = {**flops, "update": updates * forward * (1.0 + backward + again)}
    update = max((update_memory(stage, sizes, plan, each) for each in micro), key=lambda m: sum(m.values()))
    phases = {"update": update, **rollout, "encode": {"encoders": encode_memory(sizes, questions)}}
    memory = kept_memory(stage, sizes, plan)
    return StageCost(name, stage.steps, dict(questions), trained, memory, phases, flops)


def trained_parameters(stage: SFTConfig | RFTConfig, sizes: Sizes) -> int:
    """Numbers that the optimizer changes: adapters (``r (in + out)`` a matrix), or language model and merger."""
    lora, text = stage.lora, sizes.text
    if not lora.rank:
        return sizes.trained
    ends = sum(ends for name, (ends, _) in text.layer_matrices.items() if name in lora.targets)
    adapters = text.layers * lora.rank * ends
    merger = sizes.geometry.merger_parameters if lora.merger and sizes.geometry else 0
    return adapters + merger


def forward_flops(sizes: Sizes, rows: Pass) -> float:
    """One forward of packed rows: merger, layers, head on the scored tokens."""
    merger = 2.0 * sizes.geometry.merger_weights * rows.rows * rows.prefix if sizes.geometry else 0.0
    return merger + sizes.text.forward_flops(rows.tokens, rows.pairs) + sizes.text.head_flops(rows.targets)


def activation_bytes(sizes: Sizes, rows: Pass, precision: str, checkpointing: bool = False) -> float:
    """What the backward pass needs of the language model's layers; formula in the module's docstring."""
    text, b = sizes.text, 4 if precision == "fp32" else 2
    d, k, wide = text.hidden, text.kv, text.intermediate
    norms = 2 * d * (4 - b)  # inputs of the norms stay in fp32
    each = b * (7 * d + 2 * text.q + 2 * k + 4 * wide) + norms + 8 * text.heads
    seen = rows.rows * rows.suffixes * (rows.prefix + rows.suffix)
    packed = b * seen * (2 * k + rows.suffix)
    layer = rows.tokens * each + packed
    outside = rows.tokens * d * (2 * b + (4 - b)) + rows.targets * d * b
    if checkpointing:
        return text.layers * rows.tokens * d * b + layer + outside
    return text.layers * layer + outside


def update_memory(stage: SFTConfig | RFTConfig, sizes: Sizes, plan: Plan, rows: Pass) -> dict[str, float]:
    """Bytes of one forward and backward."""
    chunk = chunk_size(sizes.text.vocab, stage.memory.logit_chunk)
    merger = 0.0
    if sizes.geometry:  # cells, normalised cells, hidden layer before and after GELU
        width = 4 * sizes.geometry.config.width
        merger = rows.rows * rows.prefix * (2 * width + 2 * sizes.geometry.merger_hidden) * _bytes(plan)
    return {
        "activations": merger
        + activation_bytes(sizes, rows, plan.precision, stage.memory.gradient_checkpointing),
        "logits": min(chunk, rows.targets) * sizes.text.vocab * 4.0 * LOGIT_COPIES,
    }


def kept_memory(stage: SFTConfig | RFTConfig, sizes: Sizes, plan: Plan) -> dict[str, float]:
    """Bytes on one GPU that stay throughout a stage."""
    b, trained = _bytes(plan), trained_parameters(stage, sizes)
    share = 1.0 / plan.gpus if plan.parallel in ("zero2", "fsdp2") else 1.0
    whole = 1.0 / plan.gpus if plan.parallel == "fsdp2" else 1.0
    base = sizes.trained if stage.lora.rank else 0  # under the adapters, frozen
    # ZeRO-2 computes with a bf16 copy beside fp32 master weights, the others with the fp32 weights themselves
    weights, master = trained * 4.0 * whole, 0.0
    if plan.parallel == "zero2":
        weights, master = trained * 2.0, trained * 4.0 * share
    memory = {
        "trained weights": weights + base * b * whole,
        "frozen encoders": sizes.frozen * float(b),
        "gradients": trained * 4.0 * share,
        "optimizer": _optimizer_bytes(stage, sizes, trained) * share + master,
    }
    needs_copy = (
        isinstance(stage, RFTConfig) and stage.beta > 0 and (not stage.lora.rank or stage.lora.merger)
    )
    if needs_copy:  # otherwise the reference is the policy with its adapters off
        memory["reference"] = sizes.trained * float(b)
    if plan.parallel == "fsdp2":  # the root's unit stays gathered; beside it a layer, and the next one
        root = sizes.trained - sizes.text.layers * sizes.text.layer_parameters
        memory["gathered units"] = (root + 2 * sizes.text.layer_parameters) * float(b)
    return memory


def encode_flops(sizes: Sizes, question: QuestionSize) -> float:
    """Both frozen encoders over one clip."""
    geometry = sizes.geometry.flops(question.frames, question.patches) if sizes.geometry else 0.0
    return sizes.vision.flops(question.frames, question.patches) + geometry


def decode_flops(sizes: Sizes, rows: float, prefix: int, tokens: int) -> float:
    """``tokens`` new tokens on each of ``rows`` rows behind a prefix, one at a time."""
    total = rows * tokens
    pairs = total * (prefix + tokens / 2)
    return sizes.text.forward_flops(total, pairs) + sizes.text.head_flops(total)


def kv_bytes(sizes: Sizes, tokens: float, precision: str) -> float:
    """Keys and values of ``tokens`` tokens in all layers."""
    return 2.0 * sizes.text.layers * sizes.text.kv * tokens * (4 if precision == "fp32" else 2)


def feature_bytes(sizes: Sizes, question: QuestionSize, precision: str) -> float:
    """Frozen features of one clip in the cache: vision tokens, and four geometry patches under each."""
    return float(question.visual * sizes.feature_width * (4 if precision == "fp32" else 2))


def _sft(
    stage: SFTConfig, questions: Mapping[str, QuestionSize], sizes: Sizes, plan: Plan
) -> tuple[list[Pass], list[Pass], dict[str, float], dict[str, dict[str, float]]]:
    passes, micro, encode = [], [], 0.0
    for task, count in stage.asked.items():
        q = questions[task]
        scenes = max(1, round(stage.scene_share.get(task, 1.0) * stage.scenes_per_step))
        row = Pass(1, q.visual + 2 * q.frames, count, q.text + q.answer, q.answer)
        passes.append(replace(row, rows=scenes))
        mine = -(-scenes // plan.gpus)
        micro.append(replace(row, rows=min(mine, stage.micro_scenes or mine)))
        encode = max(encode, scenes * encode_flops(sizes, q))
    return passes, micro, {"encode": encode}, {}


def _rft(
    stage: RFTConfig, questions: Mapping[str, QuestionSize], sizes: Sizes, plan: Plan
) -> tuple[list[Pass], list[Pass], dict[str, float], dict[str, dict[str, float]]]:
    g, passes, micro = stage.group_size, [], []
    flops: dict[str, float] = dict.fromkeys(("encode", "prefill", "decode", "fixed log-probabilities"), 0.0)
    cached = 0.0
    for task, prompts in stage.asked.items():
        q = questions[task]
        row = Pass(prompts, q.prompt, g, q.answer, q.answer)
        passes.append(row)
        mine = -(-prompts // plan.gpus)
        at_once = min(mine, stage.micro_groups)
        micro.append(Pass(at_once, q.prompt, g, q.limit, q.limit))
        flops["encode"] += prompts * encode_flops(sizes, q)
        flops["prefill"] += forward_flops(sizes, Pass(prompts, q.prompt, 0, 0, 0))
        flops["decode"] += decode_flops(sizes, prompts * g, q.prompt, q.answer)
        again = (stage.updates_per_rollout > 1) + (stage.beta > 0)
        flops["fixed log-probabilities"] += again * forward_flops(sizes, row)
        cached += mine * (q.prompt + g * q.limit)
    rollout = {"KV cache": kv_bytes(sizes, cached, plan.precision)}
    if plan.parallel == "fsdp2":  # sampling with sharded weights would gather every layer for every token
        rollout["unsharded weights"] = sizes.text.parameters * float(_bytes(plan))
    rows = sum(-(-n // plan.gpus) for n in stage.prompts_per_step.values()) * g
    rollout["logits"] = rows * sizes.text.vocab * 4.0 * LOGIT_COPIES
    return passes, micro, flops, {"rollout": rollout}


def encode_memory(sizes: Sizes, questions: Mapping[str, QuestionSize], clips: int = 0) -> float:
    """``clips`` (0: as many as go together) through the encoders. The geometry encoder, which sees all frames of a
    clip at once, is the larger one."""
    widest = max(questions.values(), key=lambda q: q.frames * q.patches)
    clips = clips or max(1, PATCHES_AT_ONCE // (widest.frames * widest.patches))
    tokens = clips * widest.frames * (widest.patches + 5)
    d = sizes.geometry.config.embed_dim if sizes.geometry else sizes.vision.config.hidden_size
    return float(tokens * d * GEOMETRY_BYTES)


def _optimizer_bytes(stage: SFTConfig | RFTConfig, sizes: Sizes, trained: int) -> float:
    """AdamW keeps two moments in fp32; Muon one momentum for the matrices of layers and merger."""
    first = 4.0 * trained if stage.optim.interpolate < 1 else 0.0
    inner = sizes.text.layers * sizes.text.layer_weights
    inner += sizes.geometry.merger_weights if sizes.geometry else 0
    if stage.optim.name == "muon" and not stage.lora.rank:
        return 4.0 * inner + 8.0 * (trained - inner) + first
    return 8.0 * trained + first


def _bytes(plan: Plan) -> int:
    return 4 if plan.precision == "fp32" else 2
