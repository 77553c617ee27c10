"""Sampling: a step's prompts, their completions and scores. No advantages here (:mod:`rft3d.training.advantages`).

A group is one prompt with G completions. :class:`Rollouts` owns sampling: which prompts a step has (a function
of the seed and the step alone, so a resumed run draws the same), who samples, and on which rank.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rft3d.models.generate import Asked, Completion, Sampling
from rft3d.models.policy import Policy
from rft3d.models.prefix import Row
from rft3d.rewards import Comparison, Score
from rft3d.tasks.types import Task
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus, Item, draw, permutation
from rft3d.training.fsdp2 import unsharded
from rft3d.training.placement import ALONE, Ranks
from rft3d.training.vllm_rollout import VllmSampler


class Sampler(Protocol):
    """What samples completions; :class:`~rft3d.models.policy.Policy` is one itself."""

    def sample(self, asked: Sequence[Asked], per: int, sampling: Sampling) -> list[list[Completion]]:
        """``per`` completions of every prompt, with their log-probabilities.

        Those must be the policy's at ``sampling.temperature`` over the whole vocabulary, with the policy's weights
        of this moment; the completions are the same whenever keys and ``sampling.seed`` are.
        """
        ...


WHOLE_GROUPS = 1000
"""Up to so many groups a step, every rank gets every completion (34 kB a group of 8 of 300 tokens); beyond, only
lengths and scores are sent, and the main process logs its own rollouts. Credit per box needs them whole."""

SAMPLERS: dict[str, Callable[[Policy], Sampler]] = {"own": lambda policy: policy, "vllm": VllmSampler}
"""``RFTConfig.sampler`` by name. ``own``: our decoding loop; prompts run once, all groups decode together."""


@dataclass(frozen=True)
class Group:
    """One prompt's G completions with their texts and scores.

    ``advantages``: one row of values per completion, one value per token; empty until they are assigned.
    ``greedy``: the score of the greedy answer, where ``RFTConfig.beats_greedy`` asks for it. ``owner``: the rank
    that sampled it and trains on it (the features of its clip are there).
    """

    task: str
    item: Item
    completions: Sequence[Completion]
    texts: Sequence[str]
    scores: Sequence[Score]
    advantages: Sequence[NDArray[np.float64]] = ()
    greedy: Score | None = None
    owner: int = 0

    @property
    def light(self) -> bool:
        """Whether only lengths and scores came from another rank, without tokens and texts."""
        return any(isinstance(c.tokens, range) for c in self.completions)

    def lightened(self) -> "Group":
        """What other ranks need of it: how long its completions are and what they earned."""
        lengths: list[Any] = [range(len(c.tokens)) for c in self.completions]
        completions = [Completion(n, n, c.truncated) for n, c in zip(lengths, self.completions, strict=True)]
        scores = [
            replace(s, parts=tuple(replace(p, reason="") for p in s.parts), evidence=None)
            for s in self.scores
        ]
        return replace(self, completions=completions, texts=[""] * len(scores), scores=scores)

    @property
    def totals(self) -> list[float]:
        return [score.total for score in self.scores]

    @property
    def silent(self) -> bool:
        """True when no token has an advantage: the group moves nothing."""
        return all(not np.any(row) for row in self.advantages)

    def teaches(self, config: RFTConfig) -> bool:
        """Whether ``dynamic_sampling`` and ``beats_greedy`` keep the group."""
        if config.dynamic_sampling and not self._differs(config):
            return False
        if config.beats_greedy is None or self.greedy is None:
            return True
        gain = max(self.totals) - self.greedy.total
        return gain > 0 and gain >= config.beats_greedy

    def _differs(self, config: RFTConfig) -> bool:
        """Whether rewards, or boxes with a credit of their own, tell the completions apart."""
        boxes = config.credit != "none" and any(isinstance(s.evidence, Comparison) for s in self.scores)
        values = np.array([[*(part.value for part in s.parts), s.total] for s in self.scores])
        return boxes or bool((np.ptp(values, axis=0) >= 1e-12).any())


@dataclass(frozen=True)
class Collected:
    """What a step sampled: ``sampled`` groups in all. ``drawn``: those of the step's own prompts, what the
    policy's reward is measured on. ``trained``: those to learn from; the same list unless some were left out."""

    drawn: list[Group]
    trained: list[Group]
    sampled: int

    def assigned(self, assign: Callable[[list[Group]], list[Group]]) -> "Collected":
        """With advantages, by ``assign``."""
        drawn, all_kept = assign(self.drawn), self.trained is self.drawn
        return replace(self, drawn=drawn, trained=drawn if all_kept else assign(self.trained))

    def metrics(self) -> dict[str, float]:
        """How many groups were left out or sampled for others; nothing where all are kept."""
        if self.trained is self.drawn:
            return {}
        return {
            "dynamic/sampled_groups": float(self.sampled),
            "dynamic/dropped_groups": float(self.sampled - len(self.trained)),
        }


