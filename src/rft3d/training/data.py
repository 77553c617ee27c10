"""What training reads: scenes with frozen features and tokenized samples, drawn without state.

A draw is a function of (seed, step) only, so a resumed run sees what an uninterrupted one would.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from rft3d.answers.types import ParseFailure
from rft3d.models.generate import Asked
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.policy import Policy
from rft3d.models.prefix import Row
from rft3d.prompts import IMAGE
from rft3d.rewards.score import Score
from rft3d.tasks.types import Sample, Task

Chosen = TypeVar("Chosen")


@dataclass(frozen=True)
class Item:
    """One tokenized sample: where it belongs, its prompt and its gold answer.

    ``split``: length of what all samples of the same layout share in a scene, up to the last frame. ``draw``: how
    often the sample was drawn before in the same step; without it, both draws would sample the same completions.
    """

    scene: int
    sample: Sample
    prompt: Row
    answer: tuple[int, ...]
    split: int
    draw: int = 0

    @property
    def key(self) -> str:
        """Names this draw in a step; with the step's seed it fixes the random numbers."""
        return f"{self.sample.id}#{self.draw}" if self.draw else self.sample.id


@dataclass(frozen=True)
class Corpus:
    """Scenes with features, and the items of each task.

    ``by_scene[task][scene]`` lists items; ``features[scene]`` belongs to all of them.
    """

    features: Sequence[FrozenFeatures]
    by_scene: Mapping[str, Sequence[Sequence[Item]]]

    def asked(self, item: Item, limit: int) -> Asked:
        """``item``'s prompt with its features, for an answer of at most ``limit`` tokens."""
        return Asked(item.prompt, self.features[item.scene], item.key, limit)

    def items(self, task: str) -> Sequence[Item]:
        """All items of a task, scene after scene."""
        return Flat(self.by_scene[task])

    def samples(self, task: str) -> Iterator[Sample]:
        """The samples of :meth:`items`, without tokenizing what is not tokenized yet."""
        rows = self.by_scene[task]
        if isinstance(rows, LazyRows):
            return (sample for group in rows.samples for sample in group)
        return (item.sample for items in rows for item in items)


class Flat(Sequence[Item]):
    """The items of all scenes one after the other; a scene's are looked at only when one is asked for."""

    def __init__(self, rows: Sequence[Sequence[Item]]) -> None:
        self.rows = rows
        groups = rows.samples if isinstance(rows, LazyRows) else rows
        self.places = [(scene, place) for scene, group in enumerate(groups) for place in range(len(group))]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        scene, place = self.places[index]
        return self.rows[scene][place]


class LazyRows(Sequence[Sequence[Item]]):
    """``rows[scene]``: a task's items, tokenized when a scene is asked for; the latest 256 stay, since tens of
    thousands of prompts of 32 frames (8,000 tokens each) do not fit."""

    def __init__(
        self, policy: Policy, task: Task, samples: Sequence[Sequence[Sample]], grid: Callable[[int], Tensor]
    ) -> None:
        self.policy, self.task, self.samples, self.grid = policy, task, samples, grid
        self.tokenized = lru_cache(256)(self._tokenized)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, scene: int) -> list[Item]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.tokenized(range(len(self))[scene])

    def _tokenized(self, scene: int) -> list[Item]:
        group = self.samples[scene]
        grid = self.grid(scene) if group else torch.zeros(0, 3)
        return [item_of(self.policy, self.task, scene, sample, grid) for sample in group]


def item_of(policy: Policy, task: Task, scene: int, sample: Sample, grid: Tensor) -> Item:
    """``sample`` tokenized, its frames having features of ``grid``; ValueError when its gold is unreadable."""
    end = policy.tokenizer.convert_tokens_to_ids("<|vision_end|>")
    prompt = policy.row(sample.turns(), grid)
    ids = list(prompt.prefix)
    split = len(ids) - ids[::-1].index(end) if IMAGE in sample.prompt else 0  # pyright: ignore[reportArgumentType]
    gold = checked_gold(task, sample)
    return Item(scene, sample, prompt, tuple(policy.answer_ids(gold)), split)


