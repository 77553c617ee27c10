"""Numbers of arms from their files alone: means over seeds, paired differences, verdicts.

The held-out rooms are the same for every seed, so resample r of every seed and arm draws the same rooms. A
resample's value is the mean over seeds; the interval is the middle 95 % of the resamples. It says how far the
result depends on the rooms that were asked about; that seeds differ shows in the range beside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.evaluation import read_predictions, score_predictions
from rft3d.evaluation.score import pools_of
from rft3d.evaluation.stats import Resampled, percentile_interval, resample_pools
from rft3d.experiments.types import Claim, held_out_folder, rooms_and_view
from rft3d.files import naming, read_json
from rft3d.runfolder import DONE
from rft3d.tasks import Sample, make_task, read_samples, task_of
from rft3d.typed import typed

RESAMPLES = 1000
MIN_SEEDS = 3
"""With fewer seeds nothing is decided."""
HOLDS, FAILS, UNDECIDED, NOT_RUN = "**holds**", "**does not hold**", "undecided", "not yet run"
"""How a verdict begins (:func:`verdict`)."""
MARGIN = 1.0
"""Points; a gain that is surely smaller is no gain."""
RULE = f"""A claim is written into its recipe before its arms run; the rule is the same for all. *holds*: the whole
95 % interval of the difference is above 0. *does not hold*: the whole interval is below {MARGIN:g} point, so that
there is no gain worth having. *undecided*: anything else, or fewer than
{MIN_SEEDS} seeds. The intervals are about the rooms that were asked, not about the seeds: a claim that holds, but
not in every seed taken alone, says in how many it does."""


@dataclass(frozen=True)
class Found:
    """A metric over seeds: mean, ends of its interval, each seed's own, over how many rooms and questions.

    Mean and ends are NaN where the metric has no value on one of the seeds (no such question was asked).
    """

    mean: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    scenes: int
    samples: int


def value_of(roots: Mapping[int, Path], arm: str, view: str, metric: str) -> Found | None:
    """``metric`` of an arm over the seeds that are there (``roots``: run folder by seed); None without one."""
    runs = _runs(roots, arm, view)
    return _found([_column(run, metric) for run in runs.values()], runs, metric) if runs else None


def difference_of(roots: Mapping[int, Path], claim: Claim, view: str, metric: str) -> Found | None:
    """Arm minus the one it is compared with, over the seeds that both have."""
    ours, theirs = _runs(roots, claim.arm, view), _runs(roots, claim.against, view)
    both = {seed: ours[seed] for seed in ours if seed in theirs}
    pairs = [(_column(ours[seed], metric), _column(theirs[seed], metric)) for seed in both]
    gaps = [(a[0] - b[0], a[1] - b[1]) for a, b in pairs]
    return _found(gaps, both, metric) if both else None


def verdict(found: Found | None) -> str:
    """By :data:`RULE`."""
    if found is None:
        return NOT_RUN
    seeds = len(found.by_seed)
    if math.isnan(found.mean):
        return "no value"
    if seeds < MIN_SEEDS:
        return f"{UNDECIDED} ({seeds} of {MIN_SEEDS} seeds)"
    if found.low > 0:
        alone = sum(value > 0 for value in found.by_seed)
        return HOLDS if alone == seeds else f"{HOLDS} (in {alone} of {seeds} seeds)"
    return FAILS if found.high < MARGIN else UNDECIDED


def cost_of(roots: Mapping[int, Path], arm: str) -> dict[str, float] | None:
    """Mean ``steps``, ``tokens`` and ``training_seconds`` of an arm's finished seeds, and how many those are."""
    files = [root / "stages" / arm / DONE for root in roots.values()]
    rows = {file: read_json(file, dict) for file in files if file.is_file()}
    keys = ("steps", "tokens", "training_seconds")
    costs = [[typed(float, row.get(key, 0), f"{file}: {key}") for key in keys] for file, row in rows.items()]
    means = dict(zip(keys, np.mean(costs, axis=0).tolist(), strict=True)) if rows else {}
    return {**means, "seeds": len(rows)} if rows else None


def _runs(roots: Mapping[int, Path], arm: str, view: str) -> dict[int, Resampled]:
    where, view = rooms_and_view(view)
    folders = {seed: held_out_folder(root, where) for seed, root in roots.items()}
    done = {seed: each for seed, each in folders.items() if (each / arm / f"{view}.scores.json").is_file()}
    return {seed: _resampled(folder, arm, view) for seed, folder in done.items()}


@lru_cache(maxsize=1024)
def _resampled(folder: Path, arm: str, view: str) -> Resampled:
    scores, answers = folder / arm / f"{view}.scores.json", folder / arm / f"{view}.predictions.jsonl"
    with naming(scores):
        task = make_task(task_of(view), None, read_json(scores, dict).get("options"))
    with naming(answers):
        run = score_predictions(task, _samples(folder / f"{view}.samples.jsonl"), read_predictions(answers))
    pools, finish = pools_of(run)
    scenes = [sample.scene for sample in run.samples]
    return resample_pools(pools, scenes, finish, resamples=RESAMPLES, seed=0)


@lru_cache(maxsize=32)
def _samples(file: Path) -> list[Sample]:
    """Read once for all arms: reading takes longer than scoring."""
    return list(read_samples(file))


def _column(run: Resampled, metric: str) -> tuple[float, NDArray[np.float64]]:
    """The metric's value and its resamples, in percent. KeyError for an unknown one."""
    point = run.point[metric]
    if point is None:
        return math.nan, np.full(len(run.values), np.nan)
    return 100 * point, 100 * run.values[:, run.names.index(metric)]


def _found(
    columns: Sequence[tuple[float, NDArray[np.float64]]], runs: Mapping[int, Resampled], metric: str
) -> Found:
    run = next(iter(runs.values()))
    points = [point for point, _ in columns]
    ends = percentile_interval(np.mean([values for _, values in columns], axis=0), 0.025)
    low = high = mean = math.nan
    if ends and not np.isnan(points).any():
        (low, high), mean = ends, float(np.mean(points))
    kind, _, own = metric.partition("/")
    of_type = run.point.get(f"count/{own}") if kind == "accuracy" else None
    count = run.samples if of_type is None else round(of_type)
    return Found(mean, low, high, tuple(points), run.scenes, count)
