"""Which frames of a scan a description is shown with, and which of them shows its object best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import ArrayLike

from rft3d.geometry import BOX_EDGES, box_corners, box_iou, invert_pose, project, transform_boxes
from rft3d.geometry.rotations import Array
from rft3d.scenes.types import Frame, Scene
from rft3d.tasks.spatial.semantics import polygon_area_m2

NEAR_M = 0.05
"""What lies nearer to the camera is cut off before it is projected."""


def frame_area(box: ArrayLike, frame: Frame) -> float:
    """Pixels that the outline of a world ``(9,)`` box covers in ``frame``; 0 from inside it.

    The box is cut at 5 cm before the camera, its outline (the convex hull of what is projected) at the
    picture's border. Occlusion is not known.
    """
    corners, inside = _in_camera(box, frame)
    if inside:
        return 0.0
    points = corners[corners[:, 2] > NEAR_M]
    start, end = corners[BOX_EDGES[:, 0]], corners[BOX_EDGES[:, 1]]
    crossing = (start[:, 2] - NEAR_M) * (end[:, 2] - NEAR_M) < 0
    if crossing.any():
        start, end = start[crossing], end[crossing]
        share = (NEAR_M - start[:, 2]) / (end[:, 2] - start[:, 2])
        points = np.concatenate([points, start + share[:, None] * (end - start)])
    if len(points) < 3:
        return 0.0
    uv, _ = project(points, frame.intrinsics)
    return polygon_area_m2(_clip(_hull(uv), frame.width, frame.height))


def frame_area_upstream(box: ArrayLike, frame: Frame) -> float:
    """VG-LLM's measure: the hull of the corners before the camera, each *moved* to the picture's border.

    0 when the camera is inside the box, fewer than three corners lie before it, or all lie on one side.
    """
    corners, inside = _in_camera(box, frame)
    points = corners[corners[:, 2] > 0]
    if inside or len(points) < 3:
        return 0.0
    uv, _ = project(points, frame.intrinsics)
    limits = (frame.width - 1.0, frame.height - 1.0)
    uv = np.clip(uv, 0.0, limits)
    if any((uv[:, axis] == border).all() for axis in (0, 1) for border in (0.0, limits[axis])):
        return 0.0
    return polygon_area_m2(_hull(uv))


def best_frame(areas: Sequence[float]) -> int | None:
    """The first frame with the largest area; None when all are 0."""
    best = max(range(len(areas)), key=lambda index: areas[index], default=None)
    return best if best is not None and areas[best] > 0 else None


def _in_camera(box: ArrayLike, frame: Frame) -> tuple[Array, bool]:
    """``(8, 3)`` corners in the frame's camera, and whether the camera is inside the box."""
    boxed = transform_boxes(invert_pose(frame.T_world_camera), np.asarray(box, dtype=np.float64)[None])
    corners = box_corners(boxed)[0]
    axes = [corners[4] - corners[0], corners[2] - corners[0], corners[1] - corners[0]]
    inside = all(0 <= -(corners[0] @ axis) <= axis @ axis for axis in axes)
    return corners, inside


def _hull(points: Array) -> Array:
    """Convex hull ``(V, 2)``, counter-clockwise; nothing for points on one line."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return points[ConvexHull(points).vertices]
    except QhullError:
        return np.zeros((0, 2))


def _clip(polygon: Array, width: float, height: float) -> Array:
    """A convex polygon inside ``[0, width] x [0, height]`` (Sutherland-Hodgman)."""
    for axis, limit, sign in ((0, 0.0, 1.0), (0, width, -1.0), (1, 0.0, 1.0), (1, height, -1.0)):
        out: list[Array] = []
        for start, end in zip(np.roll(polygon, 1, axis=0), polygon, strict=True):
            a, b = sign * (start[axis] - limit), sign * (end[axis] - limit)
            if (a < 0) != (b < 0):
                out.append(start + a / (a - b) * (end - start))
            if b >= 0:
                out.append(end)
        polygon = np.array(out).reshape(-1, 2)
    return polygon


MATCH_IOU = 0.5
"""Upstream: a ScanRefer box and an EmbodiedScan instance are the same object from this IoU on."""
RETRIES = 20
"""Upstream: so many draws of frames before one that shows the object is put in."""


@dataclass(frozen=True, eq=False)
class Target:
    """An object in two annotations: its ScanNet box, and its EmbodiedScan instance (None: it has none)."""

    box: Array
    instance: int | None
    instance_box: Array | None

    def seen_in(self, frame: Frame) -> bool:
        """Whether the infos call the instance visible; without an instance, whether the box is in view."""
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
    """Upstream's sampling: the list turned by a random offset, every ``count // frames``-th, unsorted.

    Time wraps around inside the sequence. Fewer than ``frames`` when the scan has fewer.
    """
    offset = rng.randrange(count)
    step = max(1, count // frames)
    return [(offset + place) % count for place in range(0, count, step)][:frames]


def spaced_frames(count: int, frames: int, rng: Random | None) -> list[int]:
    """``frames`` frames evenly spaced in time order; ``rng`` shifts them by part of a step, None centres them."""
    frames = min(count, frames)
    phase = 0.5 if rng is None else rng.random()
    return sorted({min(count - 1, int((place + phase) * count / frames)) for place in range(frames)})


def frames_showing(
    target: Target, scene: Scene, draw: Callable[[], list[int]], *, upstream: bool
) -> list[int]:
    """Frames of a training sample: drawn again until one shows the object; at last one that does is put in.

    Upstream puts in the first frame that shows it, in place of the last one; we the frame that shows it best,
    in place of its nearest neighbour in time. No frame shows it: the first draw.
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
    area, box = frame_area, target.box
    if upstream:
        area, box = frame_area_upstream, box if target.instance_box is None else target.instance_box
    return best_frame([area(box, frame) if target.seen_in(frame) else 0.0 for frame in frames])


def any_frame(target: Target, frames: Sequence[Frame]) -> int:
    """For a validation sample whose object no frame shows: the frame that comes nearest to showing it.

    The first one in which its box covers most, else the one whose optical axis points most nearly at it.
    """
    best = best_frame([frame_area(target.box, frame) for frame in frames])
    if best is not None:
        return best
    poses = np.stack([frame.T_world_camera for frame in frames])
    rays = target.box[:3] - poses[:, :3, 3]
    return int(
        np.argmax((rays * poses[:, :3, 2]).sum(axis=1) / np.maximum(np.linalg.norm(rays, axis=1), 1e-9))
    )
