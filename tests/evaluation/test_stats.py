"""Bootstrap: the cluster is the scene, the numbers are reproducible, pairs stay pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tests.evaluation.slow_bootstrap import Metric, resample

from rft3d.evaluation.stats import Interval, differences, intervals
from rft3d.rewards import Part, Score
from rft3d.tasks.types import Sample


def make_sample(number: int, scene: str) -> Sample:
    return Sample(str(number), "toy", scene, (), "?", {})


def make_score(value: float) -> Score:
    return Score((Part("hit", value, "made up"),))


def mean_metric(samples: Sequence[Sample], scores: Sequence[Score]) -> dict[str, float | None]:
    return {"mean": sum(score.total for score in scores) / len(scores), "never": None}


def bootstrap(
    metric: Metric,
    samples: Sequence[Sample],
    scores: Sequence[Score],
    names: Sequence[str],
    level: float = 0.95,
    **how: int,
) -> dict[str, Interval]:
    return intervals(resample(metric, samples, scores, names, **how), level)


def test_interval_of_a_mean_agrees_with_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, 400)
    samples = [make_sample(i, f"scene{i}") for i in range(400)]
    scores = [make_score(v) for v in values]
    found = bootstrap(mean_metric, samples, scores, ["mean"], resamples=4000)["mean"]
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.low is not None and found.high is not None
    assert found.low == pytest.approx(values.mean() - half_width, abs=0.06 * half_width)
    assert found.high == pytest.approx(values.mean() + half_width, abs=0.06 * half_width)
    assert (found.scenes, found.samples, found.resamples, found.undefined) == (400, 400, 4000, 0)


def test_scenes_are_resampled_as_a_whole() -> None:
    values = [float(scene % 2) for scene in range(40) for _ in range(10)]
    alone = [make_sample(i, f"scene{i}") for i in range(400)]
    together = [make_sample(i, f"scene{i // 10}") for i in range(400)]
    scores = [make_score(value) for value in values]
    narrow = bootstrap(mean_metric, alone, scores, ["mean"])["mean"]
    wide = bootstrap(mean_metric, together, scores, ["mean"])["mean"]
    assert narrow.high is not None and narrow.low is not None
    assert wide.high is not None and wide.low is not None
    # ten fully dependent questions a scene: the interval is sqrt(10) times as wide
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(10**0.5, rel=0.2)
    assert wide.scenes == 40


def test_same_seed_same_interval_and_other_seed_another() -> None:
    samples = [make_sample(i, f"scene{i % 7}") for i in range(30)]
    scores = [make_score(i / 30) for i in range(30)]
    first, second, third = (
        bootstrap(mean_metric, samples, scores, ["mean"], seed=seed)["mean"] for seed in (1, 1, 2)
    )
    assert first == second
    assert first != third


def test_undefined_resamples_are_counted_and_left_out() -> None:
    def only_a(samples: Sequence[Sample], scores: Sequence[Score]) -> dict[str, float | None]:
        found = [score.total for sample, score in zip(samples, scores, strict=True) if sample.scene == "a"]
        return {"a": sum(found) / len(found) if found else None}

    samples = [make_sample(0, "a"), make_sample(1, "b")]
    found = bootstrap(only_a, samples, [make_score(0.25), make_score(1.0)], ["a"])["a"]
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)
    assert 200 < found.undefined < 300  # a quarter of the resamples draw "b" twice
    never = bootstrap(mean_metric, samples, [make_score(0.0)] * 2, ["never"])["never"]
    assert (never.value, never.low, never.high, never.undefined) == (None, None, None, 1000)


def test_paired_difference_is_much_sharper_than_the_two_intervals() -> None:
    hard = np.random.default_rng(0).normal(0.5, 0.3, 200)
    samples = [make_sample(i, f"scene{i}") for i in range(200)]
    run_a, run_b = [make_score(v) for v in hard], [make_score(v + 0.01) for v in hard]
    resampled_a, resampled_b = (
        resample(mean_metric, samples, scores, ["mean", "never"]) for scores in (run_a, run_b)
    )
    found = differences(resampled_a, resampled_b)
    mean = found["mean"]
    assert mean.low == pytest.approx(0.01) and mean.high == pytest.approx(0.01)
    assert mean.share_b_above_a == 1.0
    assert mean.difference == pytest.approx(0.01)
    assert differences(resampled_a, resampled_a)["mean"].share_b_above_a == 0.0
    assert found["never"].share_b_above_a is None and found["never"].difference is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resamples": 0}, "resamples"),
        ({"level": 1.0}, "level"),
        ({"scores": []}, "one score a sample"),
        ({"samples": [], "scores": []}, "no samples"),
    ],
)
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    usual = {"samples": [make_sample(0, "a")], "scores": [make_score(1.0)], "names": ["mean"]}
    with pytest.raises(ValueError, match=message):
        bootstrap(mean_metric, **{**usual, **arguments})
