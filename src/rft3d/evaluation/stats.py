"""Intervals and paired comparisons by bootstrap over scenes.

Questions about one scene are not independent, so *scenes* are resampled (a cluster bootstrap), and
the official metric is recomputed from the resampled samples' cached scores. Percentile intervals:
B. Efron, "Bootstrap methods: another look at the jackknife" (1979); paired comparison of two
systems on the same items: P. Koehn, "Statistical significance tests for machine translation
evaluation" (EMNLP 2004).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Totals = Mapping[str, float]
Finish = Callable[[Totals], Mapping[str, float | None]]
"""From sums over samples to metrics; what a task calls ``metric_from``."""


def is_rate(name: str) -> bool:
    """Whether the metric of this name is a share, not a count."""
    return not name.startswith("count/") and not name.endswith("/tasks")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    low: float | None
    high: float | None
    level: float
    scenes: int
    samples: int
    resamples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval(_Spread):
    """A metric's value on all samples (None: undefined) and a percentile interval for it.

    ``low``, ``high``: its ends; None when no resample had a value. ``level``: coverage aimed at. ``scenes`` is the
    n of the bootstrap. ``undefined`` of the ``resamples`` had no value and were left out.
    """

    value: float | None
    undefined: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(_Spread):
    """B minus A on the same samples, with an interval; ``share_b_above_a``: of the resamples (ties are not)."""

    a: float | None
    b: float | None
    difference: float | None
    share_b_above_a: float | None

    @property
    def decided(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


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


def resample_pools(
    pools: Sequence[Totals],
    scenes: Sequence[str],
    finish: Finish,
    names: Sequence[str] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Resampled:
    """A metric of sums on ``resamples`` draws of as many scenes as there are, with replacement.

    ``pools``: one a sample, what it adds to the sums (a missing key adds 0); ``scenes``: of each sample.
    ``finish``: the metric of summed pools. ``names``: metrics to keep; None: every one that is defined on the data
    as they are.
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
        undefined = int(np.isnan(drawn).sum())
        found[name] = Interval(value=run.point[name], undefined=undefined, **_spread(run, drawn, level))
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
        defined = change[~np.isnan(change)]
        found[name] = Difference(
            a=a,
            b=b,
            difference=None if a is None or b is None else b - a,
            share_b_above_a=float((defined > 0).mean()) if defined.size else None,
            **_spread(run_a, change, level),
        )
    return found


def percentile_interval(drawn: NDArray[np.float64], tail: float) -> list[float] | None:
    """Ends of ``drawn`` without the share ``tail`` on either side; NaN is left out, None where nothing else is."""
    defined = drawn[~np.isnan(drawn)]
    return np.quantile(defined, [tail, 1.0 - tail]).tolist() if defined.size else None


def _spread(run: Resampled, drawn: NDArray[np.float64], level: float) -> dict[str, Any]:
    """The percentile interval of ``drawn``, with what went into it."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    low, high = percentile_interval(drawn, (1.0 - level) / 2.0) or (None, None)
    counts = {"scenes": run.scenes, "samples": run.samples, "resamples": len(drawn)}
    return {"low": low, "high": high, "level": level, **counts}
