"""Stage 2: the reward rises, resume is exact, and settings that must not matter don't."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.tiny import Digits, farthest, same_weights, sampled_groups, weights_of

from rft3d.models import Policy
from rft3d.models.generate import Completion
from rft3d.rewards import Score, marginal_credit
from rft3d.tasks import Task
from rft3d.training.config import OptimConfig, RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.rollout import Group, rollout_metrics, step_prompts
from rft3d.training.update import micro_batches, update_policy

TASKS: Mapping[str, Task] = {"digits": Digits("3")}
BASE = RFTConfig(
    steps=4,
    prompts_per_step={"digits": 4},
    group_size=4,
    max_new_tokens={"digits": 3},
    optim=OptimConfig(lr=3e-3, weight_decay=0.0, schedule="constant", warmup=0.1),
    save_every=1,
    log_rollouts_every=1,
)


def config(**changes: object) -> RFTConfig:
    return dataclasses.replace(BASE, **changes)  # type: ignore[arg-type]


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ------------------------------------------------------------------------------------- resume


@pytest.mark.parametrize(
    ("changes", "stops"),
    [
        ({}, (1, 2)),
        ({"beta": 0.05, "updates_per_rollout": 2}, (1,)),
        ({"beta": 0.05, "updates_per_rollout": 2}, (2, 3)),
        ({"optim": OptimConfig(name="muon", lr=1e-3, schedule="linear"), "save_every": 2}, (3,)),
        ({"optim": OptimConfig(lr=3e-3, interpolate=0.3)}, (1, 3)),
    ],
)
def test_resume_equals_no_stop(
    changes: dict[str, object],
    stops: Sequence[int],
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    tmp_path: Path,
    console: Console,
    stop_after: Callable[[int], Callable[[int], None]],
    stopped: type[Exception],
) -> None:
    """Bit for bit; with ``beta`` the reference is the policy as the stage got it, not the checkpoint."""
    settings = config(**changes)
    whole = new_speaker()
    train_rft(whole, TASKS, digits, settings, tmp_path / "whole", Watch(console))
    for stop in stops:
        with pytest.raises(stopped):
            train_rft(
                new_speaker(),
                TASKS,
                digits,
                settings,
                tmp_path / "cut",
                Watch(console, on_step=stop_after(stop)),
            )
    resumed = new_speaker()
    train_rft(resumed, TASKS, digits, settings, tmp_path / "cut", Watch(console))
    assert same_weights(weights_of(resumed), weights_of(whole))
    assert not same_weights(weights_of(resumed), weights_of(new_speaker()))
    wall_clock = {"time", "seconds", "rollout_seconds", "watch_seconds"}
    logs = [
        [
            {k: v for k, v in line.items() if k not in wall_clock}
            for line in lines(tmp_path / run / "metrics.jsonl")
        ]
        for run in ("whole", "cut")
    ]
    assert logs[0] == logs[1] and [line["step"] for line in logs[0]] == [1, 2, 3, 4]
    texts = [(tmp_path / run / "rollouts.jsonl").read_text() for run in ("whole", "cut")]
    assert texts[0] == texts[1] and texts[0].count("\n") == 8, "two groups a step, no step twice"


# ------------------------------------------------- settings that change the cost, not the result


def exact(policy: Policy) -> Policy:
    """In float64, with sharp logits: Adam turns the rounding of a zero gradient into a full step."""
    policy.model.double()
    return policy


def train_exactly(
    new_speaker: Callable[[], Policy], digits: Corpus, settings: RFTConfig, folder: Path, console: Console
) -> tuple[Policy, list[dict[str, float]]]:
    policy = exact(new_speaker())
    train_rft(policy, TASKS, digits, settings, folder, Watch(console))
    return policy, lines(folder / "metrics.jsonl")


@pytest.mark.parametrize("loss", ["token", "grpo", "dapo", "dr_grpo", "gspo", "cispo"])
def test_micro_batches_change_nothing(
    loss: str, new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    results = {}
    for groups in (1, 4):
        clip = 0.2 if loss == "dapo" else 0.0
        settings = config(loss=loss, micro_groups=groups, steps=2, beta=0.05, clip_cov=clip)
        results[groups], _ = train_exactly(new_speaker, digits, settings, tmp_path / str(groups), console)
    assert farthest(weights_of(results[1]), weights_of(results[4])) < 1e-6
    assert farthest(weights_of(results[1]), weights_of(exact(new_speaker()))) > 1e-3


def test_skipping_groups_without_advantage_changes_nothing(
    new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    results, trained = {}, {}
    for skip in (True, False):
        settings = config(skip_zero_advantage=skip, steps=3)
        results[skip], log = train_exactly(new_speaker, digits, settings, tmp_path / str(skip), console)
        trained[skip] = [line["trained_groups"] for line in log]
    assert trained[False] == [4, 4, 4]
    assert all(count > 0 for count in trained[True]) and min(trained[True]) < 4, "both kinds must occur"
    assert farthest(weights_of(results[True]), weights_of(results[False])) < 1e-6


def test_silent_groups_still_train_towards_the_reference(
    new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    class Indifferent(Digits):
        def score(self, text: str, sample: object, truncated: bool = False) -> Score:
            return Score(())

    for beta in (0.0, 0.1):
        policy = new_speaker()
        tasks = {"digits": Indifferent()}
        train_rft(policy, tasks, digits, config(beta=beta, steps=1), tmp_path / str(beta), Watch(console))
        (line,) = lines(tmp_path / str(beta) / "metrics.jsonl")
        assert line["trained_groups"] == (4 if beta else 0) and line["zero_std/digits"] == 1
        assert beta or same_weights(weights_of(policy), weights_of(new_speaker()))


# --------------------------------------------------------------------------------- the updates


def sampled(policy: Policy, digits: Corpus, settings: RFTConfig, step: int = 0) -> list[Group]:
    return sampled_groups(policy, TASKS, digits, settings, step)


def test_a_rollout_is_on_policy_and_fixed_by_its_step(
    new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    policy = new_speaker()
    groups = sampled(policy, digits, BASE)
    again = sampled(policy, digits, BASE)
    other = sampled_groups(policy, TASKS, digits, BASE, 1, step_prompts(digits, BASE, 0))
    assert [g.completions for g in groups] == [g.completions for g in again]
    assert [g.completions for g in groups] != [g.completions for g in other]
    for group in groups:
        assert [len(a) for a in group.advantages] == [len(c.tokens) for c in group.completions]
        firsts = np.array([a[0] for a in group.advantages])
        assert abs(firsts.sum()) < 1e-9
        order = np.argsort([s.total for s in group.scores])
        assert (np.diff(firsts[order]) >= 0).all()
    metrics = rollout_metrics(groups)
    totals = [s.total for g in groups for s in g.scores]
    assert metrics["reward"] == metrics["reward/digits"] == pytest.approx(np.mean(totals))
    assert {"reward/digits/format", "reward/digits/right", "truncated/digits", "parse_failure/digits"} < set(
        metrics
    )


def test_first_update_has_no_kl_and_clips_nothing(
    new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    train_rft(new_speaker(), TASKS, digits, config(beta=0.1), tmp_path, Watch(console))
    log = lines(tmp_path / "metrics.jsonl")
    assert log[0]["kl"] == 0 and all(line["kl"] > 1e-5 for line in log[1:])
    assert all(line["clip_share"] == 0 for line in log), "one update a rollout is on-policy"


def test_several_updates_reach_the_clip(new_speaker: Callable[[], Policy], digits: Corpus) -> None:
    settings = config(updates_per_rollout=4, optim=dataclasses.replace(BASE.optim, lr=1e-2))
    policy = new_speaker()
    engine = Engine(policy, settings.optim, 4)
    metrics, _ = update_policy(engine, digits, sampled(policy, digits, settings), settings, None, 0)
    assert metrics["clip_share"] > 0


def test_the_gap_to_the_sampler_is_logged_and_capped_ratios_weigh_tokens(
    new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    """Tokens told to be 1.5 times likelier than they are weigh 1 / 1.5; half as likely, 2, and that is capped."""

    def gradient(shift: float, cap: float) -> tuple[float, torch.Tensor]:
        policy = exact(new_speaker())
        settings = config(importance_cap=cap)
        told = [
            dataclasses.replace(
                g,
                completions=[
                    dataclasses.replace(c, logps=tuple(p + shift for p in c.logps)) for c in g.completions
                ],
            )
            for g in sampled(policy, digits, settings)
        ]
        engine = Engine(policy, settings.optim, 1)
        engine.step = lambda step: 0.0  # type: ignore[method-assign]
        metrics, _ = update_policy(engine, digits, told, settings, None, 0)
        grad = policy.model.lm_head.weight.grad
        assert grad is not None and bool(grad.any())
        return metrics["logp_gap"], grad

    gap, plain = gradient(0.0, 0.0)
    assert gap < 1e-5
    for shift, cap, ratio in ((math.log(1.5), 3.0, 1 / 1.5), (-math.log(2), 1.2, 1.2), (1.0, 0.0, 1.0)):
        gap, weighed = gradient(shift, cap)
        assert gap == pytest.approx(abs(shift), rel=1e-4)
        torch.testing.assert_close(weighed, plain * ratio, rtol=1e-4, atol=1e-7)


def fake_group(task: str, digits: Corpus, lengths: Sequence[int], advantage: float = 1.0) -> Group:
    completions = [Completion(tuple(range(n)), (0.0,) * n, False) for n in lengths]
    advantages = [np.full(n, advantage) for n in lengths]
    return Group(
        task,
        digits.items("digits")[0],
        completions,
        [""] * len(lengths),
        [Score(())] * len(lengths),
        advantages,
    )


@pytest.mark.parametrize("loss", ["token", "grpo", "dapo"])
def test_tasks_share_the_loss_by_groups_and_factors(loss: str, digits: Corpus) -> None:
    """A task's weights sum to its share of the groups times its factor, however long its answers are."""
    groups = [
        fake_group("a", digits, [9, 7]),
        fake_group("b", digits, [1, 2]),
        fake_group("b", digits, [1, 1]),
    ]
    settings = config(loss=loss, task_weights={"b": 0.5}, max_new_tokens={"a": 9, "b": 2}, micro_groups=1)
    sums = {"a": 0.0, "b": 0.0}
    for batch in micro_batches(groups, settings):
        sums[batch.groups[0].task] += float(batch.weights.sum())
    assert sums == pytest.approx({"a": 1 / 3, "b": 0.5 * 2 / 3})


