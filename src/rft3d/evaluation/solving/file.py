"""Questions solved from boxes or without looking, beside a model's own answers: ``rft3d solve``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.solving.blind import answer_blindly, answer_by_folds
from rft3d.evaluation.solving.follow import follow
from rft3d.evaluation.solving.places import Places
from rft3d.evaluation.solving.split import SolvedSample, as_predictions, solve_samples, split_failures
from rft3d.tasks.types import Sample


def solve_questions(
    samples: Sequence[Sample], places: Places | None, known: Sequence[Sample] = (), own: Path | None = None
) -> tuple[list[SolvedSample], dict[str, dict[str, Any]]]:
    """Answers to the questions, and what they are worth by question type (and ``"all"``).

    Args:
        places: the scenes' boxes; None: answers without looking, learned from the ``known`` answers; where
            these are ``samples`` themselves, ten-fold by room.
        own: a model's predictions. From boxes, its failures are split (:func:`split_failures`); blindly, a row
            has its accuracy ``own`` and, for numbers, whether they follow the rooms (``follows``).
    """
    if places is not None:
        solved = solve_samples(samples, places)
    else:
        solved = answer_by_folds(samples) if known is samples else answer_blindly(samples, known)
    told = None if own is None else load_predictions(own, samples).predictions
    rows = split_failures(solved, as_predictions(solved) if told is None else told)
    if places is not None:
        return solved, rows
    found: dict[str, dict[str, Any]] = {
        kind: {"questions": row["questions"], "blind": row["from_boxes"]} for kind, row in rows.items()
    }
    if told is not None:
        for kind, row in rows.items():
            found[kind]["own"] = row["accuracy"]
        for kind, followed in follow(samples, told).items():
            found[kind]["follows"] = asdict(followed)
    return solved, found
