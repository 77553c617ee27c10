"""Sample groups, score them with their tasks, turn totals into advantages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rft3d.models.generate import Completion, Sampling
from rft3d.models.policy import Policy
from rft3d.rewards.score import Score
from rft3d.tasks.types import Task
from rft3d.training.advantages import group_advantages, per_token, task_scaled
from rft3d.training.config import RFTConfig
from rft3d.training.credit import token_credit
from rft3d.training.data import Corpus, Item, draw, permutation
from rft3d.training.samplers import sampler


@dataclass(frozen=True)
class Group:
    """One prompt's completions with their scores; ``advantages[i]`` has one value per token of ``i``.

    ``greedy``: the score of the greedy answer, where ``RFTConfig.beats_greedy`` asks for it.
    """

    task: str
    item: Item
    completions: Sequence[Completion]
    texts: Sequence[str]
    scores: Sequence[Score]
    advantages: Sequence[NDArray[np.float64]]
    greedy: Score | None = None

    @property
    def silent(self) -> bool:
        """True when no token has an advantage: the group teaches nothing."""
        return all(not np.any(a) for a in self.advantages)

    def teaches(self, config: RFTConfig) -> bool:
        """Whether to learn from the group, by ``dynamic_sampling`` and ``beats_greedy``."""
        if config.dynamic_sampling and self.silent:
            return False
        if config.beats_greedy is None or self.greedy is None:
            return True
        gain = max(score.total for score in self.scores) - self.greedy.total
        return gain > 0 and gain >= config.beats_greedy


def step_prompts(corpus: Corpus, config: RFTConfig, step: int) -> dict[str, list[Item]]:
    """The prompts of one step, per task; stateless in (seed, step)."""
    chosen: dict[str, list[Item]] = {}
    for index, (task, count) in enumerate(config.prompts_per_step.items()):
        if count:
            items = corpus.items(task)
            pairs = draw(config.seed * 97 + index, step, count, len(items))
            chosen[task] = [items[i] for _, i in pairs]
    return numbered(chosen, Counter())


def numbered(prompts: Mapping[str, Sequence[Item]], seen: Counter[str]) -> dict[str, list[Item]]:
    """``prompts`` with each item's ``draw`` counted; ``seen`` counts samples by id, and is updated."""
    out: dict[str, list[Item]] = {}
    for task, items in prompts.items():
        out[task] = []
        for item in items:
            out[task].append(replace(item, draw=seen[item.sample.id]))
            seen[item.sample.id] += 1
    return out


def refill_prompts(
    corpus: Corpus,
    config: RFTConfig,
    step: int,
    attempt: int,
    missing: Mapping[str, int],
    seen: Counter[str],
) -> dict[str, list[Item]]:
    """``missing[task]`` further prompts of ``step``; those not seen in it first. Stateless like the first."""
    chosen: dict[str, list[Item]] = {}
    for index, task in enumerate(config.prompts_per_step):
        count = missing.get(task, 0)
        if count:
            items = corpus.items(task)
            order = permutation(config.seed * 97 + index + 1_000_003 * (attempt + 1), step, len(items))
            ids = [sample.id for sample in corpus.samples(task)]
            by_use = sorted(order.tolist(), key=lambda i: seen[ids[i]])  # stable
            chosen[task] = [items[by_use[i % len(by_use)]] for i in range(count)]
    return numbered(chosen, seen)


def sampling_seed(config: RFTConfig, step: int) -> int:
    """Seed of 0-based ``step``'s completions; with an item's key and a row it fixes the random numbers."""
    return config.seed * 1_000_003 + step


