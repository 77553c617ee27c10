"""Floor 4': predict, score, intervals. Never imports training; only the policy given to predict has torch."""

from rft3d.evaluation.benchmarks.run import BENCHMARKS, score_benchmark
from rft3d.evaluation.compare import compare_prediction_files, compare_runs
from rft3d.evaluation.dataset import (
    BOX_QUESTIONS,
    ClipConfig,
    check_gold,
    clip_questions,
    world_of_model,
    write_dataset,
)
from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.predict import PredictConfig, load_frames, predict
from rft3d.evaluation.records import Prediction, read_predictions, with_cameras, write_predictions
from rft3d.evaluation.score import HEADLINE, ScoreConfig, ScoredRun, score_files, score_predictions, summarise

__all__ = [
    "BENCHMARKS", "BOX_QUESTIONS", "HEADLINE", "ClipConfig", "PredictConfig", "Prediction", "ScoreConfig",
    "ScoredRun", "check_gold", "clip_questions", "compare_prediction_files", "compare_runs", "load_frames",
    "load_predictions", "predict", "read_predictions", "score_benchmark", "score_files",
    "score_predictions", "summarise", "with_cameras", "world_of_model", "write_dataset",
    "write_predictions",
]  # fmt: skip
