"""Rewards for "which frame, and where in it": the paper's R_frame and the IoU of the box moved to the world.

    R_frame = max(0, 1 - |f - f*| / tau),  tau = 5
    R_IoU   = IoU(T_world_camera[f] applied to the answer's box, the true box in the world)

The box is moved by the camera of the frame that the *answer* names, so a wrong frame with the right box
for it still scores, and the right box for another frame does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rft3d.answers import FrameBox
from rft3d.geometry import box_iou, boxes_valid, transform_boxes
from rft3d.rewards.comparison import shaped_ious
from rft3d.rewards.types import Part


@dataclass(frozen=True, eq=False)
class Placement:
    """A frame and a box against the true ones; what several rewards need is computed once.

    Attributes:
        answer: frame index and (9,) box in that frame's camera.
        frame: the true frame.
        box_world: (9,) true box in the world frame.
        poses: (F, 4, 4) camera poses ``T_world_camera``, one per frame of the prompt.
        tau: frames at which the frame reward has fallen to 0.
    """

    answer: FrameBox
    frame: int
    box_world: Sequence[float]
    poses: np.ndarray
    tau: float = 5.0

    @cached_property
    def iou(self) -> Part:
        return grounding_iou(self.answer, self.box_world, self.poses)


def grounding_frame(predicted_frame: int, true_frame: int, tau: int | float = 5.0) -> Part:
    """The paper's R_frame: 1 at the true frame, falling linearly to 0 at ``tau`` frames away."""
    if not tau > 0:
        raise ValueError(f"grounding_frame: tau must be positive, got {tau}")
    away = abs(int(predicted_frame) - int(true_frame))
    value = max(0.0, 1.0 - away / tau)
    return Part("frame", value, f"frame {predicted_frame}, {away} from the true frame {true_frame}")


def grounding_iou(
    answer: FrameBox, truth_box_world: Sequence[float] | np.ndarray, T_world_camera: np.ndarray
) -> Part:
    """The paper's R_IoU.

    Args:
        answer: frame index and (9,) box in that frame's camera.
        truth_box_world: (9,) true box in the world frame.
        T_world_camera: (F, 4, 4) camera poses, one per frame of the prompt.

    A frame that the video doesn't have earns 0. ValueError when truth or poses have the wrong shape.
    """
    truth, poses = _checked(truth_box_world, T_world_camera)
    if not 0 <= answer.frame < len(poses):
        return Part("iou", 0.0, f"frame {answer.frame} of a video with frames 0 to {len(poses) - 1}")
    value = float(box_iou(_in_world(answer, poses), truth[None])[0, 0])
    return Part("iou", value, f"IoU {value:.3f} in the world, by the camera of frame {answer.frame}")


def grounding_diou(
    answer: FrameBox, truth_box_world: Sequence[float] | np.ndarray, T_world_camera: np.ndarray, iou: float
) -> Part:
    """(1 + DIoU) / 2 of the same two boxes: near is worth more than far where nothing overlaps yet.

    Not in the paper; arguments and errors as :func:`grounding_iou`, whose value is ``iou``.
    """
    truth, poses = _checked(truth_box_world, T_world_camera)
    if not 0 <= answer.frame < len(poses):
        return Part("diou", 0.0, f"frame {answer.frame} of a video with frames 0 to {len(poses) - 1}")
    box = _in_world(answer, poses)[0]
    if not boxes_valid(np.stack([box, truth])).all():
        return Part("diou", 0.0, "an impossible box")
    away = float(np.linalg.norm(box[:3] - truth[:3]))
    shaped = shaped_ious(box[None], truth[None], np.array([[iou]]))
    return Part("diou", float(shaped[0, 0]), f"{away:.2f} m from centre to centre, IoU {iou:.3f}")


def _checked(
    truth_box_world: Sequence[float] | np.ndarray, T_world_camera: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(truth_box_world, dtype=np.float64)
    poses = np.asarray(T_world_camera, dtype=np.float64)
    if truth.shape != (9,):
        raise ValueError(f"grounding_iou: truth_box_world must have shape (9,), got {truth.shape}")
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise ValueError(f"grounding_iou: T_world_camera must have shape (F, 4, 4), got {poses.shape}")
    return truth, poses


def _in_world(answer: FrameBox, poses: np.ndarray) -> np.ndarray:
    return transform_boxes(poses[answer.frame], np.array([answer.box], dtype=np.float64))


def grounding_hit(iou: float, threshold: float = 0.25) -> Part:
    """1 where the answer counts for Acc@``threshold`` (IoU >= threshold, as ScanRefer counts), else 0.

    Not in the paper: what its detection reward has in F1@0.25, for grounding.
    """
    hit = iou >= threshold
    return Part(f"acc@{threshold:g}", float(hit), f"IoU {iou:.3f} {'>=' if hit else '<'} {threshold:g}")


FRAME_REWARDS: dict[str, Callable[[Placement], Part]] = {
    "frame": lambda p: grounding_frame(p.answer.frame, p.frame, p.tau),
    "acc@0.25": lambda p: grounding_hit(p.iou.value),
    "iou": lambda p: p.iou,
    "diou": lambda p: grounding_diou(p.answer, p.box_world, p.poses, p.iou.value),
}
"""Rewards of a frame with a box, by the name of their part."""
