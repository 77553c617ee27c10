"""Stage 2: GRPO. A group (one prompt, G completions) is the unit of everything."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from rft3d.models.fusion import SpatialQwen
from rft3d.models.policy import Policy
from rft3d.models.prefix import Row, pack
from rft3d.tasks.types import Task
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine, tracking_in
from rft3d.training.losses import policy_loss, sequence_weights
from rft3d.training.rollout import Group, rollout, rollout_metrics, step_prompts
from rft3d.training.runs import MetricsLog, drop_after, progress


def reference_copy(model: SpatialQwen) -> SpatialQwen:
    """A frozen copy of the language model and merger that *shares* the frozen encoders."""
    shared: list[torch.nn.Module] = [model.model.visual]
    if model.config.use_geometry_encoder:
        shared.append(model.geometry_encoder)
    reference = copy.deepcopy(model, {id(module): module for module in shared})
    return reference.requires_grad_(False).eval()


@dataclass(frozen=True)
class MicroBatch:
    """Groups that go through the model together, with one weight and advantage per token."""

    groups: Sequence[Group]
    weights: Tensor
    advantages: Tensor
    old_logps: Tensor | None
    ref_logps: Tensor | None


def micro_batches(groups: Sequence[Group], config: RFTConfig) -> list[MicroBatch]:
    """Cut a step's groups; the weights come from *all* groups, so the cut does not matter.

    Groups of one task stand together (their lengths are alike), longest first inside a task.
    """
    by_task: dict[str, list[Group]] = {}
    for group in groups:
        by_task.setdefault(group.task, []).append(group)
    batches: list[MicroBatch] = []
    for task, mine in by_task.items():
        lengths = [[len(c.tokens) for c in g.completions] for g in mine]
        weights = sequence_weights(lengths, config.loss, config.max_new_tokens[task])
        factor = config.task_weights.get(task, 1.0) * len(mine) / len(groups)
        kept = [
            (g, w)
            for g, w in zip(mine, weights, strict=True)
            if not (config.skip_zero_advantage and config.beta == 0 and g.silent)
        ]
        kept.sort(key=lambda pair: -max(len(c.tokens) for c in pair[0].completions))
        for at in range(0, len(kept), config.micro_groups):
            chunk = kept[at : at + config.micro_groups]
            token_weights = [
                factor * w
                for g, ws in chunk
                for w, c in zip(ws, g.completions, strict=True)
                for _ in c.tokens
            ]
            advantages = [a for g, _ in chunk for row in g.advantages for a in row.tolist()]
            batches.append(
                MicroBatch(
                    [g for g, _ in chunk],
                    torch.tensor(token_weights),
                    torch.tensor(advantages).float(),
                    None,
                    None,
                )
            )
    return batches


def forward_logps(
    network: torch.nn.Module, policy: Policy, corpus: Corpus, groups: Sequence[Group], temperature: float
) -> tuple[Tensor, Tensor, int]:
    """Log-probabilities and entropies of the completions' tokens, in group order, and tokens run."""
    rows = [
        Row(
            g.item.prompt.prefix,
            g.item.prompt.positions,
            [c.tokens for c in g.completions],
            [len(c.tokens) for c in g.completions],
        )
        for g in groups
    ]
    packed = pack(rows, policy.pad_id).to(policy.device)
    scored = network(packed, [corpus.features[g.item.scene] for g in groups], temperature=temperature)
    return scored.logps, scored.entropy, packed.input_ids.numel()


def update_policy(
    engine: Engine,
    corpus: Corpus,
    groups: Sequence[Group],
    config: RFTConfig,
    reference: SpatialQwen | None,
    step: int,
) -> tuple[dict[str, float], int]:
    """One or more optimizer steps on a rollout; returns metrics and the tokens run."""
    batches = micro_batches(groups, config)
    metrics = {"kl": 0.0, "clip_share": 0.0, "loss": 0.0, "entropy": 0.0, "trained_groups": 0.0}
    tokens = 0
    if not batches:
        return metrics, tokens
    metrics["trained_groups"] = float(sum(len(b.groups) for b in batches))
    policy = engine.policy
    batches, counted = _with_fixed_logps(batches, policy, corpus, config, reference)
    tokens += counted
    total_weight = float(sum(b.weights.sum() for b in batches))
    for update in range(config.updates_per_rollout):
        sums = dict.fromkeys(("kl", "clip_share", "loss", "entropy"), 0.0)
        for batch in batches:
            logps, entropy, count = forward_logps(
                engine.network, policy, corpus, batch.groups, config.temperature
            )
            tokens += count
            weights = batch.weights.to(logps.device)
            result = policy_loss(
                logps,
                logps.detach() if batch.old_logps is None else batch.old_logps,
                batch.advantages.to(logps.device),
                weights,
                batch.ref_logps,
                config.beta,
                config.epsilon,
                config.epsilon_high,
            )
            engine.backward(result.loss)
            share = float(weights.sum()) / total_weight
            sums["loss"] += float(result.loss.detach())
            sums["kl"] += float(result.kl) * share
            sums["clip_share"] += float(result.clip_share) * share
            sums["entropy"] += float((entropy * weights).sum()) / total_weight
        metrics |= sums
        metrics["grad_norm"] = engine.step(step * config.updates_per_rollout + update)
    return metrics, tokens


