"""Training rooms: rendered by worker processes, and drawn again by their seed for pictures and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch.utils.data import Dataset

from rft3d.experiments.types import Options
from rft3d.pretraining.dense import DenseClip, dense_clip
from rft3d.pretraining.endless import in_order
from rft3d.scenes import CATE20, RoomConfig, make_room
from rft3d.tasks import Sample, Task, make_task, task_of

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
