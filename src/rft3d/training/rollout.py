"""Sample groups, score them with their tasks, turn totals into advantages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rft3d.models.generate import Completion, Sampling
from rft3d.models.policy import Policy
from rft3d.rewards.types import Score
from rft3d.tasks.types import Task
from rft3d.training.advantages import group_advantages, per_token
from rft3d.training.config import RFTConfig
from rft3d.training.credit import object_credit
from rft3d.training.data import Corpus, Item, draw


@dataclass(frozen=True)
class Group:
    """One prompt's completions with their scores; ``advantages[i]`` has one value per token of ``i``."""

    task: str
    item: Item
    completions: Sequence[Completion]
    texts: Sequence[str]
    scores: Sequence[Score]
    advantages: Sequence[NDArray[np.float64]]

    @property
    def silent(self) -> bool:
        """True when no token has an advantage: the group teaches nothing."""
        return all(not np.any(a) for a in self.advantages)


def step_prompts(corpus: Corpus, config: RFTConfig, step: int) -> dict[str, list[Item]]:
    """The prompts of one step, per task; stateless in (seed, step)."""
    chosen: dict[str, list[Item]] = {}
    for index, (task, count) in enumerate(config.prompts_per_step.items()):
        if count:
            items = corpus.items(task)
            pairs = draw(config.seed * 97 + index, step, count, len(items))
            chosen[task] = [items[i] for _, i in pairs]
    return chosen


def rollout(
    policy: Policy,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    prompts: Mapping[str, Sequence[Item]],
    config: RFTConfig,
    step: int,
) -> list[Group]:
    """Sample ``group_size`` completions of every prompt, task by task (lengths differ), and score them."""
    groups: list[Group] = []
    for name, items in prompts.items():
        sampling = Sampling(config.max_new_tokens[name], config.temperature, config.seed * 1_000_003 + step)
        sampled = policy.sample(
            [item.prompt for item in items],
            [corpus.features[item.scene] for item in items],
            [item.sample.id for item in items],
            config.group_size,
            sampling,
        )
        for item, completions in zip(items, sampled, strict=True):
            groups.append(_score(policy, tasks[name], name, item, completions, config))
    return groups


def _score(
    policy: Policy, task: Task, name: str, item: Item, completions: Sequence[Completion], config: RFTConfig
) -> Group:
    generations = [policy.text_of(c) for c in completions]
    scores = [task.score(g.text, item.sample, g.truncated) for g in generations]
    totals = group_advantages([s.total for s in scores], config.scale, config.advantage_eps)
    lengths = [len(c.tokens) for c in completions]
    credit = [
        object_credit(policy.tokenizer, c.tokens, s) if config.object_credit and name == "detection" else None
        for c, s in zip(completions, scores, strict=True)
    ]
    weighted = [None if c is None else [config.object_credit * x for x in c] for c in credit]
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