class Rollouts:
    """Samples and scores the groups of every step.

    Args:
        policy: what is sampled from.
        tasks: by name, they score.
        corpus: prompts and frozen features.
        config: the stage's settings.
        ranks: this process among the others; with several, each samples the prompts it owns.

    Raises:
        ValueError: there is no sampler called ``config.sampler``.
    """

    def __init__(
        self,
        policy: Policy,
        tasks: Mapping[str, Task],
        corpus: Corpus,
        config: RFTConfig,
        ranks: Ranks = ALONE,
    ) -> None:
        if config.sampler not in SAMPLERS:
            raise ValueError(f"sampler is {config.sampler!r}; it must be one of {', '.join(SAMPLERS)}")
        self.policy, self.tasks, self.corpus, self.config, self.ranks = policy, tasks, corpus, config, ranks
        self.sampler = SAMPLERS[config.sampler](policy)

    def collect(self, step: int) -> Collected:
        """The groups of 0-based ``step``; those that teach nothing (:meth:`Group.teaches`) are left out.

        Every round of ``config.dynamic_sampling`` asks as many further prompts as groups are missing (DAPO,
        arXiv 2503.14476). What is still missing after the last round stays missing; if no group of the step
        teaches anything, all are kept.
        """
        config = self.config
        prompts = step_prompts(self.corpus, config, step)
        drawn = self.gathered(prompts, step)
        if not config.dynamic_sampling and config.beats_greedy is None:
            return Collected(drawn, drawn, len(drawn))
        kept, sampled = [g for g in drawn if g.teaches(config)], len(drawn)
        seen = Counter(item.sample.id for items in prompts.values() for item in items)
        for attempt in range(config.dynamic_sampling):
            have = Counter(g.task for g in kept)
            missing = {task: len(items) - have[task] for task, items in prompts.items()}
            if not any(missing.values()):
                break
            fresh = self.gathered(refill_prompts(self.corpus, config, step, attempt, missing, seen), step)
            kept += [g for g in fresh if g.teaches(config)]
            sampled += len(fresh)
        ordered = [g for task in prompts for g in kept if g.task == task]
        return Collected(drawn, ordered or list(drawn), sampled)

    def gathered(self, prompts: Mapping[str, Sequence[Item]], step: int) -> list[Group]:
        """A group for each prompt, sampled on the rank that owns it, in the same order on every rank."""
        dealt = {task: by_length(items) for task, items in prompts.items()}
        shares = {task: self.ranks.mine([prompts[task][i] for i in order]) for task, order in dealt.items()}
        with unsharded(self.policy.model):
            own = self.rollout(shares if self.ranks.world > 1 else prompts, step)
        if self.ranks.world == 1:
            return own
        light = sum(map(len, prompts.values())) > WHOLE_GROUPS and self.config.credit == "none"
        nobody = replace(own[0].item, prompt=Row((), torch.zeros(3, 0), [], [])) if own else None
        plain = [replace(g, item=nobody, owner=self.ranks.rank) for g in own]
        out: list[Group] = []
        for task, items in prompts.items():  # without the prompts: every rank knows them
            mine = iter([g for g in plain if g.task == task])
            sent = [g.lightened() if light else g for g in plain if g.task == task]
            groups = [next(mine) if g.owner == self.ranks.rank else g for g in self.ranks.gather(sent)]
            placed = dict(zip(dealt[task], groups, strict=True))
            out += [replace(placed[i], item=item) for i, item in enumerate(items)]
        return out

    def rollout(self, prompts: Mapping[str, Sequence[Item]], step: int) -> list[Group]:
        """``group_size`` completions of every prompt, all sampled together by this process, and their scores."""
        asked = [(name, item) for name, items in prompts.items() for item in items]
        if not asked:
            return []
        sampled = self._answers(asked, step, self.config.group_size, self.config.temperature)
        groups = [
            Group(name, item, completions, *self._scored(name, item, completions))
            for (name, item), completions in zip(asked, sampled, strict=True)
        ]
        if self.config.beats_greedy is None:
            return groups
        greedy = self._answers(asked, step, 1, 0.0)
        return [
            replace(group, greedy=self._scored(group.task, group.item, one)[1][0])
            for group, one in zip(groups, greedy, strict=True)
        ]

    def _answers(
        self, asked: Sequence[tuple[str, Item]], step: int, per: int, temperature: float
    ) -> list[list[Completion]]:
        config, seed = self.config, sampling_seed(self.config, step)
        sampling = Sampling(temperature=temperature, seed=seed, prefill=config.memory.prefill)
        prompts = [self.corpus.asked(item, config.max_new_tokens[name]) for name, item in asked]
        return self.sampler.sample(prompts, per, sampling)

    def _scored(
        self, name: str, item: Item, completions: Sequence[Completion]
    ) -> tuple[list[str], list[Score]]:
        answers = [self.policy.text_of(completion) for completion in completions]
        scores = [self.tasks[name].score(a.text, item.sample, a.truncated) for a in answers]
        return [a.text for a in answers], scores


def by_task(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups of each task, in their order."""
    return {name: [g for g in groups if g.task == name] for name in dict.fromkeys(g.task for g in groups)}


def by_length(items: Sequence[Item]) -> list[int]:
    """The order in which prompts are dealt to ranks: the longest first, so that every rank gets a like share."""
    return sorted(range(len(items)), key=lambda i: -len(items[i].prompt.prefix))


def sampling_seed(config: RFTConfig, step: int) -> int:
    """Seed of 0-based ``step``'s completions; with an item's key and a row it fixes the random numbers."""
    return config.seed * 1_000_003 + step


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
    corpus: Corpus, config: RFTConfig, step: int, attempt: int, missing: Mapping[str, int], seen: Counter[str]
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


def rollout_metrics(groups: Sequence[Group]) -> dict[str, float]:
    """Reward parts and rates per task, for ``metrics.jsonl``."""
    metrics: dict[str, float] = {}
    every = [s.total for g in groups for s in g.scores]
    metrics["reward"] = float(np.mean(every))
    for name, mine in by_task(groups).items():
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
