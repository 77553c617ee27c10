"""Endless procedural rooms for training: every batch is new, so nothing can be memorised.

A *batch* holds some rooms of one world, rendered, labelled and tokenized by worker processes; it is a function
of (seed, index) only, so a resumed run sees what an uninterrupted one would.

Its *dense labels* are what the tiny encoders are pre-trained on. VGGT learned point maps, Qwen's tower learned what
things look like; the demo's encoders learn both from rendered rooms: for every 14×14 patch the 3-D point under its
centre and the box of the object there, for every 28×28 token the classes it shows. All in the first camera's frame.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rft3d.geometry import camera_rays, canonical_boxes, invert_pose, transform_boxes, transform_points
from rft3d.models import Policy, load_policy
from rft3d.models.prefix import Packed, pack
from rft3d.pretraining.hints import hints_of
from rft3d.scenes import CATE20, WORLDS, make_room
from rft3d.scenes.images import load_depth, load_instances, load_rgb
from rft3d.scenes.types import Scene
from rft3d.tasks import make_task
from rft3d.tasks.spatial import Spatial, View
from rft3d.tasks.types import Sample
from rft3d.training.data import choose, item_of, shared_rows

T = TypeVar("T")

PATCH = 14
HISTOGRAM_STRIDE = 4
FIRST_SEED = 10_000_000
"""Training rooms start here; held-out rooms have smaller seeds."""

TASK_OPTIONS: dict[str, dict[str, Any]] = {
    "detection": {"decimals": 1, "order": "azimuth"},
    "grounding": {"decimals": 1, "target_frame": "first_clear", "max_per_scene": 6},
    "spatial": {"max_per_type": 2},
}
"""One decimal and an order from left to right: what a small model can learn (``docs/log.md``)."""


@dataclass(frozen=True, eq=False)
class DenseClip:
    """Arrays of one clip of ``S`` frames with ``h × w`` patches.

    Attributes:
        rgb: ``(S, H, W, 3)`` uint8.
        points: ``(S, h, w, 3)`` metres, first camera; NaN where depth is unknown.
        boxes: ``(S, h, w, 9)`` canonical box of the object at the patch centre, first camera; NaN on none.
        classes: ``(S, h/2, w/2, K + 1)`` share of each label in a token's pixels; the last is background.
    """

    rgb: NDArray[np.uint8]
    points: NDArray[np.float32]
    boxes: NDArray[np.float32]
    classes: NDArray[np.float16]


def stacked(clips: Sequence[DenseClip]) -> DenseClip:
    """Clips of one shape as one, whose arrays have a batch dimension first."""
    return DenseClip(*(np.stack([getattr(c, f.name) for c in clips]) for f in fields(DenseClip)))


def dense_clip(scene: Scene, labels: Sequence[str]) -> DenseClip:
    """The dense labels of ``scene``; its frames need depth and instances."""
    first = invert_pose(scene.frames[0].T_world_camera)
    boxes_world = np.array([o.box for o in scene.objects]).reshape(-1, 9)
    boxes = canonical_boxes(transform_boxes(first, boxes_world))
    size = max((o.id for o in scene.objects), default=0) + 2
    label_of = np.full(size, len(labels))
    box_of = np.full((size, 9), np.nan, dtype=np.float32)
    for thing, box in zip(scene.objects, boxes, strict=True):
        label_of[thing.id + 1] = labels.index(thing.label)
        box_of[thing.id + 1] = box
    rgb, points, patch_boxes, classes = [], [], [], []
    centres = (slice(PATCH // 2, None, PATCH),) * 2
    for frame in scene.frames:
        depth, instances = load_depth(frame), load_instances(frame)
        if depth is None or instances is None:
            raise ValueError(f"scene {scene.id} frame {frame.name}: dense labels need depth and instances")
        rgb.append(load_rgb(frame))
        z = depth[centres].astype(np.float64)
        rays = camera_rays(frame.intrinsics, depth.shape[1], depth.shape[0])[centres]
        seen = transform_points(first @ frame.T_world_camera, rays * z[..., None])
        seen[z <= 0] = np.nan
        points.append(seen.astype(np.float32))
        patch_boxes.append(box_of[instances[centres]])
        classes.append(_histogram(label_of[instances], len(labels) + 1))
    return DenseClip(*map(np.stack, (rgb, points, patch_boxes, classes)))


def _histogram(classes: NDArray[np.int64], count: int) -> NDArray[np.float16]:
    """Class shares per 28×28 token, from a subsample of its pixels."""
    sub = classes[HISTOGRAM_STRIDE // 2 :: HISTOGRAM_STRIDE, HISTOGRAM_STRIDE // 2 :: HISTOGRAM_STRIDE]
    per = 2 * PATCH // HISTOGRAM_STRIDE
    h, w = sub.shape[0] // per, sub.shape[1] // per
    cells = sub[: h * per, : w * per].reshape(h, per, w, per).transpose(0, 2, 1, 3).reshape(h, w, -1)
    return (cells[..., None] == np.arange(count)).mean(2, dtype=np.float32).astype(np.float16)


def samples_a_room(spatial: int) -> dict[str, dict[str, int]]:
    """By world and task; finding spatial questions in a dense room takes long."""
    each = {"detection": 1, "grounding": 6, "spatial": spatial}
    return {"rooms": each, "easy": each, "dense": each | {"spatial": 0}}


@dataclass(frozen=True)
class RoomMix:
    """Which rooms a training sees, and what is asked about each."""

    worlds: Mapping[str, int] = field(default_factory=lambda: {"rooms": 6, "easy": 3, "dense": 1})
    """Batches of each world in a round."""
    rooms: int = 64
    """Rooms in a batch."""
    per_room: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: samples_a_room(14))
    """Samples of each task that a room contributes."""
    options: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: TASK_OPTIONS | {"spatial": {"max_per_type": 3}}
    )
    """Many questions about a room cost little: its frames are run once."""
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

    @cached_property
    def policy(self) -> Policy:
        return load_policy(self.folder)

    def __getitem__(self, index: int) -> Batch:
        mix = self.mix
        world = mix.world(index)
        wanted = mix.per_room[world]
        tasks = {n: make_task(n, options=mix.options[n]) for n in self.names if wanted[n]}
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
            items = [
                item_of(self.policy, task, room, sample, grid)
                for room, group in enumerate(samples[name])
                for sample in choose(mix.seed, index, room, group, wanted[name])
            ]
            if not items:
                continue
            rows = shared_rows(items)
            packed[name] = pack([r for _, r in rows], self.policy.pad_id), [room for room, _ in rows]
            if mix.hints and isinstance(task, Spatial):
                views = [View(scene, task.limits) for scene in scenes]
                hints = hints_of(packed[name][0], [(item.sample, views[item.scene]) for item in items])
        return Batch(world, stacked(clips), packed, hints)


def endless(
    policy: Path, mix: RoomMix, tasks: Sequence[str], start: int = 0, workers: int = 1
) -> Iterator[Batch]:
    """Batches ``start``, ``start + 1``, ... in order, made ahead by ``workers`` processes (0: in this one)."""
    return in_order(RoomBatches(policy, mix, tasks), range(start, 1 << 40), workers)


def in_order(made: Dataset[T], places: Sequence[int], workers: int) -> Iterator[T]:
    """``made[k]`` for each of ``places``, in order, made ahead by ``workers`` processes of one thread (0: here)."""
    ahead: dict[str, Any] = {"prefetch_factor": 4, "multiprocessing_context": "spawn"} if workers else {}
    ahead |= {"num_workers": workers, "worker_init_fn": _one_thread}
    return iter(DataLoader(made, batch_size=None, sampler=places, **ahead))


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
