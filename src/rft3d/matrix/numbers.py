"""Numbers of arms from their files alone: means over seeds, paired differences, verdicts.

The held-out rooms are the same for every seed, so resample r of every seed and arm draws the same rooms. A
resample's value is the mean over seeds; the interval is the middle 95 % of the resamples. It says how far the
result depends on the rooms that were asked about; that seeds differ shows in the range beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.evaluation import make_task, read_predictions, score_predictions
from rft3d.evaluation.score import pools_of
from rft3d.evaluation.solving import followed_from, sums_of
from rft3d.evaluation.stats import Resampled, resample_pools
from rft3d.matrix.types import STANDARD, Claim, Experiment, folder_of, held_out_folder, task_of
from rft3d.tasks import Sample, read_samples

RESAMPLES = 1000
MIN_SEEDS = 3
"""With fewer seeds nothing is decided."""
HOLDS, FAILS = "**holds**", "**does not hold**"
"""How a verdict begins that decides something (:func:`verdict`)."""
NOT_RUN = "not yet run"
NOT_ASKED = "nobody asked"
NO_VALUE = "no value"
"""What a table says where an arm has run, but no question of its rooms is of the type, or the metric has no value
(no correlation where all answers are the same)."""
FOLLOWED_TYPES = ("room_size_estimation",)
"""Types of question whose ``follow/<type>`` is resampled: those that claims are about (all would take as long as
everything else together)."""
COUNTED = frozenset(("boxes",))
"""Metrics that are counts; the others are shares and shown in percent."""
RULE = f"""A claim was written into its recipe before its arms ran, unless its row says that it was asked later; the
rule is the same for all.
*holds*: the whole 95 % interval of the difference is above 0. *does not hold*: the whole interval is below
the margin (1 point unless the row says otherwise), so that there is no gain worth having (a gain that is
certain but smaller than the margin *holds*). *undecided*: anything else, or fewer than {MIN_SEEDS} seeds.
A claim "not below" *holds* when the whole interval is above minus the margin, and *does not hold* when it is
all below that. The intervals are about the rooms that were asked, not about the seeds: a claim that holds, but not
in every seed taken alone, says in how many it does."""


@dataclass(frozen=True)
class Found:
    """A metric over seeds: mean, ends of its interval, each seed's own, and over how many rooms and questions.

    Of a type that no question of the rooms has, ``samples`` is 0. There and where the metric has no value on one
    of the seeds, mean and ends are NaN.
    """

    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    scenes: int
    samples: int

    @property
    def seeds(self) -> int:
        return len(self.by_seed)

    @property
    def hole(self) -> str | None:
        """What a table says in place of the number; None where there is one."""
        if not self.samples:
            return NOT_ASKED
        return NO_VALUE if math.isnan(self.mean) else None


def seeds_with(experiment: Experiment, out: Path, arm: str, view: str, where: str = STANDARD) -> set[int]:
    """The seeds on which an arm was judged on ``view``."""
    return set(_runs(experiment, out, arm, view, where))


def value_of(
    experiment: Experiment,
    out: Path,
    arm: str,
    view: str,
    metric: str,
    where: str = STANDARD,
    seeds: Collection[int] | None = None,
) -> Found | None:
    """``metric`` of an arm over those of ``seeds`` (None: all) that are there; None without one."""
    found = _runs(experiment, out, arm, view, where)
    runs = [run for seed, run in found.items() if seeds is None or seed in seeds]
    return _found([_column(run, metric) for run in runs], runs[0], metric) if runs else None


def difference_of(experiment: Experiment, out: Path, claim: Claim, view: str, metric: str) -> Found | None:
    """Arm minus the one it is compared with, over the seeds that both have."""
    ours = _runs(experiment, out, claim.arm, view, claim.where)
    theirs = _runs(experiment, out, claim.against, claim.against_view or view, claim.where)
    both = [seed for seed in ours if seed in theirs]
    if not both:
        return None
    gaps = []
    for seed in both:
        a, b = _column(ours[seed], metric), _column(theirs[seed], metric)
        gaps.append((a[0] - b[0], a[1] - b[1]))
    return _found(gaps, ours[both[0]], metric)


def verdict(found: Found | None, claim: Claim) -> str:
    """By :data:`RULE`."""
    if found is None:
        return NOT_RUN
    if found.hole is not None:
        return found.hole
    if found.seeds < MIN_SEEDS:
        return f"undecided ({found.seeds} of {MIN_SEEDS} seeds)"
    least, most = (0.0, claim.margin) if claim.kind == "above" else (-claim.margin, -claim.margin)
    if found.low > least:
        alone = sum(value > least for value in found.by_seed)
        return HOLDS if alone == found.seeds else f"{HOLDS} (in {alone} of {found.seeds} seeds)"
    return FAILS if found.high < most else "undecided"


def cost_of(experiment: Experiment, out: Path, arm: str) -> dict[str, Any] | None:
    """Mean ``steps``, ``optimizer_tokens`` and ``training_seconds`` of an arm's finished seeds."""
    rows = []
    for seed in experiment.seeds:
        file = folder_of(out, experiment.world, seed) / "stages" / arm / "done.json"
        if file.is_file():
            rows.append(json.loads(file.read_text(encoding="utf-8")))
    keys = ("steps", "optimizer_tokens", "training_seconds")
    return {key: float(np.mean([row[key] for row in rows])) for key in keys} if rows else None