def test_object_credit_reaches_the_tokens_of_a_detection(
    corpus: Corpus,
    new_policy: Callable[[], Policy],
    tasks: Mapping[str, Task],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two equal rewards, one box right in each: only per-object credit tells them apart."""
    policy = new_policy()
    item = max(corpus.items("detection"), key=lambda i: len(i.sample.truth["boxes"]))
    lines_ = tasks["detection"].gold(item.sample).split("\n")
    good, label = lines_[2].rstrip(","), lines_[2].split('"')[3]
    bad = good.replace(label, "nonsense")
    texts = ["\n".join([*lines_[:2], f"{a},", b, *lines_[-1:]]) for a, b in ((good, bad), (bad, good))]
    completions = [
        Completion(tuple(policy.answer_ids(t)), (0.0,) * len(policy.answer_ids(t)), False) for t in texts
    ]
    monkeypatch.setattr(policy, "sample", lambda *_: [completions])
    for weight in (0.0, 0.5):
        settings = config(
            prompts_per_step={"detection": 1},
            max_new_tokens={"detection": 200},
            credit="marginal" if weight else "none",
            credit_weight=weight,
        )
        (group,) = sampled_groups(policy, tasks, corpus, settings, prompts={"detection": [item]})
        assert group.scores[0].total == pytest.approx(group.scores[1].total)
        assert group.silent == (weight == 0)
        if weight:
            first, second = ([v for v in a if v] for a in group.advantages)
            assert first[0] > 0 > first[-1] and second[0] < 0 < second[-1]
            values = marginal_credit(group.scores[0])
            assert sorted({round(v, 9) for v in first}) == pytest.approx(sorted(weight * v for v in values))


@pytest.mark.parametrize("updates", [1, 3])
@pytest.mark.parametrize("loss", ["token", "grpo", "dapo", "dr_grpo", "gspo", "cispo"])
def test_equal_completions_run_once_with_the_same_gradient(
    loss: str,
    updates: int,
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the plain path; with several updates the clip acts, too."""
    settings = config(
        loss=loss,
        temperature=0.5,
        group_size=8,
        updates_per_rollout=updates,
        beta=0.1 if updates > 1 else 0.0,
    )
    ends: list[Policy] = []
    tokens: list[int] = []
    for plain in (False, True):
        policy, reference = exact(new_speaker()), exact(new_speaker()).model
        groups = sampled(policy, digits, settings)
        engine = Engine(policy, settings.optim, updates)
        if plain:
            monkeypatch.setattr("rft3d.training.update.merged", lambda group, weights: (group, list(weights)))
        given = reference if settings.beta else None
        metrics, count = update_policy(engine, digits, groups, settings, given, 0)
        ends.append(policy)
        tokens.append(count)
        assert updates == 1 or metrics["clip_share"] > 0
    assert tokens[0] < tokens[1], "some completions must be equal"
    assert farthest(weights_of(ends[0]), weights_of(ends[1])) < 1e-5, "weights are float32"
    assert farthest(weights_of(ends[0]), weights_of(exact(new_speaker()))) > 1e-4


# ------------------------------------------------------------------------------------ learning


def test_reward_rises(
    new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    """From any digit to the wanted one."""
    settings = config(steps=18, prompts_per_step={"digits": 6}, group_size=8, save_every=100)
    train_rft(new_speaker(), TASKS, digits, settings, tmp_path, Watch(console))
    rewards = [line["reward"] for line in lines(tmp_path / "metrics.jsonl")]
    assert np.mean(rewards[:2]) < 0.25
    assert np.mean(rewards[-3:]) > 0.6


def test_a_loss_that_is_not_finite_stops_the_run(
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    tmp_path: Path,
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backward = Engine.backward
    monkeypatch.setattr(Engine, "backward", lambda engine, loss: backward(engine, loss * float("inf")))
    with pytest.raises(FloatingPointError, match="step 0"):
        train_rft(new_speaker(), TASKS, digits, BASE, tmp_path, Watch(console))
    assert not (tmp_path / "checkpoints").exists()


def test_the_gradient_of_a_group_is_advantage_weighted_log_likelihood(
    new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    """The whole way from groups to gradients, against the plain formula on separate rows."""
    from rft3d.models.prefix import Row, pack

    policy = exact(new_speaker())
    settings = config(loss="grpo", micro_groups=2, skip_zero_advantage=False)
    groups = sampled(policy, digits, settings)
    engine = Engine(policy, settings.optim, 1)
    engine.step = lambda step: 0.0  # type: ignore[method-assign]
    update_policy(engine, digits, groups, settings, None, 0)
    ours = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    policy.model.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for group in groups:
        for completion, advantage in zip(group.completions, group.advantages, strict=True):
            tokens = list(completion.tokens)
            row = Row(group.item.prompt.prefix, group.item.prompt.positions, [tokens], [len(tokens)])
            logps = policy.model(pack([row], policy.pad_id), [digits.features[group.item.scene]]).logps
            total = total - float(advantage[0]) * logps.double().mean() / (
                len(groups) * len(group.completions)
            )
    total.backward()
    assert max(float(g.abs().max()) for g in ours.values()) > 1e-3
    for name, p in policy.model.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(ours[name], p.grad, atol=1e-6, rtol=1e-4)
