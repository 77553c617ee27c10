"""Procedural rooms drawn again, by their seed: pictures for the trackers, depth for the report's scenes.

Neither is kept while a run goes on: the trackers want a few pictures, the report a few point clouds, and a
room is drawn in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.evaluation import with_cameras
from rft3d.report.overlay import paint_answer
from rft3d.scenes import RoomConfig, make_room
from rft3d.scenes.folder import read_scene, write_scene
from rft3d.scenes.images import load_rgb
from rft3d.scenes.sources import frame_refs
from rft3d.tasks import Task
from rft3d.training.data import Item
from rft3d.training.rollout_log import Painter


def room_painter(tasks: Mapping[str, Task], config: RoomConfig) -> Painter:
    """Draws an answer about a training room over its frames, ``(H, W, 3)`` uint8, for the trackers."""

    def paint(item: Item, text: str) -> NDArray[np.uint8]:
        sample = item.sample
        room = make_room(_seed(sample.scene), config)
        refs = frame_refs(room)
        pictures = [load_rgb(room.frames[refs.index(ref)]) for ref in sample.frames]
        return paint_answer(with_cameras(sample, room, refs), tasks[sample.task], pictures, text)

    return paint


def add_depth(folders: Sequence[Path], config: RoomConfig) -> None:
    """Write the depth pictures of these scene folders of rooms; those that have depth are left alone."""
    for folder in folders:
        kept = read_scene(folder)
        if all(frame.depth is not None for frame in kept.frames):
            continue
        room = make_room(_seed(kept.id), config)
        frames = tuple(
            replace(frame, depth=drawn.depth) for frame, drawn in zip(kept.frames, room.frames, strict=True)
        )
        write_scene(replace(kept, frames=frames), folder)


def _seed(scene: str) -> int:
    return int(scene.removeprefix("rooms-"))
