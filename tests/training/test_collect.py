"""Prompts of a step, further prompts for silent groups, scaling by task, samplers, held-out samples."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.tiny import Digits, same_weights, sampled_groups, weights_of

from rft3d.models import Policy
from rft3d.models.generate import Asked, Completion, Sampling
from rft3d.rewards import Part, Score
from rft3d.tasks import Task
from rft3d.training.advantages import assign_advantages, task_scaled
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.grpo import train_rft
from rft3d.training.loop import HeldOut, Watch
from rft3d.training.rollout import SAMPLERS, Rollouts, refill_prompts, step_prompts
from rft3d.training.sft import train_sft

TASKS: Mapping[str, Task] = {"digits": Digits("3")}
BASE = RFTConfig(
    4, {"digits": 5}, 4, {"digits": 3}, save_every=1,
    optim=OptimConfig(lr=3e-3, weight_decay=0.0, schedule="constant", warmup=0.1),
)  # fmt: skip


def test_a_prompt_drawn_twice_in_a_step_samples_other_completions(
    new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    config = dataclasses.replace(BASE, prompts_per_step={"digits": 30}, max_new_tokens={"digits": 8})
    items = step_prompts(digits, config, 0)["digits"]
    count = Counter(item.sample.id for item in items)
    assert max(count.values()) == 3 and len({item.key for item in items}) == 30
    groups = sampled_groups(new_speaker(), TASKS, digits, config, 0, {"digits": items})
    by_id: dict[str, list[tuple[object, ...]]] = {}
    for group in groups:
        by_id.setdefault(group.item.sample.id, []).append(tuple(c.tokens for c in group.completions))
    differing = sum(len(set(draws)) > 1 for draws in by_id.values())
    assert differing >= len(by_id) - 2, "short answers may agree by chance, but not everywhere"
    firsts = [item for item in items if item.draw == 0]
    alone = sampled_groups(new_speaker(), TASKS, digits, config, 0, {"digits": firsts})
    together = {g.item.key: g for g in groups}
    assert all(
        [c.tokens for c in g.completions] == [c.tokens for c in together[g.item.key].completions]
        for g in alone
    )


def test_tasks_decode_in_one_batch(
    new_policy: Callable[[], Policy], corpus: Corpus, tasks: Mapping[str, Task]
) -> None:
    policy = new_policy()
    config = RFTConfig(1, {"detection": 3, "spatial": 4}, 3, {"detection": 9, "spatial": 2})
    prompts = step_prompts(corpus, config, 0)
    calls: list[int] = []
    sample = policy.sample
    policy.sample = lambda rows, *rest: calls.append(len(rows)) or sample(rows, *rest)  # type: ignore[method-assign]
    groups = sampled_groups(policy, tasks, corpus, config, 0, prompts)
    assert calls == [7] and [g.task for g in groups] == ["detection"] * 3 + ["spatial"] * 4
    for task in ("detection", "spatial"):
        alone = sampled_groups(policy, tasks, corpus, config, 0, {task: prompts[task]})
        mine = [g for g in groups if g.task == task]
        assert [[c.tokens for c in g.completions] for g in alone] == [
            [c.tokens for c in g.completions] for g in mine
        ]
        assert all(len(c.tokens) <= config.max_new_tokens[task] for g in mine for c in g.completions)


class Sometimes(Digits):
    """Every second prompt pays the same for everything; the rest pay by the text's length in bytes."""

    def score(self, text: str, sample: object, truncated: bool = False) -> Score:
        odd = str(getattr(sample, "id")).endswith("1")  # noqa: B009
        return Score((Part("x", 0.5 if odd else (sum(text.encode()) % 7) / 7, ""),))


def test_silent_groups_are_replaced(new_speaker: Callable[[], Policy], digits: Corpus) -> None:
    config = dataclasses.replace(BASE, dynamic_sampling=6, prompts_per_step={"digits": 4})
    tasks: Mapping[str, Task] = {"digits": Sometimes()}
    rollouts = Rollouts(new_speaker(), tasks, digits, config)
    found = [rollouts.collect(step) for step in range(3)]
    silent = [[len(set(g.totals)) == 1 for g in c.drawn] for c in found]
    assert any(any(row) for row in silent), "the test must have something to replace"
    for collected in found:
        assert len(collected.drawn) == 4 and len(collected.trained) == 4
        assert not any(len(set(g.totals)) == 1 for g in collected.trained)
        assert len({g.item.key for g in collected.trained}) == 4
        metrics = collected.metrics()
        assert metrics["dynamic/sampled_groups"] - metrics["dynamic/dropped_groups"] == 4
    again = rollouts.collect(1)
    keys = [[(g.item.key, [c.tokens for c in g.completions]) for g in c.trained] for c in (again, found[1])]
    assert keys[0] == keys[1], "stateless: a resumed run draws the same"
    off = Rollouts(rollouts.policy, tasks, digits, dataclasses.replace(config, dynamic_sampling=0)).collect(0)
    assert off.trained is off.drawn and not off.metrics()


