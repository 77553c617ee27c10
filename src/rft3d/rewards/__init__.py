"""Floor 2: pure functions (answer, truth) → named parts, each with a value in [0, 1] and a reason.

:func:`as_trl` gives the same rewards with TRL's signature.
"""

from __future__ import annotations

from rft3d.rewards.balanced import balanced_f1, balanced_matched_iou, check_class_weights, inverse_frequency
from rft3d.rewards.callables import as_trl
from rft3d.rewards.comparison import SET_REWARDS, Comparison
from rft3d.rewards.detection import (
    DetectionMatch,
    LabelCounts,
    detection_assignment,
    detection_credit,
    detection_f1,
    detection_matched_diou,
    detection_matched_iou,
    detection_mean_iou,
    label_ious,
    match_detections,
    shaped_assignment,
)
from rft3d.rewards.format import format_part, think_format_part, zero_parts
from rft3d.rewards.grounding import grounding_diou, grounding_frame, grounding_hit, grounding_iou
from rft3d.rewards.scalars import exact_match, mean_relative_accuracy
from rft3d.rewards.score import Score, marginal_credit
from rft3d.rewards.types import Part

__all__ = [
    "SET_REWARDS",
    "Comparison",
    "DetectionMatch",
    "LabelCounts",
    "Part",
    "Score",
    "as_trl",
    "balanced_f1",
    "balanced_matched_iou",
    "check_class_weights",
    "detection_assignment",
    "detection_credit",
    "detection_f1",
    "detection_matched_diou",
    "detection_matched_iou",
    "detection_mean_iou",
    "exact_match",
    "format_part",
    "grounding_diou",
    "grounding_frame",
    "grounding_hit",
    "grounding_iou",
    "inverse_frequency",
    "label_ious",
    "marginal_credit",
    "match_detections",
    "mean_relative_accuracy",
    "shaped_assignment",
    "think_format_part",
    "zero_parts",
]
