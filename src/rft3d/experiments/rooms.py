"""Training rooms: rendered by worker processes, and drawn again by their seed for pictures and the report."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rft3d.evaluation import with_cameras
from rft3d.experiments.types import Options, task_of
from rft3d.pretraining.dense import DenseClip, dense_clip
from rft3d.process import end_with_parent
from rft3d.report.overlay import paint_answer
from rft3d.scenes import CATE20, RoomConfig, make_room
from rft3d.scenes.images import load_rgb
from rft3d.scenes.sources import frame_refs
from rft3d.tasks import Sample, Task, make_task
from rft3d.training.data import Item
from rft3d.training.rollout_log import Painter

CHUNK = 16


@dataclass(frozen=True)
class TrainingRoom:
    """One rendered room: dense labels for the encoders and samples of every view."""

    clip: DenseClip
    samples: Mapping[str, Sequence[Sample]]


def build_tasks(options: Options) -> dict[str, Task]:
    """A task for each view, with these options."""
    return {view: make_task(task_of(view), None, own) for view, own in options.items()}


def _make(job: tuple[Sequence[int], RoomConfig, Options]) -> list[TrainingRoom]:
    seeds, config, options = job
    tasks = build_tasks(options)
    rooms = []
    for seed in seeds:
        scene = make_room(seed, config)
        refs = [f"rooms:{seed}/{i}" for i in range(len(scene.frames))]
        samples = {view: task.samples(scene, refs, seed) for view, task in tasks.items()}
        rooms.append(TrainingRoom(dense_clip(scene, CATE20), samples))
    return rooms


def training_rooms(
    seeds: Sequence[int], config: RoomConfig, options: Options, workers: int = 2
) -> Iterator[TrainingRoom]:
    """Rooms of ``seeds``, in order. Deterministic in the arguments, whatever the number of workers."""
    jobs = [(seeds[i : i + CHUNK], config, options) for i in range(0, len(seeds), CHUNK)]
    if workers < 2 or len(jobs) < 2:
        for job in jobs:
            yield from _make(job)
        return
    # spawn: forking a process that already runs torch's thread pool may dead-lock
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        for rooms in pool.map(_make, jobs):
            yield from rooms


def room_painter(tasks: Mapping[str, Task], config: RoomConfig) -> Painter:
    """Draws an answer about a training room over its frames, ``(H, W, 3)`` uint8, for the trackers."""

    def paint(item: Item, text: str) -> NDArray[np.uint8]:
        sample = item.sample
        room = make_room(_seed(sample.scene), config)
        refs = frame_refs(room)
        pictures = [load_rgb(room.frames[refs.index(ref)]) for ref in sample.frames]
        return paint_answer(with_cameras(sample, room, refs), tasks[sample.task], pictures, text)

    return paint


def _seed(scene: str) -> int:
    return int(scene.removeprefix("rooms-"))