def _runs(experiment: Experiment, out: Path, arm: str, view: str, where: str) -> dict[int, Resampled]:
    options = json.dumps(dict(experiment.world.held_out.get(view, {})), default=list, sort_keys=True)
    found: dict[int, Resampled] = {}
    for seed in experiment.seeds:
        folder = held_out_folder(folder_of(out, experiment.world, seed), where)
        if (folder / arm / f"{view}.scores.json").is_file():
            found[seed] = _resampled(folder, arm, view, options)
    return found


@lru_cache(maxsize=1024)
def _resampled(folder: Path, arm: str, view: str, options: str) -> Resampled:
    task = make_task(task_of(view), None, json.loads(options))
    samples = _samples(folder / f"{view}.samples.jsonl")
    predictions = read_predictions(folder / arm / f"{view}.predictions.jsonl")
    run = score_predictions(task, samples, predictions)
    pools, finish = pools_of(run)
    spatial = task_of(view) == "spatial"
    if spatial:
        answers = {answer.id: answer for answer in predictions}
        for pool, sample in zip(pools, run.samples, strict=True):
            if sample.truth["question_type"] in FOLLOWED_TYPES:
                pool.update(sums_of(sample, answers.get(sample.id)))

    def finished(totals: Mapping[str, float]) -> Mapping[str, float | None]:
        numbers = dict(finish(totals))
        asked, named = numbers.get("count/samples"), numbers.get("count/predictions")
        if asked and named is not None:
            numbers["boxes"] = named / asked
        for mean in ("", "/micro"):
            precision, recall = numbers.get(f"precision@0.25{mean}"), numbers.get(f"recall@0.25{mean}")
            if precision is not None and recall is not None:
                numbers[f"precision_minus_recall{mean}"] = precision - recall
        if spatial:
            found = followed_from(totals)
            numbers |= {f"follow/{kind}": found[kind].r for kind in FOLLOWED_TYPES}
        return numbers

    return resample_pools(
        pools, [sample.scene for sample in run.samples], finished, resamples=RESAMPLES, seed=0
    )


@lru_cache(maxsize=32)
def _samples(file: Path) -> list[Sample]:
    """Read once for all arms: reading takes longer than scoring."""
    return list(read_samples(file))


def _column(run: Resampled, metric: str) -> tuple[float, NDArray[np.float64]]:
    """The metric's value and its resamples; percent unless it is a count. KeyError for an unknown one."""
    factor = 1.0 if metric in COUNTED else 100.0
    point = run.point[metric]
    if point is None:
        return float("nan"), np.full(len(run.values), np.nan)
    return factor * point, factor * run.values[:, run.names.index(metric)]


def _found(columns: Sequence[tuple[float, NDArray[np.float64]]], run: Resampled, metric: str) -> Found:
    points = [point for point, _ in columns]
    drawn = np.mean([values for _, values in columns], axis=0)
    drawn = drawn[~np.isnan(drawn)]
    low = high = math.nan
    if drawn.size and not np.isnan(points).any():
        low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    mean = math.nan if math.isnan(low) else float(np.mean(points))
    return Found(mean, low, high, tuple(points), run.scenes, _asked(run, metric))


def _asked(run: Resampled, metric: str) -> int:
    """Questions that the metric is about: all, or those of its type."""
    kind, _, own = metric.partition("/")
    of_type = run.point.get(f"count/{own}") if kind in ("accuracy", "follow") else None
    return run.samples if of_type is None else round(of_type)
