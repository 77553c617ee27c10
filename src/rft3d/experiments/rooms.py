"""Training rooms: rendered by worker processes, and drawn again by their seed for pictures and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rft3d.evaluation import with_cameras
from rft3d.experiments.types import Options, task_of
from rft3d.pretraining.dense import DenseClip, dense_clip
from rft3d.pretraining.endless import in_order
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


class _Rooms(Dataset[TrainingRoom]):
    """``rooms[seed]``, rendered when it is asked for."""

    def __init__(self, config: RoomConfig, options: Options) -> None:
        self.config, self.tasks = config, build_tasks(options)

    def __getitem__(self, seed: int) -> TrainingRoom:
        scene = make_room(seed, self.config)
        refs = [f"rooms:{seed}/{i}" for i in range(len(scene.frames))]
        samples = {view: task.samples(scene, refs, seed) for view, task in self.tasks.items()}
        return TrainingRoom(dense_clip(scene, CATE20), samples)


def training_rooms(
    seeds: Sequence[int], config: RoomConfig, options: Options, workers: int = 2
) -> Iterator[TrainingRoom]:
    """Rooms of ``seeds``, in order. Deterministic in the arguments, whatever the number of workers."""
    return in_order(_Rooms(config, options), seeds, workers if workers > 1 and len(seeds) > CHUNK else 0)


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