def tokenize(
    policy: Policy,
    tasks: Mapping[str, Task],
    samples: Mapping[str, Sequence[Sequence[Sample]]],
    features: Sequence[FrozenFeatures],
) -> Corpus:
    """Tokenize ``samples[task][scene]``; every gold answer is checked to earn its format mark first.

    Raises:
        ValueError: the task can't read its own gold answer of a sample (a damaged truth).
    """
    layouts: dict[bytes, Tensor] = {}  # most prompts share their positions: a quarter of a corpus's memory

    def sharing(item: Item) -> Item:
        positions = item.prompt.positions
        known = layouts.setdefault(positions.numpy().tobytes(), positions)
        return replace(item, prompt=replace(item.prompt, positions=known))

    by_scene: dict[str, list[list[Item]]] = {name: [] for name in tasks}
    for name, task in tasks.items():
        for scene, group in enumerate(samples[name]):
            grid = features[scene].grid.cpu()
            by_scene[name].append([sharing(item_of(policy, task, scene, each, grid)) for each in group])
    return Corpus(features, by_scene)


def checked_gold(task: Task, sample: Sample) -> str:
    """The gold answer; ValueError naming the sample when it would not earn its format mark."""
    try:
        gold = task.gold(sample)
    except ValueError as error:
        raise ValueError(f"sample {sample.id!r} has no gold answer: {error}") from error
    read = task.parse(gold, sample, "strict")
    if isinstance(read, ParseFailure):
        raise ValueError(
            f"sample {sample.id!r}: its gold answer would earn no format mark ({read.reason}): "
            f"{read.excerpt!r}; mend its truth or leave it out"
        )
    return gold


A_HIT = 0.25
"""What a gold answer must earn in a part that measures overlap: rounding may cost the rest."""
_EXACT = ("format", "accuracy", "exact", "frame", "acc@0.25")


def require_gold(task: Task, samples: Sequence[Sample]) -> None:
    """ValueError naming the first sample whose gold answer does not earn full marks by the task's own rewards. In
    parts that measure overlap (or words in common) full is what rounding leaves: :data:`A_HIT` at least."""
    texts = [checked_gold(task, sample) for sample in samples]
    try:
        scores = task.score_many(texts, samples, [False] * len(samples))
    except ValueError:  # of a truth that is no box: which one?
        scores = [_scored(task, *each) for each in zip(texts, samples, strict=True)]
    for sample, score in zip(samples, scores, strict=True):
        for part in score.parts:
            if not part.value >= (1.0 if part.name in _EXACT else A_HIT):
                raise ValueError(
                    f"sample {sample.id!r}: its gold answer would earn {part.value:.2f} in {part.name} "
                    f"({part.reason}); mend its truth or leave it out"
                )


def _scored(task: Task, text: str, sample: Sample) -> Score:
    try:
        return task.score(text, sample)
    except ValueError as error:
        raise ValueError(f"sample {sample.id!r}: {error}; mend its truth or leave it out") from error


def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """A fixed shuffle of ``range(count)`` for this seed and epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(count)


def draw(seed: int, step: int, per_step: int, count: int) -> list[tuple[int, int]]:
    """``(epoch, index)`` pairs of step ``step`` (0-based): consecutive cuts of the epochs' permutations."""
    if count < 1:
        raise ValueError("there is nothing to draw from (0 items)")
    pairs = []
    for position in range(step * per_step, (step + 1) * per_step):
        epoch, at = divmod(position, count)
        pairs.append((epoch, int(permutation(seed, epoch, count)[at])))
    return pairs


def choose(seed: int, epoch: int, scene: int, items: Sequence[Chosen], count: int) -> list[Chosen]:
    """At most ``count`` of a scene's items, fixed by (seed, epoch, scene)."""
    if len(items) <= count:
        return list(items)
    generator = np.random.Generator(np.random.Philox(key=[seed * 1_000_003 + epoch, scene]))
    return [items[i] for i in sorted(generator.choice(len(items), size=count, replace=False))]


def shared_rows(items: Sequence[Item]) -> list[tuple[int, Row]]:
    """Items of the same scene and layout as ``(scene, row)``: ``[frames | rest of prompt + answer | ...]``,
    answers scored."""
    groups: dict[tuple[int, tuple[int, ...]], list[Item]] = {}
    for item in items:
        groups.setdefault((item.scene, tuple(item.prompt.prefix[: item.split])), []).append(item)
    rows = []
    for (scene, prefix), members in groups.items():
        split = len(prefix)
        suffixes = [[*item.prompt.prefix[split:], *item.answer] for item in members]
        positions = members[0].prompt.positions[:, :split]
        rows.append((scene, Row(prefix, positions, suffixes, [len(item.answer) for item in members])))
    return rows
