"""E9, E6, bf16: how often what runs, mixed tasks with ragged prompts in one step, and half precision."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.equality.two_ranks import RUNS, TASKS, setting
from tests.tiny import make_policy, sampled_groups

from rft3d.models import Policy
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.prefix import Row, pack
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.rollout import Group
from rft3d.training.update import micro_batches, update_policy


def rft(name: str = "rft-kl", **changes: object) -> RFTConfig:
    config = RUNS[name]
    assert isinstance(config, RFTConfig)
    return replace(config, **changes)  # type: ignore[arg-type]


def sampled(policy: Policy, corpus: Corpus, config: RFTConfig) -> list[Group]:
    return sampled_groups(policy, TASKS, corpus, config)


def test_encoders_run_once_a_scene_and_frames_are_prepared_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through rollout, old, reference and current log-probabilities of several updates and steps."""
    count: Counter[str] = Counter()
    prepare = Policy.prepare

    def counted(policy: Policy, frames: Sequence[object]) -> torch.Tensor:
        count["prepared"] += len(frames)
        return prepare(policy, frames)  # type: ignore[arg-type]

    monkeypatch.setattr(Policy, "prepare", counted)
    built = make_policy

    def watched(*args: object, **kwargs: object) -> Policy:
        policy = built(*args, **kwargs)  # type: ignore[arg-type]
        policy.model.model.visual.register_forward_pre_hook(
            lambda _, args, kwargs: count.update(vision=len(kwargs["grid_thw"])), with_kwargs=True
        )
        policy.model.geometry_net.register_forward_pre_hook(
            lambda _, args: count.update(geometry=args[0].shape[0] * args[0].shape[1])
        )
        return policy

    monkeypatch.setattr("tests.equality.two_ranks.make_policy", watched)
    policy, corpus = setting()
    frames = sum(len(f.grid) for f in corpus.features)
    train_rft(policy, TASKS, corpus, rft(), tmp_path, Watch(Console(file=io.StringIO())))
    assert count == {"prepared": frames, "vision": frames, "geometry": frames}


def test_prompts_run_once_a_pass() -> None:
    """P tokens of each prompt in the rollout, P + G C in an update's forward; nothing is repeated G times."""
    policy, corpus = setting()
    config = rft(beta=0.0, updates_per_rollout=1, skip_zero_advantage=False)
    lengths: list[tuple[int, int]] = []
    policy.model.model.language_model.register_forward_pre_hook(
        lambda _, args, kwargs: lengths.append(tuple(kwargs["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    groups = sampled(policy, corpus, config)
    prompts = sorted(len(g.item.prompt.prefix) for g in groups)
    assert len(set(prompts)) > 1 and len({g.task for g in groups}) == 2, "ragged prompts, mixed tasks"
    prefilled = [rows for rows, tokens in lengths if tokens > 1]
    assert sum(prefilled) == len(groups), "each prompt is prefilled once"
    assert max(tokens for _, tokens in lengths) == prompts[-1]
    lengths.clear()
    engine = Engine(policy, config.optim, 1)
    engine.step = lambda step: 0.0  # type: ignore[method-assign]
    update_policy(engine, corpus, groups, config, None, 0)
    wanted = [
        len(g.item.prompt.prefix) + len(g.completions) * max(len(c.tokens) for c in g.completions)
        for batch in micro_batches(groups, config)
        for g in batch.groups
    ]
    assert lengths == [(1, tokens) for tokens in wanted]


def test_mixed_tasks_and_ragged_prompts_in_one_step_equal_one_group_at_a_time() -> None:
    gradients: list[dict[str, torch.Tensor]] = []
    for micro_groups in (1, 4):
        policy, corpus = setting()
        config = rft(beta=0.0, updates_per_rollout=1, micro_groups=micro_groups, loss="dapo")
        engine = Engine(policy, config.optim, 1)
        engine.step = lambda step: 0.0  # type: ignore[method-assign]
        update_policy(engine, corpus, sampled(policy, corpus, config), config, None, 0)
        gradients.append(
            {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
        )
    one, four = gradients
    assert one.keys() == four.keys() and max(float(g.abs().max()) for g in one.values()) > 1e-3
    for name in one:
        torch.testing.assert_close(one[name], four[name], atol=1e-9, rtol=1e-6)


# ------------------------------------------------------------------------------------- bf16


def scored_rows(
    policy: Policy, rows: Sequence[Row], features: Sequence[FrozenFeatures]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities, and the gradient of their weighted sum, as one vector."""
    policy.model.zero_grad()
    logps = policy.model(pack(rows, policy.pad_id), list(features)).logps
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()
    grads = [p.grad.float().flatten() for p in policy.model.parameters() if p.grad is not None]
    return logps.detach(), torch.cat(grads)


def test_bfloat16_is_no_noisier_packed_than_with_another_batch_size() -> None:
    """By distribution: rounding differs, so numbers can't be equal; dense rows re-batched are the measure."""
    policy, corpus = setting()
    policy.model.float()
    config = rft(beta=0.0, group_size=8)
    groups = sampled(policy, corpus, config)[:3]
    features = [corpus.features[g.item.scene] for g in groups]
    packed, dense, dense_features = [], [], []
    for group, own in zip(groups, features, strict=True):
        prompt, tokens = group.item.prompt, [c.tokens for c in group.completions]
        packed.append(Row(prompt.prefix, prompt.positions, tokens, [len(t) for t in tokens]))
        dense += [Row(prompt.prefix, prompt.positions, [t], [len(t)]) for t in tokens]
        dense_features += [own] * len(tokens)
    exact, exact_grad = scored_rows(policy, packed, features)
    policy.model.bfloat16()
    ours, ours_grad = scored_rows(policy, packed, features)
    together, dense_grad = scored_rows(policy, dense, dense_features)
    halves = [scored_rows(policy, [r], [f])[0] for r, f in zip(dense, dense_features, strict=True)]
    rebatched = float((together - torch.cat(halves)).abs().mean())
    to_truth = [float((x - exact).abs().mean()) for x in (ours, together)]
    assert to_truth[0] < 1.5 * to_truth[1] + 1e-3
    assert float((ours - together).abs().mean()) <= 2 * rebatched + 1e-3
    cosine = torch.nn.functional.cosine_similarity
    assert float(cosine(ours_grad, dense_grad, 0)) > 0.999
    ours_off, dense_off = (1 - float(cosine(g, exact_grad, 0)) for g in (ours_grad, dense_grad))
    assert ours_off < 1.5 * dense_off + 1e-4
