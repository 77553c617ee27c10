"""Procedural rooms: a seed becomes a furnished room and a short posed clip of it.

A stand-in for scanned rooms wherever real data is missing or too slow: tests, the tiny training runs, the
examples. Deterministic: a seed and a config give the same arrays, whatever was made before.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated

import numpy as np

from rft3d.files import read_json
from rft3d.geometry.rotations import Array
from rft3d.process import in_turn
from rft3d.scenes.rooms._furniture import check_labels
from rft3d.scenes.rooms._layout import RoomLayout, furnish
from rft3d.scenes.rooms._path import camera_path, intrinsics
from rft3d.scenes.rooms._referring import refer
from rft3d.scenes.rooms._render import in_view_share, render, world_parts
from rft3d.scenes.rooms._shell import Shell, finish_room
from rft3d.scenes.types import CATE8, CATE20, Frame, Scene, SceneObject
from rft3d.settings import Bounds, Checked, Count, Share
from rft3d.typed import typed

ATTEMPTS = 24
"""How many layouts of a seed are tried before giving up; each one gets a larger room."""


@dataclass(frozen=True)
class RoomConfig(Checked):
    """What rooms look like.

    Attributes:
        frames: pictures in the clip.
        width, height: pixels of a picture.
        min_objects, max_objects: how much furniture; the number is drawn uniformly from the range.
        labels: the classes that may occur (a subset of ``CATE20``); None for all twenty.
        pan_deg: how far the camera turns over the clip, degrees.
        fov_deg: horizontal field of view, degrees.
        jitter: hand shake of the camera; 0 for a tripod on rails, 1 for a hand.
        camera_variation: how far eye height and pitch differ between clips; 0: always 1.5 m and 17 degrees.
        min_visible: a frame *sees* an object when at least this share of its pixels shows it.
    """

    frames: Count = 4
    width: Count = 168
    height: Count = 112
    min_objects: Count = 3
    max_objects: int = 7
    labels: tuple[str, ...] | None = None
    pan_deg: float = 50.0
    fov_deg: Annotated[float, Bounds(10, 120)] = 65.0
    jitter: float = 1.0
    camera_variation: float = 1.0
    min_visible: Share = 0.0015

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_objects < self.min_objects:
            raise ValueError(
                f"RoomConfig.max_objects must be >= min_objects={self.min_objects}, got {self.max_objects}"
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", check_labels(self.labels))


def read_room_config(file: Path | str) -> RoomConfig:
    """The :class:`RoomConfig` whose fields are in a JSON ``file`` (``world.json`` beside a shipped model).

    Fields that are not there keep their defaults. ValueError: not a JSON object, an unknown field, or a value
    that is refused.
    """
    return typed(RoomConfig, read_json(file), str(file))


_WIDE = RoomConfig(width=252, height=168, pan_deg=60.0, jitter=0.5, camera_variation=0.5)
WORLDS: dict[str, RoomConfig] = {
    "rooms": replace(_WIDE, min_objects=6, max_objects=15),
    "easy": replace(
        _WIDE, min_objects=3, max_objects=5, labels=CATE8, pan_deg=25.0, jitter=0.0, camera_variation=0.0
    ),
    "dense": replace(_WIDE, min_objects=20, max_objects=40),
}
"""The worlds of the shipped model. ``rooms``: 6-15 things of all twenty classes, several of a class, many half
hidden or cut off by the border, as in ScanNet. ``easy``: few large things and a steady camera. ``dense``: 20-40
things, where knowing what to leave out and when to stop counts."""


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """A room before it is drawn: furniture, finish, camera poses ``(F, 4, 4)`` and intrinsics."""

    layout: RoomLayout
    shell: Shell
    T_world_cameras: Array
    K: Array


def plan_room(seed: int, config: RoomConfig | None = None) -> RoomPlan:
    """Everything about room ``seed`` but the pictures. Raises ``ValueError`` as :func:`make_room` does."""
    config = config or RoomConfig()
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    labels = config.labels or CATE20
    for attempt in range(ATTEMPTS):
        # Streams of their own, so that furniture and finish don't depend on the number of frames.
        rng, camera, finish = (Random(f"{part} {seed} {attempt}") for part in ("layout", "camera", "finish"))
        count = rng.randint(config.min_objects, config.max_objects)
        layout = furnish(rng, labels, count, grow=0.25 * attempt)
        if len(layout.placed) < config.min_objects:
            continue
        shake = (config.jitter, config.camera_variation)
        poses = camera_path(camera, layout, config.frames, config.fov_deg, config.pan_deg, shake)
        if poses is None:
            continue
        K = intrinsics(config.width, config.height, config.fov_deg)
        return RoomPlan(layout, finish_room(finish, layout), np.stack(poses), K)
    raise ValueError(
        f"no room of seed {seed} holds {config.min_objects} objects after {ATTEMPTS} tries; "
        "lower RoomConfig.min_objects"
    )


def scene_objects(layout: RoomLayout) -> tuple[SceneObject, ...]:
    """Furniture as records: id = index, box = tight upright box whose x axis is the front."""
    objects = []
    for k, p in enumerate(layout.placed):
        low, high = p.thing.low, p.thing.high
        dx, dy, dz = high[0] - low[0], high[1] - low[1], high[2] - low[2]
        box = np.array([p.x, p.y, p.z + dz / 2, dx, dy, dz, p.yaw, 0.0, 0.0])
        objects.append(SceneObject(k, p.thing.label, box, {"colour": p.thing.colour, "size": p.thing.size}))
    return tuple(objects)


def make_room(seed: int, config: RoomConfig | None = None) -> Scene:
    """Room ``seed`` with its clip.

    Boxes are upright and tight; a box's yaw is the world direction of the object's front (its local +x).
    ``Frame.visible[k]`` is the share of object k's unoccluded pixels that are really visible, times the share
    of its box that lies inside the picture; objects with fewer than ``min_visible`` of the picture's pixels
    are not listed.

    Raises:
        ValueError: negative seed, or a config that no room can satisfy.

    Examples:
        >>> make_room(7).objects[0].label
        'refrigerator'
    """
    config = config or RoomConfig()
    plan, size = plan_room(seed, config), (config.width, config.height)
    pictures = render(world_parts(plan.layout.placed), plan.shell, plan.T_world_cameras, plan.K, *size)
    objects = scene_objects(plan.layout)
    boxes = np.stack([item.box for item in objects])
    shares = in_view_share(boxes, plan.T_world_cameras, plan.K, *size)
    shares *= pictures.seen / np.maximum(pictures.alone, 1)
    enough = max(1, math.ceil(config.min_visible * config.width * config.height))
    seen = pictures.seen.tolist()
    frames = []
    for k, row in enumerate(shares.tolist()):
        pixels = (pictures.rgb[k], pictures.depth[k], pictures.instances[k])
        visible = {i: row[i] for i in range(len(objects)) if seen[k][i] >= enough}
        frames.append(Frame(f"{k:03d}", plan.K, plan.T_world_cameras[k], *size, *pixels, visible))
    x, y = plan.layout.half_x, plan.layout.half_y
    polygon = np.array([[-x, -y], [x, -y], [x, y], [-x, y]])
    expressions = refer(plan.layout, plan.T_world_cameras, seen, enough)
    return Scene(f"rooms-{seed}", "rooms", tuple(frames), objects, expressions, polygon)


def iter_rooms(
    seeds: Iterable[int] = range(8), config: RoomConfig | None = None, workers: int = 2
) -> Iterator[Scene]:
    """The rooms of ``seeds`` in order, made by ``workers`` threads (compiled drawing runs unlocked).

    Holds at most ``2 * workers`` finished rooms in memory.

    Examples:
        >>> [room.id for room in iter_rooms(range(7, 9))]
        ['rooms-7', 'rooms-8']
    """
    return in_turn(partial(make_room, config=config), seeds, workers, threads=True)
