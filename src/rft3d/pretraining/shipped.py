"""How the weights that the package ships are made: tokenizer, encoders, SFT, on endless rooms.

    rft3d train recipes/weights/rooms.py          # or: make weights

Each stage is resumable and leaves ``metrics.jsonl``. One core or one GPU; the numbers of a step are the same
function of (seed, step) on both.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rft3d.models import Policy, TinyConfig, build_tiny, load_policy
from rft3d.models.generate import Sampling
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.tokens import train_tokenizer
from rft3d.scenes import CATE20, WORLDS, make_room
from rft3d.scenes.rooms import PALETTE
from rft3d.tasks import TASKS
from rft3d.pretraining.alignment import match_scales, name_classes
from rft3d.training.config import OptimConfig
from rft3d.training.data import item_of
from rft3d.pretraining.encoders import DenseHeads, dense_losses
from rft3d.pretraining.endless import TASK_OPTIONS, Batch, Replay, RoomMix, endless
from rft3d.training.engine import build_optimizers, optimizers_of, set_rates
from rft3d.training.runs import MetricsLog
from rft3d.training.finite import require_finite


@dataclass(frozen=True)
class StageConfig:
    """One stage of training on endless rooms."""

    steps: int
    batches: int = 1
    """Batches of rooms in a step."""
    optim: OptimConfig = OptimConfig(name="muon", lr=5e-3, muon_lr=0.05, weight_decay=0.0)
    frames: tuple[int, ...] = (4,)
    """Encoders only: frames of a clip that are seen, one number a step in turn."""
    task_weights: Mapping[str, float] = None  # type: ignore[assignment]
    reuse: int = 1
    keep: int = 600
    minutes: float = 0.0
    """Stop after this time, the schedule shortened to fit (0: after ``steps``)."""
    save_every: int = 250
    measure_at: tuple[float, ...] = ()
    """Shares of the stage after which held-out rooms are answered."""
    head_steps: int = 0
    """Encoders only: first steps in which only the throw-away heads learn (when the encoders were trained before)."""
    seed: int = 0


def make_tokenizer(rooms: Mapping[str, int], options: Mapping[str, Mapping[str, Any]]) -> Any:
    """A tokenizer from the prompts and answers of some rooms of each world."""
    texts: list[str] = []
    for world, count in rooms.items():
        for seed in range(5_000_000, 5_000_000 + count):
            scene = make_room(seed, WORLDS[world])
            refs = [f"rooms:{seed}/{k}" for k in range(len(scene.frames))]
            for name in options:
                if name == "spatial" and world == "dense":
                    continue
                task = TASKS[name](**options[name])
                for sample in task.samples(scene, refs, seed):
                    texts += [sample.prompt, task.gold(sample)]
    return train_tokenizer(texts, [*CATE20, *PALETTE, "large", "small"])


def images_of(batch: Batch, frames: Sequence[int] | None = None) -> Tensor:
    """``(B, S, 3, H, W)`` in [0, 1]."""
    pictures = batch.images if frames is None else batch.images[:, list(frames)]
    return pictures.permute(0, 1, 4, 2, 3).float() / 255


class _Stage:
    """Steps with a schedule, a log and checkpoints; ``body`` makes the gradients and returns metrics."""

    def __init__(
        self, folder: Path, config: StageConfig, modules: nn.ModuleDict, optimizers: list[Any], title: str
    ) -> None:
        self.folder, self.config, self.title = folder, config, title
        self.modules, self.optimizers = modules, optimizers
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "state.pt"
        self.start = 0
        if self.file.is_file():
            state = torch.load(self.file, map_location="cpu", weights_only=True)
            modules.load_state_dict(state["modules"])
            for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
            self.start = state["step"]
        self.log = MetricsLog(folder / "metrics.jsonl", self.start, config.steps)

    def _save(self, step: int) -> None:
        state = {
            "modules": self.modules.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": step,
        }
        torch.save(state, self.file.with_suffix(".tmp"))
        self.file.with_suffix(".tmp").rename(self.file)

    def run(
        self,
        body: Callable[[int], dict[str, float]],
        measure: Callable[[int], dict[str, float]] | None = None,
    ) -> int:
        config = self.config
        parameters = [p for o in self.optimizers for g in o.param_groups for p in g["params"]]
        began = time.monotonic()
        step, bad = self.start, 0
        marks = sorted(config.measure_at)
        while step < config.steps:
            at = time.monotonic()
            along = step / config.steps
            if config.minutes:
                along = max(along, (at - began) / 60 / config.minutes)
                if along >= 1:
                    break
            metrics = body(step)
            norm = torch.nn.utils.clip_grad_norm_(parameters, config.optim.max_grad_norm)
            set_rates(self.optimizers, _rate(config.optim, along, step))
            if not bool(norm.isfinite()):
                bad += 1
                print(f"{self.title} {step}: gradient is not finite ({bad})", flush=True)
                if bad > 20:
                    raise ValueError(f"{self.title}: 20 updates in a row were not finite")
                for optimizer in self.optimizers:
                    optimizer.zero_grad(set_to_none=True)
                continue
            bad = 0
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            step += 1
            due = bool(marks) and along >= marks[0]
            if due:
                marks.pop(0)
            if step % 10 == 0 or due or step == config.steps:
                metrics = {k: float(v) for k, v in metrics.items()} | {"grad_norm": float(norm), "along": along}
                require_finite(step - 1, metrics)
                if due and measure:
                    metrics |= measure(step)
                self.log.write(step, metrics | {"seconds": time.monotonic() - at, "clock": at - began})
                if step % 100 == 0 or due:
                    shown = " ".join(f"{k}={v:.3f}" for k, v in metrics.items())
                    print(f"{self.title} {step} {at - began:.0f}s {shown}", flush=True)
            if step % config.save_every == 0:
                self._save(step)
        self._save(step)
        if measure:
            metrics = measure(step)
            self.log.write(step, metrics | {"clock": time.monotonic() - began})
            print(self.title, step, " ".join(f"{k}={v:.3f}" for k, v in metrics.items()), flush=True)
        return step


def _rate(optim: OptimConfig, along: float, step: int) -> float:
    """Share of the peak rate: 50 steps of warm-up, then a cosine to ``final``."""
    shape = 0.5 * (1 + math.cos(math.pi * along)) if optim.schedule == "cosine" else 1.0
    if optim.schedule == "linear":
        shape = 1 - along
    return min(1.0, (step + 1) / 50) * (optim.final + (1 - optim.final) * shape)


def train_encoders(policy: Policy, batches: Replay, config: StageConfig, folder: Path) -> dict[str, float]:
    """Train both encoders in place, align them with the text embeddings, freeze them."""
    model = policy.model
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        heads = DenseHeads(model.lm_head.in_features, 2 * model.vggt.config.embed_dim, len(CATE20) + 1)
    heads.to(policy.device)
    modules = nn.ModuleDict({"vision": model.model.visual, "geometry": model.vggt, "heads": heads})
    modules.requires_grad_(True)
    model.vggt.aggregator.patch_embed.mask_token.requires_grad_(False)
    named = {n: p for n, p in modules.named_parameters() if p.requires_grad}
    optimizers = optimizers_of(named, config.optim, lambda name: "blocks." in name)
    stage = _Stage(folder, config, modules, optimizers, "encoders")

    def body(step: int) -> dict[str, Any]:
        count = config.frames[step % len(config.frames)]
        generator = np.random.Generator(np.random.Philox(key=[config.seed, step]))
        metrics: dict[str, Any] = {}
        for _ in range(config.batches):
            batch, _new = batches.next()
            others = generator.choice(np.arange(1, batch.images.shape[1]), count - 1, replace=False)
            frames = [0, *sorted(int(i) for i in others)]
            labels = {k: v[:, frames].float() for k, v in batch.dense.items()}
            modules["vision"].requires_grad_(step >= config.head_steps)
            modules["geometry"].requires_grad_(step >= config.head_steps)
            model.vggt.aggregator.patch_embed.mask_token.requires_grad_(False)
            losses = dense_losses(model, heads, images_of(batch, frames), labels)
            loss = losses["class"] + losses["point"] + losses["box"] + 0.5 * losses["patch_class"]
            (loss / config.batches).backward()
            for name, value in losses.items():
                metrics[name] = metrics.get(name, 0.0) + value.detach() / config.batches
        return metrics

    stage.run(body)
    model.freeze_encoders()
    batch, _ = batches.next()
    with torch.no_grad():
        match_scales(policy, model.encode(images_of(batch)), 1.0, 2.0)
        name_classes(policy, heads.classes.weight, CATE20)
    return {}


def train_sft(
    policy: Policy,
    batches: Replay,
    config: StageConfig,
    folder: Path,
    measure: Callable[[int], dict[str, float]] | None = None,
) -> None:
    """Train everything but the encoders on gold answers of all tasks."""
    model = policy.model
    model.freeze_encoders()
    optimizers = build_optimizers(model, config.optim)
    trained = nn.ModuleDict({"language": model.model.language_model, "geometry": model.geometry_merger})
    stage = _Stage(folder, config, trained, optimizers, "sft")
    weights = dict(config.task_weights or {})
    model.train()

    def body(step: int) -> dict[str, Any]:
        metrics: dict[str, Any] = {}
        for _ in range(config.batches):
            batch, new = batches.next()
            features = model.encode(images_of(batch))
            for task, (packed, rows) in batch.packed.items():
                mine = [features[i] for i in rows.tolist()]
                logps = model(packed.to(policy.device), mine).logps
                loss = -logps.mean()
                (weights.get(task, 1.0) / config.batches * loss).backward()
                key = f"{'new' if new else 'seen'}/{batch.world}/{task}"
                metrics[key] = loss.detach()
        return metrics

    stage.run(body, measure)
    model.eval()


class Exam:
    """Greedy answers to held-out rooms of each world: official metrics, from the bare model in memory."""

    def __init__(self, policy: Policy, rooms: int, first: int, tasks: Sequence[str], worlds: Sequence[str]) -> None:
        self.policy, self.parts = policy, []
        for world in worlds:
            scenes = [make_room(seed, WORLDS[world]) for seed in range(first, first + rooms)]
            for name in tasks:
                if name == "spatial" and world == "dense":
                    continue
                options = dict(TASK_OPTIONS[name]) | {"max_per_scene": 3, "max_per_type": 1, "decimals": 1}
                known = TASKS[name].__dataclass_fields__
                task = TASKS[name](**{k: v for k, v in options.items() if k in known})
                samples = [
                    (i, s)
                    for i, scene in enumerate(scenes)
                    for s in task.samples(scene, [f"r:{i}/{k}" for k in range(4)], first + i)
                ]
                self.parts.append((world, name, task, scenes, samples))

    @torch.no_grad()
    def __call__(self, step: int) -> dict[str, float]:
        policy, out = self.policy, {}
        policy.model.eval()
        for world, name, task, scenes, samples in self.parts:
            images = torch.stack([torch.from_numpy(np.stack([f.rgb for f in s.frames])) for s in scenes])
            features = policy.model.encode(images.permute(0, 1, 4, 2, 3).float().to(policy.device) / 255)
            items = [item_of(policy, task, i, s, features[i].grid.cpu()) for i, s in samples]
            limit = {"detection": 520 if world == "dense" else 240, "grounding": 40, "spatial": 12}[name]
            done = policy.sample(
                [i.prompt for i in items],
                [features[i.scene] for i in items],
                [i.key for i in items],
                1,
                Sampling(limit, 0.0, decode="eager"),
            )
            texts = [policy.text_of(c[0]) for c in done]
            scores = [task.score(t.text, s, t.truncated) for t, (_, s) in zip(texts, samples, strict=True)]
            metric = task.metric([s for _, s in samples], scores)
            for key in ("f1@0.25", "f1@0.25/micro", "precision@0.25/micro", "recall@0.25/micro", "mean_iou",
                        "acc@0.25", "acc@0.5", "micro", "macro8"):
                if metric.get(key) is not None:
                    out[f"exam/{world}/{name}/{key}"] = float(metric[key])
        policy.model.train()
        return out
