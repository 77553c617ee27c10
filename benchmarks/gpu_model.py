"""Time and peak memory of the full-size model by phase: encoders, prefill, rollout, SFT and GRPO step.

    python benchmarks/gpu_model.py [--backbone qwen2.5-vl-3b-vggt] [--frames 4 10 24 32] [--out numbers.json]
    python benchmarks/gpu_model.py --tiny-cpu

Weights are random (nothing is downloaded), bf16, on one CUDA device. Pictures are noise of 640x480, which
become 504x392 for the tower and 518x392 for the geometry encoder: 252 tokens a frame. Stop tokens are
ignored, so every completion has ``--completion`` tokens. Training steps checkpoint every layer and use AdamW
with bf16 states (a float32 master copy and float32 states would add 8 bytes a trained parameter). A setting
that does not fit is reported with the phase that failed, and larger ones are not tried. ``--tiny-cpu`` runs
the same code on a model of thousands of parameters without a GPU; its times mean nothing and no memory is
reported. The file ``--out`` holds every number and the settings, to be held against ``rft3d estimate``::

    rft3d estimate recipes/rft_4b_grounding.py --plan.gpus 1 --plan.parallel single --json

Not run yet: no GPU was at hand, so every time and peak of the full-size model, and the largest setting that fits
80 GB, are unknown. What is known without one: the code runs (``--tiny-cpu``, in the tests), the parameter counts,
and the estimate's parts (exact or within 8 % of counts on tiny models: ``tests/training/test_estimate.py``,
``tests/models/test_vggt_memory.py``). The estimate counts float32 trained weights and states where this script has
bf16 ones, so compare activations, logits, keys and values, and encoders, not the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from rft3d.models import Policy
from rft3d.models.fusion import SpatialConfig
from rft3d.models.generate import Completion, Sampling, generate
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.kv_cache import PrefixCache
from rft3d.models.prefix import Row, pack
from rft3d.models.sizes import SIZES, full_config, random_policy
from rft3d.models.vggt import VGGTConfig
from rft3d.prompts import Prompt
from rft3d.training.losses import policy_loss

QUESTION = "Detect the 3D bounding boxes in the camera coordinate system of the first frame. " * 2
PHASES = ("prepare", "encode", "prefill", "rollout", "decode", "sft_step", "grpo_step")
"""``rollout`` prefills and decodes, ``decode`` is the difference; ``grpo_step`` is the update alone."""


@dataclass(frozen=True)
class Setting:
    frames: int
    group: int
    completion: int


@dataclass
class Result:
    """One line of the result: seconds (best of the repeats) and peak GiB of each phase that ran."""

    setting: Setting
    prompt_tokens: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    peak_gib: dict[str, float] = field(default_factory=dict)
    failed: str = ""

    @property
    def fits(self) -> bool:
        return not self.failed


class Meter:
    """Runs a phase, synchronised; remembers the best time and the highest peak."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats
        self.cuda = device.type == "cuda"

    def measure(self, row: Result, name: str, work: Callable[[], Any]) -> Any:
        result: Any = None
        for attempt in range(self.repeats + 1):  # the first is a warm-up
            del result
            result = None
            if self.cuda:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            try:
                result = work()
            except torch.OutOfMemoryError:
                row.failed = name
                raise
            if self.cuda:
                torch.cuda.synchronize()
                peak = torch.cuda.max_memory_allocated() / 2**30
                row.peak_gib[name] = max(peak, row.peak_gib.get(name, 0.0))
            if attempt or not self.repeats:
                seconds = time.perf_counter() - began
                row.seconds[name] = min(seconds, row.seconds.get(name, seconds))
        return result


def tiny_policy() -> Policy:
    """The same classes with thousands of parameters."""
    text = {
        "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
    }  # fmt: skip
    geometry = VGGTConfig(embed_dim=32, img_size=56, patch_depth=1, rounds=3, output_round=1, heads=2)
    config = SpatialConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True,
        geometry_encoder=geometry.to_dict(), geometry_merger_hidden_dim=48,
    )  # fmt: skip
    return random_policy(config, "qwen2.5-vl-3b-vggt", frame_size=70)


def sft_step(policy: Policy, row: Row, features: FrozenFeatures, optimizer: torch.optim.Optimizer) -> float:
    """One answer: forward, backward, update."""
    policy.model.train()
    scored = policy.model(pack([row], policy.pad_id).to(policy.device), [features])
    loss = -scored.logps.mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def grpo_step(
    policy: Policy,
    prompt: Row,
    features: FrozenFeatures,
    completions: Sequence[Completion],
    optimizer: torch.optim.Optimizer,
) -> float:
    """One group: packed forward, clipped loss with alternating advantages, backward, update."""
    policy.model.train()
    tokens = [c.tokens for c in completions]
    packed = pack([Row(prompt.prefix, prompt.positions, tokens, [len(t) for t in tokens])], policy.pad_id).to(
        policy.device
    )
    scored = policy.model(packed, [features])
    signs = [1.0 if i % 2 else -1.0 for i, t in enumerate(tokens) for _ in t]
    advantages = torch.tensor(signs, device=policy.device)
    weights = torch.full_like(advantages, 1 / len(signs))
    result = policy_loss(scored.logps, scored.logps.detach(), advantages, weights)
    result.loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(result.loss.detach())


