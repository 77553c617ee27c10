"""Endless procedural rooms for training: every batch is new, nothing can be learned by heart.

A *batch* holds some rooms of one world, rendered, labelled and tokenized by worker processes; it is a function
of (seed, index) only, so a resumed run sees what an uninterrupted one would.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rft3d.models import Policy, load_policy
from rft3d.models.prefix import Packed, pack
from rft3d.pretraining.dense import DenseClip, dense_clip, stacked
from rft3d.pretraining.hints import hints_of
from rft3d.scenes import CATE20, WORLDS, make_room
from rft3d.scenes.types import Scene
from rft3d.tasks import TASKS
from rft3d.tasks.spatial import Spatial, View
from rft3d.tasks.types import Sample, Task
from rft3d.training.data import Item, choose, item_of, shared_rows

T = TypeVar("T")

FIRST_SEED = 10_000_000
"""Training rooms start here; held-out rooms have smaller seeds."""

TASK_OPTIONS: dict[str, dict[str, Any]] = {
    "detection": {"decimals": 1, "order": "azimuth"},
    "grounding": {"decimals": 1, "target_frame": "first_clear", "max_per_scene": 6},
    "spatial": {"max_per_type": 2},
}
"""One decimal and an order from left to right: what a small model can learn (``docs/log.md``)."""


@dataclass(frozen=True)
class RoomMix:
    """Which rooms a training sees, and what is asked about each."""

    worlds: Mapping[str, int] = field(default_factory=lambda: {"rooms": 6, "easy": 3, "dense": 1})
    """Batches of each world in a round."""
    rooms: int = 64
    """Rooms in a batch."""
    per_room: Mapping[str, Mapping[str, int]] = field(
        default_factory=lambda: {
            "rooms": {"detection": 1, "grounding": 6, "spatial": 14},
            "easy": {"detection": 1, "grounding": 6, "spatial": 14},
            "dense": {"detection": 1, "grounding": 6, "spatial": 0},
        }
    )
    """Samples of each task that a room contributes (finding spatial questions in a dense room takes long)."""
    options: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: TASK_OPTIONS | {"spatial": {"max_per_type": 3}}
    )
    """Many questions a room cost little: its frames are read once."""
    hints: bool = False
    """Whether spatial questions come with what their answers follow from (:mod:`.hints`)."""
    seed: int = 0

    def world(self, index: int) -> str:
        """The world of batch ``index``: the round's worlds, spread evenly."""
        order = sorted(((k + 0.5) / n, w) for w, n in self.worlds.items() for k in range(n))
        return order[index % len(order)][1]

    def seeds(self, index: int) -> range:
        first = FIRST_SEED * (self.seed + 1) + index * self.rooms
        return range(first, first + self.rooms)


@dataclass(frozen=True)
class Batch:
    """Rooms of one world: ``clips`` with a batch dimension first, and of each task the packed gold answers with
    ``(rows,)`` the room of every row. ``hints``: of the spatial questions, when the mix wants them."""

    world: str
    clips: DenseClip
    packed: Mapping[str, tuple[Packed, Sequence[int]]]
    hints: tuple[Tensor, Tensor] | None = None


class RoomBatches(Dataset[Batch]):
    """``batches[i]`` is made when it is asked for; ``policy`` gives the tokenizer and the frame size."""

    def __init__(self, policy: Path, mix: RoomMix, tasks: Sequence[str]) -> None:
        self.folder, self.mix, self.names = policy, mix, tuple(tasks)
        self.policy: Policy | None = None

    def __getitem__(self, index: int) -> Batch:
        if self.policy is None:
            self.policy = load_policy(self.folder)
        mix = self.mix
        world = mix.world(index)
        wanted = mix.per_room[world]
        tasks = {n: TASKS[n](**mix.options[n]) for n in self.names if wanted[n]}
        scenes: list[Scene] = []
        clips: list[DenseClip] = []
        samples: dict[str, list[Sequence[Sample]]] = {n: [] for n in tasks}
        for seed in mix.seeds(index):
            scene = make_room(seed, WORLDS[world])
            scenes.append(scene)
            clips.append(dense_clip(scene, CATE20))
            refs = [f"rooms:{seed}/{k}" for k in range(len(scene.frames))]
            for name, task in tasks.items():
                samples[name].append(task.samples(scene, refs, seed))
        shape = clips[0].rgb.shape
        grid = self.policy.grid(shape[0], shape[1], shape[2])
        packed: dict[str, tuple[Packed, Sequence[int]]] = {}
        hints: tuple[Tensor, Tensor] | None = None
        for name, task in tasks.items():
            items = self._items(task, samples[name], grid, index, wanted[name])
            if not items:
                continue
            rows = shared_rows(items)
            packed[name] = pack([r for _, r in rows], self.policy.pad_id), [room for room, _ in rows]
            if mix.hints and isinstance(task, Spatial):
                views = [View(scene, task.limits) for scene in scenes]
                hints = hints_of(packed[name][0], [(item.sample, views[item.scene]) for item in items])
        return Batch(world, stacked(clips), packed, hints)

    def _items(
        self, task: Task, samples: Sequence[Sequence[Sample]], grid: Tensor, index: int, count: int
    ) -> list[Item]:
        assert self.policy is not None
        return [
            item_of(self.policy, task, room, sample, grid)
            for room, group in enumerate(samples)
            for sample in choose(self.mix.seed, index, room, group, count)
        ]


def endless(
    policy: Path, mix: RoomMix, tasks: Sequence[str], start: int = 0, workers: int = 1
) -> Iterator[Batch]:
    """Batches ``start``, ``start + 1``, ... in order, made ahead by ``workers`` processes (0: in this one)."""
    return in_order(RoomBatches(policy, mix, tasks), range(start, 1 << 40), workers)


def in_order(made: Dataset[T], places: Sequence[int], workers: int) -> Iterator[T]:
    """``made[k]`` for each of ``places``, in order, made ahead by ``workers`` processes of one thread (0: here)."""
    return iter(
        DataLoader(
            made,
            batch_size=None,
            sampler=places,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            multiprocessing_context="spawn" if workers else None,
            worker_init_fn=_one_thread,
        )
    )


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
