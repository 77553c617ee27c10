"""Which frames of a scan a description is shown with, and which of them shows its object best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from rft3d.datasets.areas import best_frame, frame_area, frame_area_upstream, nearest_view
from rft3d.geometry import box_iou
from rft3d.scenes.types import Frame, Scene

Array = NDArray[np.float64]
MATCH_IOU = 0.5
"""Upstream: a ScanRefer box and an EmbodiedScan instance are the same object from this IoU on."""
RETRIES = 20
"""Upstream: so many draws of frames before one that shows the object is put in by force."""


@dataclass(frozen=True, eq=False)
class Target:
    """An object in two annotations: its ScanNet box, and the EmbodiedScan instance that it is (None: none
    is).
    """

    box: Array
    instance: int | None
    instance_box: Array | None

    def seen_in(self, frame: Frame) -> bool:
        """Whether the infos call the instance visible; of an object without one, whether its box is in
        view.
        """
        if self.instance is None:
            return frame_area(self.box, frame) > 0
        return self.instance in frame.visible


def match_target(box: Array, scene: Scene) -> Target:
    """The instance of highest IoU with ``box`` (world, ``(9,)``), if that is at least :data:`MATCH_IOU`."""
    if not scene.objects:
        return Target(box, None, None)
    ious = box_iou(box[None], np.stack([thing.box for thing in scene.objects]))[0]
    best = int(np.argmax(ious))
    if ious[best] < MATCH_IOU:
        return Target(box, None, None)
    return Target(box, scene.objects[best].id, scene.objects[best].box)


def rotated_frames(count: int, frames: int, rng: Random) -> list[int]:
    """Upstream's sampling: the list turned by a random offset, every ``count // frames``-th, not sorted
    again.

    Time wraps around inside the sequence. Fewer than ``frames`` when the scan has fewer.
    """
    offset = rng.randrange(count)
    step = max(1, count // frames)
    return [(offset + place) % count for place in range(0, count, step)][:frames]


def spaced_frames(count: int, frames: int, rng: Random | None) -> list[int]:
    """``frames`` frames evenly spaced in time order; ``rng`` shifts them by part of a space, None centres
    them.
    """
    frames = min(count, frames)
    phase = 0.5 if rng is None else rng.random()
    return sorted({min(count - 1, int((place + phase) * count / frames)) for place in range(frames)})


def frames_showing(
    target: Target, scene: Scene, draw: Callable[[], list[int]], *, upstream: bool
) -> list[int]:
    """Frames of a training sample: drawn again until one shows the object, then one is put in by force.

    The forced frame is upstream's first one that shows it, replacing the last and followed by sorting; ours
    is the one that shows it best, replacing its nearest neighbour in time. No frame shows it: the first
    draw.
    """
    first = chosen = draw()
    for _ in range(RETRIES):
        if any(target.seen_in(scene.frames[index]) for index in chosen):
            return chosen
        chosen = draw()
    seeing = [index for index, frame in enumerate(scene.frames) if target.seen_in(frame)]
    if not seeing:
        return first
    if upstream:
        return sorted([*chosen[:-1], seeing[0]])
    best = max(seeing, key=lambda index: frame_area(target.box, scene.frames[index]))
    chosen.remove(min(chosen, key=lambda index: abs(index - best)))
    return sorted([*chosen, best])


def target_frame(target: Target, frames: Sequence[Frame], *, upstream: bool) -> int | None:
    """Place in ``frames`` of the frame with the largest projected area of the object; None: none shows it.

    Only frames that show the object count. Upstream measures the EmbodiedScan box, moved to the border; we
    measure the ScanNet box (the one that is asked for), cut at the border.
    """
    if upstream:
        box = target.box if target.instance_box is None else target.instance_box
        areas = [frame_area_upstream(box, f) if target.seen_in(f) else 0.0 for f in frames]
    else:
        areas = [frame_area(target.box, f) if target.seen_in(f) else 0.0 for f in frames]
    return best_frame(areas)


def any_frame(target: Target, frames: Sequence[Frame]) -> int:
    """For a validation sample whose object no frame shows: the frame that comes nearest to showing it."""
    best = best_frame([frame_area(target.box, frame) for frame in frames])
    return nearest_view(target.box, frames) if best is None else best
