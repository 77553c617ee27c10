"""Rooms for training: rendered by worker processes, kept as dense labels and samples."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from rft3d.pretraining.dense import DenseClip, dense_clip
from rft3d.scenes import CATE20, RoomConfig, make_room
from rft3d.tasks import TASKS
from rft3d.tasks.types import Sample, Task

CHUNK = 16


@dataclass(frozen=True)
class TrainingRoom:
    """One rendered room: dense labels for the encoders and samples of every task."""

    clip: DenseClip
    samples: Mapping[str, Sequence[Sample]]


def build_tasks(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Task]:
    """The tasks with these options, in the order of ``TASKS``; tasks without an entry are left out.

    ``spatial-think`` is one more view of the task ``spatial``, with options of its own.
    """
    return {
        name: make(**options[name])
        for task, make in TASKS.items()
        for name in options
        if name.partition("-")[0] == task
    }


def _make(job: tuple[Sequence[int], RoomConfig, Mapping[str, Mapping[str, Any]]]) -> list[TrainingRoom]:
    seeds, config, options = job
    tasks = build_tasks(options)
    rooms = []
    for seed in seeds:
        scene = make_room(seed, config)
        refs = [f"rooms:{seed}/{i}" for i in range(len(scene.frames))]
        samples = {name: task.samples(scene, refs, seed) for name, task in tasks.items()}
        rooms.append(TrainingRoom(dense_clip(scene, CATE20), samples))
    return rooms


def training_rooms(
    seeds: Sequence[int], config: RoomConfig, options: Mapping[str, Mapping[str, Any]], workers: int = 2
) -> Iterator[TrainingRoom]:
    """Rooms of ``seeds``, in order. Deterministic in the arguments, whatever the number of workers."""
    jobs = [(seeds[i : i + CHUNK], config, options) for i in range(0, len(seeds), CHUNK)]
    if workers < 2:
        for job in jobs:
            yield from _make(job)
        return
    # spawn: forking a process that already runs torch's thread pool may dead-lock
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for rooms in pool.map(_make, jobs):
            yield from rooms
