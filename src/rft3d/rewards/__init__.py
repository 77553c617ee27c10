"""Floor 2: pure functions (answer, truth) → named parts, each with a value and a reason.

For TRL: :func:`rft3d.tasks.as_trl`.
"""

from rft3d.rewards.comparison import Comparison, DetectionMatch, Evidence, label_ious
from rft3d.rewards.detection import (
    SET_REWARDS,
    f1,
    graded_f1,
    hungarian,
    marginal_credit,
    matched_diou,
    matched_iou,
    mean_iou,
)
from rft3d.rewards.grounding import (
    FRAME_REWARDS,
    Placement,
    grounding_diou,
    grounding_frame,
    grounding_hit,
    grounding_iou,
)
from rft3d.rewards.scalars import exact_match, mean_relative_accuracy
from rft3d.rewards.score import Part, Score, format_part, think_format_part, zero_parts

__all__ = [
    "FRAME_REWARDS",
    "SET_REWARDS",
    "Comparison",
    "DetectionMatch",
    "Evidence",
    "Part",
    "Placement",
    "Score",
    "exact_match",
    "f1",
    "format_part",
    "graded_f1",
    "grounding_diou",
    "grounding_frame",
    "grounding_hit",
    "grounding_iou",
    "hungarian",
    "label_ious",
    "marginal_credit",
    "matched_diou",
    "matched_iou",
    "mean_iou",
    "mean_relative_accuracy",
    "think_format_part",
    "zero_parts",
]
