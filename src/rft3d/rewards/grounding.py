"""Rewards for "which frame, and where in it": the paper's R_frame and the IoU of the box moved to the world.

    R_frame = max(0, 1 - |f - f*| / tau),  tau = 5
    R_IoU   = IoU(T_world_camera[f] applied to the answer's box, the true box in the world)

The box is moved by the camera of the frame that the *answer* names, so a wrong frame with the right box
for it still scores, and the right box for another frame does not. A frame that the video doesn't have earns 0.

A reward is a function ``Placement -> Part`` and a line in :data:`FRAME_REWARDS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rft3d.answers import FrameBox
from rft3d.geometry import box_iou, boxes_valid, transform_boxes
from rft3d.rewards.comparison import Evidence, shaped_ious
from rft3d.rewards.score import Part

HIT = 0.25


@dataclass(frozen=True, eq=False)
class Placement(Evidence):
    """A frame and a box against the true ones; what several rewards need is computed once.

    Attributes:
        answer: frame index and (9,) box in that frame's camera.
        frame: the true frame.
        box_world: (9,) true box in the world frame.
        poses: (F, 4, 4) camera poses ``T_world_camera``, one per frame of the prompt.
        tau: distance in frames at which the frame reward reaches 0.

    Raises:
        ValueError: truth or poses have the wrong shape, or ``tau`` is not positive.
    """

    answer: FrameBox
    frame: int
    box_world: Sequence[float] | np.ndarray
    poses: np.ndarray
    tau: float = 5.0

    def __post_init__(self) -> None:
        if np.shape(self.box_world) != (9,):
            raise ValueError(f"Placement.box_world must have shape (9,), got {np.shape(self.box_world)}")
        if self.poses.ndim != 3 or self.poses.shape[1:] != (4, 4):
            raise ValueError(f"Placement.poses must have shape (F, 4, 4), got {self.poses.shape}")
        if not self.tau > 0:
            raise ValueError(f"Placement.tau must be positive, got {self.tau}")

    @cached_property
    def both(self) -> np.ndarray | None:
        """(2, 9) the answer's box and the true one in the world; None where the frame does not exist."""
        if not 0 <= self.answer.frame < len(self.poses):
            return None
        named = np.array([self.answer.box], dtype=np.float64)
        true = np.asarray(self.box_world, dtype=np.float64)[None]
        return np.concatenate([transform_boxes(self.poses[self.answer.frame], named), true])

    @cached_property
    def iou(self) -> float:
        return 0.0 if self.both is None else float(box_iou(self.both[:1], self.both[1:])[0, 0])

    @property
    def no_frame(self) -> str:
        return f"frame {self.answer.frame} of a video with frames 0 to {len(self.poses) - 1}"


def grounding_frame(found: Placement) -> Part:
    """The paper's R_frame: 1 at the true frame, falling linearly to 0 at ``tau`` frames away."""
    away = abs(int(found.answer.frame) - int(found.frame))
    said = f"frame {found.answer.frame}, {away} from the true frame {found.frame}"
    return Part("frame", max(0.0, 1.0 - away / found.tau), said)


def grounding_iou(found: Placement) -> Part:
    """The paper's R_IoU."""
    said = f"IoU {found.iou:.3f} in the world, by the camera of frame {found.answer.frame}"
    return Part("iou", found.iou, found.no_frame if found.both is None else said)


def grounding_diou(found: Placement) -> Part:
    """(1 + DIoU) / 2 of the same two boxes: near is worth more than far where nothing overlaps yet.

    Not in the paper.
    """
    if found.both is None:
        return Part("diou", 0.0, found.no_frame)
    if not boxes_valid(found.both).all():
        return Part("diou", 0.0, "an impossible box")
    box, truth = found.both[:1], found.both[1:]
    away = float(np.linalg.norm(box[0, :3] - truth[0, :3]))
    shaped = shaped_ious(box, truth, np.array([[found.iou]]))
    return Part("diou", float(shaped[0, 0]), f"{away:.2f} m from centre to centre, IoU {found.iou:.3f}")


def grounding_hit(found: Placement) -> Part:
    """1 where the answer counts for Acc@0.25 (IoU >= 0.25, as ScanRefer counts), else 0.

    Not in the paper: for grounding what F1@0.25 is in its detection reward.
    """
    hit = found.iou >= HIT
    return Part(f"acc@{HIT:g}", float(hit), f"IoU {found.iou:.3f} {'>=' if hit else '<'} {HIT:g}")


FRAME_REWARDS: dict[str, Callable[[Placement], Part]] = {
    "frame": grounding_frame,
    "acc@0.25": grounding_hit,
    "iou": grounding_iou,
    "diou": grounding_diou,
}
"""Rewards of a frame with a box, by the name of their part."""
