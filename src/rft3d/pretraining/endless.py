"""Endless procedural rooms for training: every batch is new, nothing can be learned by heart.

A *batch* holds some rooms of one world, rendered, labelled and tokenized by worker processes; it is a function
of (seed, index) only, so a resumed run sees what an uninterrupted one would. A fast GPU uses rooms up sooner
than the processors draw them: ``reuse`` says how often each batch is seen.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rft3d.models import Policy, load_policy
from rft3d.models.prefix import Packed, pack
from rft3d.scenes import CATE20, WORLDS, make_room
from rft3d.tasks import TASKS
from rft3d.tasks.types import Sample, Task
from rft3d.training.data import choose, item_of, shared_rows
from rft3d.pretraining.dense import dense_clip

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
            "rooms": {"detection": 1, "grounding": 6, "spatial": 8},
            "easy": {"detection": 1, "grounding": 6, "spatial": 8},
            "dense": {"detection": 1, "grounding": 6, "spatial": 0},
        }
    )
    """Samples of each task that a room contributes (finding spatial questions in a dense room takes long)."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: TASK_OPTIONS)
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
    """Rooms of one world. ``images`` ``(B, S, H, W, 3)`` uint8; ``dense`` labels by name with ``B`` first;
    ``packed`` one packed batch a task, rows in the order of the rooms."""

    index: int
    world: str
    images: Tensor
    dense: Mapping[str, Tensor]
    packed: Mapping[str, tuple[Packed, Tensor]]
    """With each packed batch, ``(rows,)``: the room of every row."""

    def to(self, device: torch.device) -> Batch:
        if device.type == "cpu":
            return self
        return Batch(
            self.index,
            self.world,
            self.images.to(device),
            {k: v.to(device) for k, v in self.dense.items()},
            {k: (p.to(device), rows) for k, (p, rows) in self.packed.items()},
        )


class RoomBatches(Dataset[Batch]):
    """``batches[i]`` is made when it is asked for; ``policy`` gives the tokenizer and the frame size."""

    def __init__(self, policy: Path, mix: RoomMix, tasks: Sequence[str], dense: bool) -> None:
        self.folder, self.mix, self.names, self.dense = policy, mix, tuple(tasks), dense
        self.policy: Policy | None = None

    def __getitem__(self, index: int) -> Batch:
        torch.set_num_threads(1)
        if self.policy is None:
            self.policy = load_policy(self.folder)
        policy, mix = self.policy, self.mix
        world = mix.world(index)
        tasks: dict[str, Task] = {n: TASKS[n](**mix.options[n]) for n in self.names}
        images, labels, samples = [], [], []
        for seed in mix.seeds(index):
            scene = make_room(seed, WORLDS[world])
            clip = dense_clip(scene, CATE20)
            images.append(clip.rgb)
            labels.append(clip)
            refs = [f"rooms:{seed}/{k}" for k in range(len(scene.frames))]
            wanted = mix.per_room[world]
            samples.append({n: t.samples(scene, refs, seed) if wanted[n] else [] for n, t in tasks.items()})
        rgb = np.stack(images)
        grid = policy.grid(rgb.shape[1], *rgb.shape[2:4])
        packed = {}
        for name, task in tasks.items():
            found = self._pack(task, [s[name] for s in samples], grid, index, mix.per_room[world][name])
            if found is not None:
                packed[name] = found
        dense = {}
        if self.dense:
            dense = {
                n: torch.from_numpy(np.stack([getattr(c, n) for c in labels])).half()
                for n in ("points", "boxes", "classes")
            }
        return Batch(index, world, torch.from_numpy(rgb), dense, packed)

    def _pack(
        self, task: Task, samples: Sequence[Sequence[Sample]], grid: Tensor, index: int, count: int
    ) -> tuple[Packed, Tensor] | None:
        assert self.policy is not None
        items = []
        for room, group in enumerate(samples):
            kept = choose(self.mix.seed, index, room, group, count)
            items += [item_of(self.policy, task, room, sample, grid) for sample in kept]
        if not items:
            return None
        rows = shared_rows(items)
        return pack([r for _, r in rows], self.policy.pad_id), torch.tensor([room for room, _ in rows])


def endless(
    policy: Path,
    mix: RoomMix,
    tasks: Sequence[str],
    *,
    device: torch.device,
    start: int = 0,
    dense: bool = False,
    workers: int = 1,
) -> Iterator[Batch]:
    """Batches ``start``, ``start + 1``, ... in order, made ahead by ``workers`` processes (0: in this one)."""
    dataset = RoomBatches(policy, mix, tasks, dense)
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(start, 1 << 40),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_one_thread,
    )
    for batch in loader:
        yield batch.to(device)


def _one_thread(_: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


class Replay:
    """The latest ``keep`` batches: new ones as they come, older ones again in between.

    Args:
        fresh: new batches.
        reuse: how often a batch is seen on average: one new batch, then ``reuse - 1`` older ones drawn by
            ``seed``. 0: a new one whenever the workers have finished one (as fast as the device goes; then
            what a step sees depends on their speed).
    """

    def __init__(self, fresh: Iterator[Batch], reuse: int, keep: int, seed: int) -> None:
        self.fresh, self.reuse, self.seed = fresh, reuse, seed
        self.kept: deque[Batch] = deque(maxlen=keep)
        self.drawn = self.new = 0
        self.ready: queue.Queue[Batch] = queue.Queue(4)
        if not reuse:
            threading.Thread(target=self._fetch, daemon=True).start()

    def _fetch(self) -> None:
        for batch in self.fresh:
            self.ready.put(batch)

    def _take(self) -> Batch | None:
        if self.reuse:
            return next(self.fresh) if self.drawn % self.reuse == 0 else None
        if self.kept and self.ready.empty():
            return None
        return self.ready.get()

    def next(self) -> tuple[Batch, bool]:
        """A batch, and whether it is new."""
        batch = self._take()
        at = self.drawn
        self.drawn += 1
        if batch is not None:
            self.kept.append(batch)
            self.new += 1
            return batch, True
        random = np.random.Generator(np.random.Philox(key=[self.seed, at]))
        return self.kept[int(random.integers(len(self.kept)))], False
