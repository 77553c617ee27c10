"""The bootstrap by its definition: the metric anew on every resampled list. A reference for sums over scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rft3d.evaluation.stats import Resampled
from rft3d.rewards import Score
from rft3d.tasks.types import Sample

Metric = Callable[[Sequence[Sample], Sequence[Score]], Mapping[str, float | None]]


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
