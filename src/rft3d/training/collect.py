"""A step's groups from all ranks, and more of them when too many teach nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from rft3d.models.prefix import Row
from rft3d.tasks.types import Task
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus, Item
from rft3d.training.distributed import unsharded
from rft3d.training.engine import Engine
from rft3d.training.rollout import Group, refill_prompts, rollout, scaled_by_task, step_prompts


@dataclass(frozen=True)
class Collected:
    """What a step sampled.

    Attributes:
        drawn: the groups of the step's own prompts: what the policy's reward is measured on.
        trained: the groups to learn from; other ones only with dynamic sampling.
        sampled: how many groups were sampled in all.
    """

    drawn: list[Group]
    trained: list[Group]
    sampled: int

    def metrics(self, config: RFTConfig) -> dict[str, float]:
        """Of groups left out and made up for; nothing where all are kept."""
        if not config.dynamic_sampling and config.beats_greedy is None:
            return {}
        return {
            "dynamic/sampled_groups": float(self.sampled),
            "dynamic/dropped_groups": float(self.sampled - len(self.trained)),
        }


def collect(
    engine: Engine, tasks: Mapping[str, Task], corpus: Corpus, config: RFTConfig, step: int
) -> Collected:
    """The groups of ``step``; those that teach nothing (:meth:`Group.teaches`) are dropped and made up for.

    Every round of ``config.dynamic_sampling`` asks as many further prompts as groups are missing (DAPO,
    arXiv 2503.14476). What is still missing after the last round stays missing; if no group of the step
    teaches anything, all are kept.
    """
    prompts = step_prompts(corpus, config, step)
    drawn = rollout_of_all_ranks(engine, tasks, corpus, config, step, prompts)
    kept, sampled = list(drawn), len(drawn)
    if config.dynamic_sampling or config.beats_greedy is not None:
        kept, sampled = _refilled(engine, tasks, corpus, config, step, prompts, drawn)
    return Collected(scaled_by_task(drawn, config), scaled_by_task(kept, config), sampled)


def _refilled(
    engine: Engine,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    config: RFTConfig,
    step: int,
    prompts: Mapping[str, Sequence[Item]],
    drawn: Sequence[Group],
) -> tuple[list[Group], int]:
    """Groups that teach something, task by task in the order of the prompts, and how many were sampled."""
    kept, sampled = [g for g in drawn if g.teaches(config)], len(drawn)
    seen = Counter(item.sample.id for items in prompts.values() for item in items)
    for attempt in range(config.dynamic_sampling):
        have = Counter(g.task for g in kept)
        missing = {task: len(items) - have[task] for task, items in prompts.items()}
        if not any(missing.values()):
            break
        more = refill_prompts(corpus, config, step, attempt, missing, seen)
        fresh = rollout_of_all_ranks(engine, tasks, corpus, config, step, more)
        kept += [g for g in fresh if g.teaches(config)]
        sampled += len(fresh)
    ordered = [g for task in prompts for g in kept if g.task == task]
    return ordered or list(drawn), sampled


def rollout_of_all_ranks(
    engine: Engine,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    config: RFTConfig,
    step: int,
    prompts: Mapping[str, Sequence[Item]],
) -> list[Group]:
    """A group for each prompt, sampled on the rank that owns it, in the same order on every rank."""
    ranks = engine.ranks
    with unsharded(engine.policy.model):
        mine = {task: ranks.mine(items) for task, items in prompts.items()}
        own = rollout(engine.policy, tasks, corpus, mine, config, step)
    if ranks.world == 1:
        return own
    nobody = replace(own[0].item, prompt=Row((), torch.zeros(3, 0), [], [])) if own else None
    plain = {t: [replace(g, item=nobody) for g in own if g.task == t] for t in prompts}
    everyone = ranks.gather_by_task(prompts, plain)  # without the prompts: every rank knows them
    return [
        replace(group, item=item)
        for task, items in prompts.items()
        for item, group in zip(items, everyone[task], strict=True)
    ]
