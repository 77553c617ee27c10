"""Floor 4': predict, score, intervals. Never imports training; only the policy given to predict has torch."""

from __future__ import annotations

from rft3d.evaluation.clips import BOX_QUESTIONS, ClipConfig, GoldCheck, OnCuts, check_gold, clip_questions
from rft3d.evaluation.dataset import write_dataset
from rft3d.evaluation.predict import PredictConfig, load_frames, model_fingerprint, predict
from rft3d.evaluation.records import (
    Generation,
    Policy,
    Prediction,
    read_predictions,
    with_cameras,
    write_json,
    write_predictions,
)
from rft3d.evaluation.score import (
    HEADLINE,
    ScoreConfig,
    ScoredRun,
    compare_files,
    make_task,
    resample_run,
    score_files,
    score_predictions,
    summarise,
)
from rft3d.evaluation.stats import Difference, Interval, bootstrap, compare

__all__ = [
    "BOX_QUESTIONS",
    "HEADLINE",
    "ClipConfig",
    "Difference",
    "Generation",
    "GoldCheck",
    "Interval",
    "OnCuts",
    "Policy",
    "PredictConfig",
    "Prediction",
    "ScoreConfig",
    "ScoredRun",
    "bootstrap",
    "check_gold",
    "clip_questions",
    "compare",
    "compare_files",
    "load_frames",
    "make_task",
    "model_fingerprint",
    "predict",
    "read_predictions",
    "resample_run",
    "score_files",
    "score_predictions",
    "summarise",
    "with_cameras",
    "write_dataset",
    "write_json",
    "write_predictions",
]