def rollout(
    policy: Policy,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    prompts: Mapping[str, Sequence[Item]],
    config: RFTConfig,
    step: int,
) -> list[Group]:
    """Sample ``group_size`` completions of every prompt, all of them together, and score them."""
    asked = [(name, item) for name, items in prompts.items() for item in items]
    if not asked:
        return []
    sampling = Sampling(
        temperature=config.temperature,
        seed=sampling_seed(config, step),
        limits=tuple(config.max_new_tokens[name] for name, _ in asked),
        prefill=config.memory.prefill,
    )
    sampled = sampler(config.sampler, policy)(
        policy,
        [item.prompt for _, item in asked],
        [corpus.features[item.scene] for _, item in asked],
        [item.key for _, item in asked],
        config.group_size,
        sampling,
    )
    groups = [
        _score(policy, tasks[name], name, item, completions, config)
        for (name, item), completions in zip(asked, sampled, strict=True)
    ]
    if config.beats_greedy is None:
        return groups
    greedy = sampler(config.sampler, policy)(
        policy,
        [item.prompt for _, item in asked],
        [corpus.features[item.scene] for _, item in asked],
        [item.key for _, item in asked],
        1,
        replace(sampling, temperature=0.0),
    )
    answers = [policy.text_of(completions[0]) for completions in greedy]
    return [
        replace(g, greedy=tasks[g.task].score(answer.text, g.item.sample, answer.truncated))
        for g, answer in zip(groups, answers, strict=True)
    ]


def scaled_by_task(groups: Sequence[Group], config: RFTConfig) -> list[Group]:
    """The groups of all ranks with ``scale="task"`` applied; unchanged for the other scales."""
    if config.scale != "task":
        return list(groups)
    out: dict[int, Group] = {}
    for name in dict.fromkeys(g.task for g in groups):
        mine = [(i, g) for i, g in enumerate(groups) if g.task == name]
        totals = [[s.total for s in g.scores] for _, g in mine]
        alone = config.baseline == "leave_one_out"
        rows_of = task_scaled(totals, config.advantage_eps, leave_one_out=alone)
        for (i, group), scaled in zip(mine, rows_of, strict=True):
            centred = group_advantages([s.total for s in group.scores], "none", leave_one_out=alone)
            # what stands beside the completion's own advantage (credit per object) stays as it is
            shifts = (scaled - centred).tolist()
            rows = [row + shift for row, shift in zip(group.advantages, shifts, strict=True)]
            out[i] = replace(group, advantages=rows)
    return [out[i] for i in range(len(groups))]


def _score(
    policy: Policy, task: Task, name: str, item: Item, completions: Sequence[Completion], config: RFTConfig
) -> Group:
    generations = [policy.text_of(c) for c in completions]
    scores = [task.score(g.text, item.sample, g.truncated) for g in generations]
    totals = group_advantages(
        [s.total for s in scores],
        config.scale,
        config.advantage_eps,
        leave_one_out=config.baseline == "leave_one_out",
    )
    lengths = [len(c.tokens) for c in completions]
    credit = token_credit(config.credit, policy.tokenizer, [c.tokens for c in completions], scores)
    weighted = [[config.credit_weight * x for x in row] for row in credit]
    flat = per_token(totals.tolist(), lengths, weighted)
    cuts = np.cumsum(lengths)[:-1]
    return Group(name, item, completions, [g.text for g in generations], scores, np.split(flat, cuts))


def rollout_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Reward parts and rates per task, for ``metrics.jsonl``."""
    metrics: dict[str, float] = {}
    every = [s.total for g in groups for s in g.scores]
    metrics["reward"] = float(np.mean(every))
    for name in dict.fromkeys(g.task for g in groups):
        mine = [g for g in groups if g.task == name]
        scores = [s for g in mine for s in g.scores]
        completions = [c for g in mine for c in g.completions]
        metrics[f"reward/{name}"] = float(np.mean([s.total for s in scores]))
        for part in dict.fromkeys(p.name for s in scores for p in s.parts):
            values = [p.value for s in scores for p in s.parts if p.name == part]
            metrics[f"reward/{name}/{part}"] = float(np.mean(values))
        metrics[f"completion_length/{name}"] = float(np.mean([len(c.tokens) for c in completions]))
        metrics[f"truncated/{name}"] = float(np.mean([c.truncated for c in completions]))
        metrics[f"parse_failure/{name}"] = float(np.mean([s.failure is not None for s in scores]))
        spread = [np.ptp([s.total for s in g.scores]) < 1e-12 for g in mine]
        metrics[f"zero_std/{name}"] = float(np.mean(spread))
    return metrics
