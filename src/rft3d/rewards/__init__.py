"""Floor 2: pure functions (answer, truth) → named parts, each with a value and a reason.

Rewards of boxes are had by name from the tables ``SET_REWARDS`` and ``FRAME_REWARDS``. For TRL:
:func:`rft3d.tasks.as_trl`.
"""

from rft3d.rewards.comparison import Comparison, DetectionMatch, Evidence, label_ious
from rft3d.rewards.detection import SET_REWARDS, marginal_credit
from rft3d.rewards.grounding import FRAME_REWARDS, Placement
from rft3d.rewards.score import Part, Score, exact_match, format_part, mean_relative_accuracy, zero_parts

__all__ = [
    "FRAME_REWARDS", "SET_REWARDS", "Comparison", "DetectionMatch", "Evidence", "Part", "Placement", "Score",
    "exact_match", "format_part", "label_ious", "marginal_credit", "mean_relative_accuracy", "zero_parts",
]  # fmt: skip