def test_groups_that_do_not_beat_the_greedy_answer_are_left_out(
    new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    policy = new_speaker()
    plain = dataclasses.replace(BASE, prompts_per_step={"digits": 12}, group_size=8)
    config = dataclasses.replace(plain, beats_greedy=0.5)
    found = Rollouts(policy, TASKS, digits, config).collect(0)
    assert 0 < len(found.trained) < len(found.drawn) == 12
    for group in found.drawn:
        (greedy,) = policy.sample([digits.asked(group.item, 3)], 1, Sampling(temperature=0.0))
        answer = policy.text_of(greedy[0])
        wrong = TASKS["digits"].score(answer.text, group.item.sample, answer.truncated).value("right") < 1
        some = any(score.value("right") == 1 for score in group.scores)
        assert (wrong and some) == (group in found.trained)
    assert found.metrics()["dynamic/dropped_groups"] == 12 - len(found.trained)
    assert Rollouts(policy, TASKS, digits, plain).collect(0).drawn[0].greedy is None


def test_a_step_without_any_signal_keeps_its_groups(
    new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    class Indifferent(Digits):
        def score(self, text: str, sample: object, truncated: bool = False) -> Score:
            return Score(())

    config = dataclasses.replace(BASE, dynamic_sampling=2, steps=1)
    policy = new_speaker()
    train_rft(policy, {"digits": Indifferent()}, digits, config, tmp_path, Watch(console))
    (line,) = [json.loads(text) for text in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert line["dynamic/sampled_groups"] == 15 and line["trained_groups"] == 0
    assert same_weights(weights_of(policy), weights_of(new_speaker()))


def test_refills_prefer_prompts_that_were_not_seen(digits: Corpus) -> None:
    seen = Counter({item.sample.id: 1 for item in digits.items("digits")[:9]})
    fresh = {item.sample.id for item in digits.items("digits")[9:]}
    more = refill_prompts(digits, BASE, 0, 0, {"digits": 5}, seen)["digits"]
    assert {item.sample.id for item in more[:3]} == fresh and [item.draw for item in more[:3]] == [0, 0, 0]
    assert all(item.draw == 1 for item in more[3:])


def test_advantages_scaled_by_the_task(new_speaker: Callable[[], Policy], digits: Corpus) -> None:
    rewards = [[0.0, 1.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5], [0.4, 0.6, 0.4, 0.6]]
    spread = np.std(np.concatenate(rewards), ddof=1) + 1e-4
    for group, found in zip(rewards, task_scaled(rewards), strict=True):
        assert np.allclose(found, (np.array(group) - np.mean(group)) / spread)
    small = task_scaled([[0.01 * x for x in group] for group in rewards], eps=0.0)
    assert np.allclose(small, task_scaled(rewards, eps=0.0)), "narrow rewards weigh as much as wide ones"
    config = dataclasses.replace(BASE, scale="task")
    groups = Rollouts(new_speaker(), TASKS, digits, config).rollout(step_prompts(digits, config, 0), 0)
    assert not any(g.advantages for g in groups), "sampling knows nothing of advantages"
    wanted = task_scaled([g.totals for g in groups])
    assigned = assign_advantages(groups, config, new_speaker().tokenizer)
    for group, rows in zip(assigned, wanted, strict=True):
        assert all(np.allclose(row, value) for row, value in zip(group.advantages, rows, strict=True))


def test_a_second_sampler_is_one_line(
    new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Another sampler that writes the same trains the same; an unknown name is refused before anything is done."""
    asked: list[int] = []

    class Other:
        def __init__(self, policy: Policy) -> None:
            self.policy = policy

        def sample(self, prompts: Sequence[Asked], *rest: Any) -> list[list[Completion]]:
            asked.append(len(prompts))
            return self.policy.sample(prompts, *rest)

    monkeypatch.setitem(SAMPLERS, "other", Other)
    ends = []
    for name in ("own", "other"):
        policy = new_speaker()
        config = dataclasses.replace(BASE, sampler=name, steps=2)
        train_rft(policy, TASKS, digits, config, tmp_path / name, Watch(console))
        ends.append(weights_of(policy))
    assert asked == [5, 5] and same_weights(*ends)
    with pytest.raises(ValueError, match="'mine'; it must be one of own, vllm, other"):
        train_rft(new_speaker(), TASKS, digits, dataclasses.replace(BASE, sampler="mine"), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("stage", ["sft", "rft"])
def test_held_out_samples_are_measured_when_due(
    stage: str, new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    held = HeldOut(digits, {"digits": Digits("3")}, {"digits": 3}, every=2)
    assert [step for step in range(1, 6) if held.due(step, 6)] == [1, 3, 5] and held.due(6, 6)
    watch = Watch(console, held_out=held)
    if stage == "sft":
        sft = SFTConfig(4, 3, {"digits": 2}, {}, OptimConfig(lr=1e-3), save_every=2)
        train_sft(new_speaker(), digits, sft, tmp_path, watch)
    else:
        train_rft(new_speaker(), TASKS, digits, BASE, tmp_path, watch)
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log if "held_out/digits/reward" in line] == [1, 3, 4]
