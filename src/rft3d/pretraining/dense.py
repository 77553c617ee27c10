"""Dense labels of rendered clips: what the tiny encoders are pre-trained on.

VGGT learned point maps, Qwen's tower learned what things look like; the demo's encoders learn both
from rendered rooms: for every 14×14 patch the 3-D point under its centre and the box of the object
there, for every 28×28 token the classes it shows. All in the first camera's frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import canonical_boxes, invert_pose, transform_boxes
from rft3d.scenes.images import load_depth, load_instances, load_rgb
from rft3d.scenes.types import Scene

PATCH = 14
HISTOGRAM_STRIDE = 4


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
    rows = {o.id: i for i, o in enumerate(scene.objects)}
    label_of = np.full(max(rows, default=0) + 2, len(labels))
    box_of = np.full((max(rows, default=0) + 2, 9), np.nan, dtype=np.float32)
    for obj in scene.objects:
        label_of[obj.id + 1] = labels.index(obj.label)
        box_of[obj.id + 1] = boxes[rows[obj.id]]
    rgb, points, patch_boxes, classes = [], [], [], []
    for frame in scene.frames:
        depth, instances = load_depth(frame), load_instances(frame)
        if depth is None or instances is None:
            raise ValueError(
                f"scene {scene.id} frame {frame.name} has no depth or instances; dense labels need both"
            )
        rgb.append(load_rgb(frame))
        points.append(_patch_points(depth, frame.intrinsics, first @ frame.T_world_camera))
        patch_boxes.append(box_of[instances[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH]])
        classes.append(_histogram(label_of[instances], len(labels) + 1))
    return DenseClip(
        np.stack(rgb), np.stack(points), np.stack(patch_boxes), np.stack(classes).astype(np.float16)
    )


def _patch_points(
    depth: NDArray[np.float32], intrinsics: NDArray[np.float64], T_first_camera: NDArray[np.float64]
) -> NDArray[np.float32]:
    z = depth[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].astype(np.float64)
    rows, cols = np.mgrid[0 : z.shape[0], 0 : z.shape[1]] * PATCH + PATCH // 2 + 0.5
    x = (cols - intrinsics[0, 2]) / intrinsics[0, 0] * z
    y = (rows - intrinsics[1, 2]) / intrinsics[1, 1] * z
    points = np.stack([x, y, z], -1) @ T_first_camera[:3, :3].T + T_first_camera[:3, 3]
    points[z <= 0] = np.nan
    return points.astype(np.float32)


def _histogram(classes: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Class shares per 28×28 token, from a subsample of its pixels."""
    sub = classes[HISTOGRAM_STRIDE // 2 :: HISTOGRAM_STRIDE, HISTOGRAM_STRIDE // 2 :: HISTOGRAM_STRIDE]
    per = 2 * PATCH // HISTOGRAM_STRIDE
    h, w = sub.shape[0] // per, sub.shape[1] // per
    cells = sub[: h * per, : w * per].reshape(h, per, w, per).transpose(0, 2, 1, 3).reshape(h, w, -1)
    return (cells[..., None] == np.arange(count)).mean(2, dtype=np.float32)
