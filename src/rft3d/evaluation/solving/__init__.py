"""Spatial answers from boxes or without looking: questions solved, failures split, the official key checked."""

from __future__ import annotations

from rft3d.evaluation.solving.blind import answer_blindly, solve_questions
from rft3d.evaluation.solving.official import BARS, KeyCheck, check_official
from rft3d.evaluation.solving.places import fuse, places_from, places_from_detections, places_from_scenes
from rft3d.evaluation.solving.split import VERDICTS, SolvedRow, as_predictions, solve_samples, split_failures

__all__ = [
    "BARS",
    "VERDICTS",
    "KeyCheck",
    "SolvedRow",
    "answer_blindly",
    "as_predictions",
    "check_official",
    "fuse",
    "places_from",
    "places_from_detections",
    "places_from_scenes",
    "solve_questions",
    "solve_samples",
    "split_failures",
]
