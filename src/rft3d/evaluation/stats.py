"""Intervals and paired comparisons by bootstrap over scenes.

Questions about one scene are not independent, so *scenes* are resampled (a cluster bootstrap), and
the official metric is recomputed from the resampled samples' cached scores. Percentile intervals:
B. Efron, "Bootstrap methods: another look at the jackknife" (1979); paired comparison of two
systems on the same items: P. Koehn, "Statistical significance tests for machine translation
evaluation" (EMNLP 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rft3d.rewards.score import Score
from rft3d.tasks.types import Sample

Metric = Callable[[Sequence[Sample], Sequence[Score]], Mapping[str, float | None]]
Totals = Mapping[str, float]
Finish = Callable[[Totals], Mapping[str, float | None]]
"""From sums over samples to metrics; what a task calls ``metric_from``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric's value on all samples and a percentile interval for it.

    Attributes:
        value: the metric on the data as they are; None when undefined.
        low, high: ends of the interval; None when no resample had a value.
        level: coverage aimed at, e.g. 0.95.
        scenes, samples: how many of each went in (``scenes`` is the n of the bootstrap).
        resamples: how many resamples were drawn; ``undefined`` of them had no value and were left out.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    scenes: int
    samples: int
    resamples: int
    undefined: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """B minus A on the same samples, with a percentile interval of the difference.

    ``share_b_above_a`` is the share of resamples in which B's value is larger (ties are not).
    """

    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    share_b_above_a: float | None
    level: float
    scenes: int
    samples: int
    resamples: int


@dataclass(frozen=True, eq=False)
class Resampled:
    """A metric on the data as they are and on resampled scenes.

    ``values`` is ``(resamples, len(names))``, NaN where undefined. Row r of two runs on the same
    samples with the same ``seed`` comes from the same scenes, so their rows form pairs.
    """

    names: tuple[str, ...]
    point: Mapping[str, float | None]
    values: NDArray[np.float64]
    scenes: int
    samples: int
    seed: int


def resample(
    metric: Metric,
    samples: Sequence[Sample],
    scores: Sequence[Score],
    names: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """Recompute ``metric`` on ``resamples`` draws of as many scenes as there are, with replacement.

    ``metric(samples, scores)`` must not depend on the order of the samples and must accept repeats.
    A name that ``metric`` does not return is a KeyError.
    """
    if len(scores) != len(samples):
        raise ValueError(f"{len(samples)} samples but {len(scores)} scores; one score a sample is needed")
    if not samples:
        raise ValueError("no samples to resample; an interval needs at least one scene")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    by_scene: dict[str, list[int]] = {}
    for index, sample in enumerate(samples):
        by_scene.setdefault(sample.scene, []).append(index)
    clusters = list(by_scene.values())
    rng = np.random.default_rng(seed)
    values = np.full((resamples, len(names)), np.nan)
    for row in values:
        chosen = rng.integers(len(clusters), size=len(clusters)).tolist()
        indices = [index for scene in chosen for index in clusters[scene]]
        numbers = metric([samples[i] for i in indices], [scores[i] for i in indices])
        for column, name in enumerate(names):
            if (value := numbers[name]) is not None:
                row[column] = value
    return Resampled(tuple(names), metric(samples, scores), values, len(clusters), len(samples), seed)


def resample_pools(
    pools: Sequence[Totals],
    scenes: Sequence[str],
    finish: Finish,
    names: Sequence[str] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """:func:`resample` for a metric of sums: draws the same scenes, but adds up each scene only once.

    Args:
        pools: one a sample, what it adds to the sums (a key that is missing adds 0).
        scenes: of each sample.
        finish: the metric of summed pools.
        names: metrics to keep; None: every one that is defined on the data as they are.
    """
    if len(pools) != len(scenes):
        raise ValueError(f"{len(scenes)} scenes but {len(pools)} pools; one of each a sample is needed")
    if not pools:
        raise ValueError("no samples to resample; an interval needs at least one scene")
    if resamples < 0:
        raise ValueError(f"resamples must be at least 0, got {resamples}")
    columns = {key: index for index, key in enumerate(dict.fromkeys(key for pool in pools for key in pool))}
    rows = {scene: index for index, scene in enumerate(dict.fromkeys(scenes))}
    sums = np.zeros((len(rows), len(columns)))
    for pool, scene in zip(pools, scenes, strict=True):
        row = sums[rows[scene]]
        for key, value in pool.items():
            row[columns[key]] += value
    point = dict(finish(dict(zip(columns, sums.sum(axis=0).tolist(), strict=True))))
    kept = tuple(names) if names is not None else tuple(k for k, v in point.items() if v is not None)
    rng = np.random.default_rng(seed)
    values = np.full((resamples, len(kept)), np.nan)
    for drawn in values:
        chosen = rng.integers(len(rows), size=len(rows))
        totals = np.bincount(chosen, minlength=len(rows)) @ sums
        numbers = finish(dict(zip(columns, totals.tolist(), strict=True)))
        drawn[:] = [np.nan if (value := numbers.get(name)) is None else value for name in kept]
    return Resampled(kept, point, values, len(rows), len(pools), seed)


def intervals(run: Resampled, level: float = 0.95) -> dict[str, Interval]:
    """An :class:`Interval` a name. With one scene there is no spread to see: the ends equal the value."""
    found = {}
    for column, name in enumerate(run.names):
        drawn = run.values[:, column]
        low, high = _percentiles(drawn, level)
        found[name] = Interval(
            value=run.point[name],
            low=low,
            high=high,
            level=level,
            scenes=run.scenes,
            samples=run.samples,
            resamples=len(drawn),
            undefined=int(np.isnan(drawn).sum()),
        )
    return found


def differences(run_a: Resampled, run_b: Resampled, level: float = 0.95) -> dict[str, Difference]:
    """A :class:`Difference` a name, from two runs resampled alike."""
    shape_a, shape_b = (
        (run.names, run.values.shape, run.scenes, run.samples, run.seed) for run in (run_a, run_b)
    )
    if shape_a != shape_b:
        raise ValueError(f"runs must be resampled alike to form pairs, got {shape_a} and {shape_b}")
    found = {}
    for column, name in enumerate(run_a.names):
        a, b = run_a.point[name], run_b.point[name]
        change = run_b.values[:, column] - run_a.values[:, column]
        low, high = _percentiles(change, level)
        defined = change[~np.isnan(change)]
        found[name] = Difference(
            a=a,
            b=b,
            difference=None if a is None or b is None else b - a,
            low=low,
            high=high,
            share_b_above_a=float((defined > 0).mean()) if defined.size else None,
            level=level,
            scenes=run_a.scenes,
            samples=run_a.samples,
            resamples=len(change),
        )
    return found


def _percentiles(values: NDArray[np.float64], level: float) -> tuple[float | None, float | None]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    defined = values[~np.isnan(values)]
    if not defined.size:
        return None, None
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    return float(low), float(high)