def run_setting(policy: Policy, setting: Setting, meter: Meter, size: tuple[int, int]) -> Result:
    """All phases of one setting; stops at the first that does not fit."""
    row = Result(setting)
    rng = np.random.default_rng(0)
    clip = [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for _ in range(setting.frames)]
    no_stop: frozenset[int] = frozenset()
    try:
        images = meter.measure(row, "prepare", lambda: policy.prepare(clip))[None].to(policy.device)
        tower = None
        if policy.model.patch != 14:
            from rft3d.models.images import prepare_frames

            tower = prepare_frames(clip, policy.frame_size, policy.model.patch)[None].to(policy.device)
        features = meter.measure(row, "encode", lambda: policy.model.encode(images, tower))[0]
        prompt = policy.row(Prompt("<image>" * setting.frames + QUESTION, setting.frames), features.grid)
        row.prompt_tokens = len(prompt.prefix)
        packed = pack([prompt], policy.pad_id).to(policy.device)
        layers = len(policy.model.model.language_model.layers)

        def prefill() -> torch.Tensor:
            with torch.no_grad():
                cache = PrefixCache(layers, packed.layout.prefix_valid, 1)
                return policy.model.prefill(packed, [features], cache)

        meter.measure(row, "prefill", prefill)
        sampling = Sampling(setting.completion, 1.0, 0)
        completions = meter.measure(
            row, "rollout", lambda: generate(
                policy.model, [prompt], [features], ["a"], setting.group, sampling, no_stop, policy.pad_id
            )
        )[0]  # fmt: skip
        row.seconds["decode"] = max(0.0, row.seconds["rollout"] - row.seconds["prefill"])
        policy.model.activation_checkpointing_enable({"use_reentrant": False})
        trained = [p for p in policy.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-7, fused=meter.cuda)
        answer = completions[0].tokens
        one = Row(prompt.prefix, prompt.positions, [answer], [len(answer)])
        meter.measure(row, "sft_step", lambda: sft_step(policy, one, features, optimizer))
        meter.measure(row, "grpo_step", lambda: grpo_step(policy, prompt, features, completions, optimizer))
    except torch.OutOfMemoryError:
        pass  # row.failed names the phase
    finally:
        policy.model.zero_grad(set_to_none=True)
        if meter.cuda:
            torch.cuda.empty_cache()
    return row


def table(rows: Sequence[Result]) -> str:
    """Seconds and peak GiB side by side."""
    lines = [f"{'frames':>6} {'prompt':>6} " + " ".join(f"{p:>18}" for p in PHASES)]
    for row in rows:
        cells = []
        for phase in PHASES:
            if phase == row.failed:
                cells.append(f"{'does not fit':>18}")
            elif phase not in row.seconds:
                cells.append(f"{'':>18}")
            else:
                memory = f"{row.peak_gib[phase]:6.1f} GiB" if phase in row.peak_gib else f"{'-':>10}"
                cells.append(f"{row.seconds[phase]:6.3f}s{memory:>11}")
        lines.append(f"{row.setting.frames:>6} {row.prompt_tokens:>6} " + " ".join(cells))
    best = max((r.setting.frames for r in rows if r.fits), default=0)
    lines.append(
        f"largest setting that ran whole: {best} frames"
        if best
        else "no setting ran whole; see the failed phase above"
    )
    return "\n".join(lines)


def facts(policy: Policy, backbone: str, args: argparse.Namespace) -> dict[str, Any]:
    cuda = policy.device.type == "cuda"
    count = {
        "trained": sum(p.numel() for p in policy.model.parameters() if p.requires_grad),
        "frozen": sum(p.numel() for p in policy.model.parameters() if not p.requires_grad),
    }
    return {
        "backbone": backbone,
        "parameters": count,
        "dtype": str(policy.model.lm_head.weight.dtype),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "group": args.group,
        "completion": args.completion,
        "repeats": args.repeats,
    }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", choices=SIZES, default=SIZES[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[4, 10, 24, 32])
    parser.add_argument("--group", type=int, default=8, help="completions of a prompt")
    parser.add_argument("--completion", type=int, default=300, help="tokens of a completion")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of a phase after one warm-up")
    parser.add_argument("--no-geometry", action="store_true", help="without the geometry prior")
    parser.add_argument("--tiny-cpu", action="store_true", help="the same code, tiny, without a GPU")
    parser.add_argument("--out", type=Path, help="JSON file with every number")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    if args.tiny_cpu:
        args.frames, args.group, args.completion, args.repeats = [1, 3], 3, 5, 1
        policy, size, backbone = tiny_policy(), (60, 80), "tiny"
    elif not torch.cuda.is_available():
        print("gpu_model: no CUDA device (torch.cuda.is_available() is False); --tiny-cpu needs none")
        return 2
    else:
        backbone, size = args.backbone, (480, 640)
        config = full_config(backbone, geometry=not args.no_geometry)
        policy = random_policy(config, backbone, device="cuda", dtype=torch.bfloat16)
    meter = Meter(policy.device, args.repeats)
    about = facts(policy, backbone, args)
    print(json.dumps(about))
    rows: list[Result] = []
    for frames in sorted(args.frames):
        rows.append(run_setting(policy, Setting(frames, args.group, args.completion), meter, size))
        print(table(rows[-1:]).splitlines()[1], flush=True)
        if not rows[-1].fits:
            break
    print("\n" + table(rows))
    if args.out:
        written = [{**vars(r), "setting": vars(replace(r.setting))} for r in rows]
        temporary = args.out.with_name(args.out.name + ".tmp")
        temporary.write_text(json.dumps({**about, "rows": written}, indent=1), encoding="utf-8")
        os.replace(temporary, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