def _with_fixed_logps(
    batches: list[MicroBatch],
    policy: Policy,
    corpus: Corpus,
    config: RFTConfig,
    reference: SpatialQwen | None,
) -> tuple[list[MicroBatch], int]:
    """Add what stays fixed during the updates: sampling and reference log-probabilities."""
    tokens = 0
    out: list[MicroBatch] = []
    for batch in batches:
        old = ref = None
        with torch.no_grad():
            if config.updates_per_rollout > 1:
                old, _, n = forward_logps(policy.model, policy, corpus, batch.groups, config.temperature)
                tokens += n
            if reference is not None:
                ref, _, n = forward_logps(reference, policy, corpus, batch.groups, config.temperature)
                tokens += n
        out.append(MicroBatch(batch.groups, batch.weights, batch.advantages, old, ref))
    return out, tokens


def train_rft(
    policy: Policy,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    config: RFTConfig,
    folder: Path,
    console: Console,
    title: str = "RFT",
    reference: SpatialQwen | None = None,
    on_step: Callable[[int], None] | None = None,
    trackers: Sequence[str] = (),
) -> int:
    """Train ``policy`` in place; resumes from ``folder``. Returns the tokens that went through the model.

    ``reference`` is the SFT policy for the KL term; by default a copy of ``policy`` as it is given (so
    give the stage-1 policy, also when resuming: the checkpoint is loaded after the copy is made).
    """
    if config.beta > 0 and reference is None:
        reference = reference_copy(policy.model)
    tracking = tracking_in(folder, trackers, title)
    engine = Engine(policy, config.optim, config.steps * config.updates_per_rollout, tracking)
    start = engine.resume(folder / "checkpoints")
    log = MetricsLog(folder / "metrics.jsonl", start)
    drop_after(folder / "samples.jsonl", start)
    tokens = 0
    with progress(console, title, config.steps, start) as update:
        for step in range(start, config.steps):
            began = time.perf_counter()
            policy.model.eval()
            groups = rollout(policy, tasks, corpus, step_prompts(corpus, config, step), config, step)
            sampled = time.perf_counter()
            engine.network.train()
            metrics, count = update_policy(engine, corpus, groups, config, reference, step)
            if not math.isfinite(metrics["loss"]):
                raise FloatingPointError(f"{title}: the loss became {metrics['loss']} at step {step}")
            tokens += count + sum(len(c.tokens) for g in groups for c in g.completions)
            metrics |= rollout_metrics(groups)
            metrics |= {"seconds": time.perf_counter() - began, "rollout_seconds": sampled - began}
            log.write(step + 1, metrics)
            engine.track(metrics, step + 1)
            if config.log_samples_every and step % config.log_samples_every == 0:
                _log_samples(folder / "samples.jsonl", step + 1, groups)
            update(step + 1, f"reward {metrics['reward']:.3f}")
            if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
                engine.save(folder / "checkpoints", step + 1)
            if on_step is not None:
                on_step(step + 1)
    engine.finish()
    policy.model.eval()
    return tokens


def _log_samples(path: Path, step: int, groups: Sequence[Group]) -> None:
    """The first group of every task: raw texts and reward parts."""
    with path.open("a", encoding="utf-8") as file:
        for task in dict.fromkeys(g.task for g in groups):
            group = next(g for g in groups if g.task == task)
            texts = [
                {
                    "text": t,
                    "reward": round(s.total, 4),
                    "parts": {p.name: round(p.value, 4) for p in s.parts},
                }
                for t, s in zip(group.texts, group.scores, strict=True)
            ]
            file.write(json.dumps({"step": step, "id": group.item.sample.id, "completions": texts}) + "\n")
