"""The full-size model, whole: every stage runs once, with its time and peak memory beside what we estimate.

    python benchmarks/full_size.py --out runs/full_size                      # a CPU with 16 GB, some 15 minutes
    python benchmarks/full_size.py --out runs/full_size --device cuda        # 4, 10, 24, 32 frames, G = 8, C = 300
    python benchmarks/full_size.py --out runs/tiny --tiny                    # the same code on thousands of weights

Weights are random, in the layout in which VG-LLM's are published (bf16, shards, their names), so that loading is
tried too; nothing is downloaded. Stages: ``write`` the files, ``load`` them, then for every number of frames
(noise of 640x480, which becomes 504x392 and 518x392) ``encode``, ``prefill``, ``greedy`` decoding of 16 tokens, a
LoRA ``sft`` step, ``rollout`` of a group and its LoRA ``grpo`` step (layers checkpointed), then ``save`` and reload
(equal log-probabilities), and ``detect``, the command, on a clip. ``full`` (only when it is named with
``--stages``) is a GRPO step that trains everything, with float32 weights and AdamW.

A stage that is done is a line of ``OUT/results.jsonl``; the same command again does what is missing. One that
fails is a line too (``failed``) and is tried again. ``seconds`` is the last of ``1 + repeats`` runs. Memory: on a
GPU what torch allocated, on a CPU what became resident after the imports; ``estimate_gib`` is the same from
:mod:`rft3d.cost.estimate`, as ``rft3d estimate`` prints it. Stop tokens are ignored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from full_model.files import architecture, write_published
from full_model.meter import GIB, Meter, Results, line_of

from rft3d.cost import estimate
from rft3d.cost.estimate import Pass, QuestionSize
from rft3d.cost.sizes import sizes_of
from rft3d.models import Policy, load_policy
from rft3d.models.generate import Asked, Sampling
from rft3d.models.kv_cache import PrefixCache
from rft3d.models.prefix import Row, pack
from rft3d.models.start import set_formats
from rft3d.prompts import Prompt
from rft3d.rewards import Part, Score
from rft3d.tasks.types import Sample
from rft3d.training.advantages import assign_advantages
from rft3d.training.config import LoRAConfig, MemoryConfig, OptimConfig, Plan, RFTConfig, SFTConfig
from rft3d.training.data import Corpus, Item
from rft3d.training.engine import Engine
from rft3d.training.lora import merge_lora
from rft3d.training.rollout import Rollouts
from rft3d.training.sft import update_on
from rft3d.training.update import forward_logps, update_policy

QUESTION = "Detect the 3D bounding boxes in the camera coordinate system of the first frame. " * 2
PHASES = ("encode", "prefill", "greedy", "sft", "rollout", "grpo", "attention")
GREEDY = 16


@dataclass(frozen=True)
class Setting:
    frames: int
    group: int
    completion: int

    def __str__(self) -> str:
        return f"{self.frames} frames G={self.group} C={self.completion}"


class Endless(Policy):
    """Never stops: completions have the length that is asked for."""

    @property
    def stop_ids(self) -> frozenset[int]:
        return frozenset()


class Paid:
    """A task that only scores; every other completion earns."""

    name = "paid"

    def __init__(self) -> None:
        self.count = 0

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        self.count += 1
        return Score((Part("paid", float(self.count % 2), ""),))


# --------------------------------------------------------------------------------------------------- stages
class Run:
    """What the stages share: files, policy, the settings' questions."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out = args, args.out
        self.device = torch.device(args.device)
        self.model_folder: Path = args.model or args.out / "model"
        self.scratch = self.model_folder.parent
        self.results = Results(args.out)
        self.meter = Meter(self.device, args.repeats)
        self.config = architecture(args.tiny)
        self.sizes = sizes_of(self.config.to_dict())
        self.size = (60, 80) if args.tiny else (480, 640)
        self._policy: Policy | None = None
        self._corpus: dict[int, Corpus] = {}
        self.lora = LoRAConfig(rank=16, alpha=32)
        self.memory = MemoryConfig(gradient_checkpointing=True)
        self.plan = Plan(precision="bf16")

    # ---- what stages need
    @property
    def policy(self) -> Policy:
        if self._policy is None:
            self._policy = self.load(self.model_folder)
        return self._policy

    def load(self, folder: Path) -> Policy:
        loaded = load_policy(folder, str(self.device), dtype=torch.bfloat16)
        size = 70 if self.args.tiny else loaded.frame_size
        return Endless(loaded.model, loaded.tokenizer, size, {}, backbone=loaded.backbone)

    def clip(self, frames: int) -> list[Any]:
        rng = np.random.default_rng(frames)
        return [rng.integers(0, 255, (*self.size, 3), dtype=np.uint8) for _ in range(frames)]

    def corpus(self, setting: Setting) -> Corpus:
        """One question about one clip; its gold answer has ``setting.completion`` tokens."""
        if setting.frames not in self._corpus:
            policy, frames = self.policy, setting.frames
            (features,) = policy.encode([self.clip(frames)])
            text = "<image>" * frames + QUESTION
            prompt = policy.row(Prompt(text, frames), features.grid)
            sample = Sample("0", "paid", "0", tuple(map(str, range(frames))), text, {})
            answer = tuple(policy.answer_ids("x" * (setting.completion - 1)))
            split = len(prompt.prefix) - len(policy.tokenizer.encode(QUESTION, add_special_tokens=False))
            self._corpus[frames] = Corpus([features], {"paid": [[Item(0, sample, prompt, answer, split)]]})
        return self._corpus[setting.frames]

    def question(self, setting: Setting) -> QuestionSize:
        (item,) = self.corpus(setting).items("paid")[:]
        features = self.corpus(setting).features[0]
        patches = int(features.grid[0].prod())
        text = len(item.prompt.prefix) - len(features.vision) - 2 * setting.frames
        return QuestionSize(setting.frames, patches, text, setting.completion, setting.completion)

    @property
    def weights_bytes(self) -> float:
        return 2.0 * (self.sizes.trained + self.sizes.frozen)

    # ---- stages without a setting
    def write(self) -> dict[str, Any]:
        written, row = self.meter.measure(
            lambda: write_published(self.model_folder, self.config, self.device, self.args.vocabulary)
        )
        return row | {"gigabytes": round(written / 1e9, 3)}

    def load_stage(self) -> dict[str, Any]:
        self._policy, row = self.meter.measure(lambda: self.load(self.model_folder))
        return row | {"estimate_gib": self.weights_bytes / GIB}

    def save(self) -> dict[str, Any]:
        """Save, forget, reload: the same log-probabilities to the last bit."""
        setting = Setting(min(self.args.frames), 1, GREEDY)
        (item,) = self.corpus(setting).items("paid")[:]
        packed = pack([Row(item.prompt.prefix, item.prompt.positions, [item.answer], [len(item.answer)])], 0)
        features = self.corpus(setting).features

        def logps() -> torch.Tensor:
            with torch.no_grad():
                return self.policy.model(packed.to(self.device), list(features)).logps.cpu()

        before, folder = logps(), self.scratch / "saved"

        def work() -> None:
            self.policy.save(folder)
            self._policy = None
            self._policy = self.load(folder)

        repeats, self.meter.repeats = self.meter.repeats, 0
        _, row = self.meter.measure(work)
        self.meter.repeats = repeats
        if not torch.equal(before, logps()):
            raise AssertionError("a reloaded model has other log-probabilities")
        for file in folder.iterdir():
            file.unlink()
        return row | {"estimate_gib": self.weights_bytes / GIB, "equal": True}

    def detect(self) -> dict[str, Any]:
        """The command, in a process of its own; the peak is not this process's, so none is given."""
        from PIL import Image

        clip = self.args.clip
        if clip is None:
            clip = self.scratch / "clip"
            clip.mkdir(exist_ok=True)
            for i, frame in enumerate(self.clip(4)):
                Image.fromarray(frame).save(clip / f"{i:03}.png")
        self._policy = None
        self._corpus.clear()
        if self.meter.cuda:
            torch.cuda.empty_cache()
        command = [
            sys.executable, "-m", "rft3d", "detect", str(clip), "--model", str(self.model_folder),
            "--max-new-tokens", str(GREEDY), "--out", str(self.scratch / "detect"), "--device", self.device.type,
        ]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-600:])
        tokens = json.loads(done.stdout).get("tokens")
        return {"seconds": round(time.perf_counter() - began, 2), "peak_gib": 0.0, "tokens": tokens}

    # ---- stages of a setting
    def encode(self, setting: Setting) -> dict[str, Any]:
        policy = self.policy
        images = policy.prepare(self.clip(setting.frames))[None].to(self.device)
        _, row = self.meter.measure(lambda: policy.model.encode(images))
        q = self.question(setting)
        peak = self.weights_bytes + estimate.encode_memory(self.sizes, {"paid": q}, 1)
        return row | {"estimate_gib": peak / GIB, "flops": estimate.encode_flops(self.sizes, q)}

    def prefill(self, setting: Setting) -> dict[str, Any]:
        corpus, policy = self.corpus(setting), self.policy
        (item,) = corpus.items("paid")[:]
        packed = pack([Row(item.prompt.prefix, item.prompt.positions, [], [])], 0).to(self.device)
        layers = len(policy.model.model.language_model.layers)

        def work() -> Any:
            with torch.no_grad():
                cache = PrefixCache(layers, packed.layout.prefix_valid, 1)
                return policy.model.prefill(packed, list(corpus.features), cache)

        _, row = self.meter.measure(work)
        length = len(item.prompt.prefix)
        text = self.sizes.text  # what one layer makes at the worst moment, in bf16; nothing is kept
        peak = self.weights_bytes + length * (3 * text.intermediate + 4 * text.hidden) * 2.0
        peak += estimate.kv_bytes(self.sizes, length, "bf16")
        flops = estimate.forward_flops(self.sizes, Pass(1, length, 0, 0, 0)) + self.sizes.text.head_flops(1)
        return row | {"estimate_gib": peak / GIB, "flops": flops, "prompt_tokens": length}

    def greedy(self, setting: Setting) -> dict[str, Any]:
        corpus, policy = self.corpus(setting), self.policy
        (item,) = corpus.items("paid")[:]
        sampling = Sampling(GREEDY, 0.0)
        found, row = self.meter.measure(
            lambda: policy.sample([Asked(item.prompt, corpus.features[0], "0")], 1, sampling)
        )
        assert len(found[0][0].tokens) == GREEDY
        return row

    def sft(self, setting: Setting) -> dict[str, Any]:
        corpus = self.corpus(setting)
        config = SFTConfig(
            2 + self.args.repeats, 1, {"paid": 1}, {"paid": 1.0}, optim=OptimConfig(lr=1e-5), memory=self.memory,
            lora=self.lora,
        )  # fmt: skip
        cost = estimate.stage_cost("sft", config, {"paid": self.question(setting)}, self.sizes, self.plan)
        chosen = {"paid": corpus.items("paid")[:]}
        with self.engine(config) as engine:
            metrics, row = self.meter.measure(lambda: update_on(engine, corpus, chosen, config, 0))
        phase = sum(cost.memory.values()) + sum(cost.phases["update"].values())
        return row | {"estimate_gib": phase / GIB, "flops": cost.flops["update"], "loss": metrics[0]["loss"]}

    def rft(self, setting: Setting) -> RFTConfig:
        return RFTConfig(
            2 + self.args.repeats, {"paid": 1}, setting.group, {"paid": setting.completion}, loss="grpo",
            skip_zero_advantage=False, optim=OptimConfig(lr=1e-5), memory=self.memory, lora=self.lora,
        )  # fmt: skip

    def rollout(self, setting: Setting) -> dict[str, Any]:
        config = self.rft(setting)
        found, row = self.meter.measure(lambda: self.sample(config, setting))
        q = self.question(setting)
        cost = estimate.stage_cost("rft", config, {"paid": q}, self.sizes, self.plan)
        peak = self.weights_bytes + sum(cost.phases["rollout"].values())  # no adapters are there yet
        self.groups = (setting, found)
        flops = cost.flops["prefill"] + cost.flops["decode"]
        return row | {
            "estimate_gib": peak / GIB,
            "flops": flops,
            "ms_a_token": row["seconds"] / setting.completion * 1e3,
        }

    def sample(self, config: RFTConfig, setting: Setting) -> Any:
        corpus, tasks = self.corpus(setting), {"paid": Paid()}
        rollouts = Rollouts(self.policy, tasks, corpus, config)  # type: ignore[arg-type]
        groups = rollouts.rollout({"paid": corpus.items("paid")[:]}, 0)
        return assign_advantages(groups, config, self.policy.tokenizer)

    groups: tuple[Setting | None, Any] = (None, None)

    def grpo(self, setting: Setting) -> dict[str, Any]:
        """The update on what ``rollout`` sampled; how far log-probabilities of sampling and training are apart."""
        config, corpus = self.rft(setting), self.corpus(setting)
        if self.groups[0] != setting:
            self.groups = (setting, self.sample(config, setting))
        groups = self.groups[1]
        cost = estimate.stage_cost("rft", config, {"paid": self.question(setting)}, self.sizes, self.plan)
        with self.engine(config) as engine:
            gap = logp_gap(self.policy, corpus, groups)
            step = iter(range(10))
            metrics, row = self.meter.measure(
                lambda: update_policy(engine, corpus, groups, config, None, next(step))
            )
        phase = sum(cost.memory.values()) + sum(cost.phases["update"].values())
        told = {
            "estimate_gib": phase / GIB,
            "flops": cost.flops["update"],
            "grad_norm": metrics[0]["grad_norm"],
        }
        return row | told | gap

    def attention(self, setting: Setting) -> dict[str, Any]:
        """One layer's suffixes against [prefix | own], forward and backward: keys and values once for all queries
        of a head's group (as the engine does) and repeated for every head."""
        text, g, c = self.sizes.text, setting.group, setting.completion
        q = self.question(setting)
        dim, length = text.q // text.heads, q.prompt + c
        heads, kv = text.heads, text.kv // dim

        def tensor(count: int, tokens: int) -> torch.Tensor:
            made = torch.randn(g, count, tokens, dim, device=self.device, dtype=torch.bfloat16)
            return made.requires_grad_()

        query, key, value = tensor(heads, c), tensor(kv, length), tensor(kv, length)
        causal = torch.ones(c, c, dtype=torch.bool, device=self.device).tril()
        mask = F.pad(causal, (q.prompt, 0), value=True)[None, None].expand(g, 1, -1, -1)

        def work(repeated: bool) -> None:
            k, v = (x.repeat_interleave(heads // kv, 1) if repeated else x for x in (key, value))
            F.scaled_dot_product_attention(query, k, v, mask, enable_gqa=not repeated).sum().backward()

        _, row = self.meter.measure(lambda: work(False))
        _, other = self.meter.measure(lambda: work(True))
        return row | {"repeated_seconds": other["seconds"], "repeated_peak_gib": round(other["peak_gib"], 3)}

    def full(self, setting: Setting) -> dict[str, Any]:
        """A GRPO step that trains everything: float32 weights and moments, bf16 by autocast."""
        self.lora = LoRAConfig()
        set_formats(self.policy, torch.bfloat16, torch.float32)
        config, corpus = self.rft(setting), self.corpus(setting)
        groups = self.sample(config, setting)
        cost = estimate.stage_cost("rft", config, {"paid": self.question(setting)}, self.sizes, self.plan)
        step = iter(range(10))
        with self.engine(config) as engine:
            _, row = self.meter.measure(
                lambda: update_policy(engine, corpus, groups, config, None, next(step))
            )
        phase = sum(cost.memory.values()) + sum(cost.phases["update"].values())
        return row | {"estimate_gib": phase / GIB, "flops": cost.flops["update"]}

    def engine(self, config: SFTConfig | RFTConfig) -> Any:
        return _Trained(self, config)

    # ---- all of them
    def stages(self) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
        """Name and work of every stage, in order."""
        settings = [Setting(f, self.args.group, self.args.completion) for f in sorted(self.args.frames)]
        each = [
            (f"{phase} {s}", lambda phase=phase, s=s: getattr(self, phase)(s))
            for s in settings
            for phase in PHASES
        ]
        rest = [("save", self.save), ("detect", self.detect)]
        full = [(f"full {s}", lambda s=s: self.full(s)) for s in settings]
        wanted = self.args.stages
        chosen = [("write", self.write), ("load", self.load_stage), *each, *rest, *full]
        if wanted:
            return [(name, work) for name, work in chosen if name.split()[0] in wanted]
        return chosen[: -len(full)]

    def run(self) -> int:
        failed, too_large = 0, ""
        facts = {"where": where(self.device), "tiny": self.args.tiny}
        print(json.dumps(facts))
        for name, work in self.stages():
            if name in self.results.done:
                print(line_of(self.results.done[name]) + "  (done before)")
                continue
            if too_large and name.split()[0] == too_large:
                continue  # a larger setting of what did not fit
            began = time.time()
            try:
                row = work()
            except (RuntimeError, ValueError, AssertionError, OSError, TypeError, AttributeError) as error:
                row = {"failed": f"{type(error).__name__}: {str(error).strip()[-500:]}"}
                failed += 1
                if isinstance(error, torch.OutOfMemoryError):
                    too_large = name.split()[0]
                if self.meter.cuda:
                    torch.cuda.empty_cache()
            self.results.add({"stage": name, **row, "where": facts["where"], "at": round(began)})
        return 1 if failed else 0


class _Trained:
    """An engine for a stage; afterwards the model is plain again, with merged adapters."""

    def __init__(self, run: Run, config: SFTConfig | RFTConfig) -> None:
        self.run, self.config = run, config

    def __enter__(self) -> Engine:
        c = self.config
        self.made = Engine(self.run.policy, c.optim, c.steps, lora=c.lora, memory=c.memory)
        self.made.network.train()
        return self.made

    def __exit__(self, *_: object) -> None:
        model = self.run.policy.model
        self.made.placement.optimizers.clear()
        model.zero_grad(set_to_none=True)
        self.made.finish()
        if self.config.lora.rank:
            merge_lora(model)
        self.made.accelerator.free_memory()
        model.eval()


def logp_gap(policy: Policy, corpus: Corpus, groups: Sequence[Any]) -> dict[str, float]:
    """Distance of the sampled tokens' log-probabilities from the packed forward's, nats."""
    with torch.no_grad():
        packed, _, _ = forward_logps(policy.model, policy, corpus, groups, 1.0)
    sampled = torch.tensor([p for g in groups for c in g.completions for p in c.logps])
    gap = (packed.float().cpu() - sampled).abs()
    return {"logp_gap_mean": round(float(gap.mean()), 6), "logp_gap_max": round(float(gap.max()), 5)}


def where(device: torch.device) -> str:
    name = (
        torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    return f"{name}, torch {torch.__version__}, transformers {transformers.__version__}"


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of results.jsonl")
    parser.add_argument("--model", type=Path, help="where the weights are, or are written; default OUT/model")
    parser.add_argument("--vocabulary", type=Path, help="qwen.tiktoken (PyPI: dashscope); default: bytes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--frames", type=int, nargs="+", help="default: 4; on a GPU 4 10 24 32")
    parser.add_argument("--group", type=int, help="completions of a prompt; default: 2; on a GPU 8")
    parser.add_argument("--completion", type=int, help="tokens of one; default: 16; on a GPU 300")
    parser.add_argument("--repeats", type=int, help="runs after the first; default: 0; on a GPU 1")
    parser.add_argument("--stages", nargs="+", help="only these, e.g. write load grpo (and full)")
    parser.add_argument("--clip", type=Path, help="video or folder for detect; default: noise")
    parser.add_argument("--tiny", action="store_true", help="thousands of weights: does the code run?")
    args = parser.parse_args(argv)
    cuda = args.device == "cuda"
    args.frames = args.frames or ([4, 10, 24, 32] if cuda else [4])
    args.group, args.completion = args.group or (8 if cuda else 2), args.completion or (300 if cuda else 16)
    args.repeats = args.repeats if args.repeats is not None else int(cuda)
    return args


def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    if args.device == "cuda" and not torch.cuda.is_available():
        print(
            "full_size: no CUDA device (torch.cuda.is_available() is False); without --device it runs on the CPU"
        )
        return 2
    return Run(args).run()


if __name__ == "__main__":
    raise SystemExit(main())
