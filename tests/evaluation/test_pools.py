"""Sums over samples give the same metrics and the same resamples as the metric on lists of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.evaluation.slow_bootstrap import resample

from rft3d.evaluation import score_predictions
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.score import pools_of, resample_run
from rft3d.evaluation.stats import resample_pools
from rft3d.tasks import TASKS, make_task

from .fakes import caption_sample, detection_sample, gold_answers, grounding_sample, spatial_sample

MAKE = {"detection": detection_sample, "grounding": grounding_sample, "spatial": spatial_sample,
        "captioning": caption_sample}  # fmt: skip


def mixed_run(name: str) -> Any:
    """Right, unreadable, truncated, shifted and missing answers, two samples a scene."""
    samples = [MAKE[name](number, **({"scene": f"scene{number // 2}"} if name == "detection" else {}))
               for number in range(12)]  # fmt: skip
    gold = gold_answers(samples)
    predictions = []
    for number, sample in enumerate(samples):
        answer = gold[sample.prompt]
        if number % 4 == 1:
            answer = answer.replace("0.6", "1.9").replace("1", "2")
        predictions.append(Prediction(sample.id, "nothing" if number % 5 == 4 else answer, number % 7 == 3))
    return score_predictions(make_task(name), samples, predictions[:-1], allow_missing=True)


@pytest.mark.parametrize("name", list(TASKS))
def test_resampling_sums_is_resampling_samples(name: str) -> None:
    run = mixed_run(name)
    fast = resample_run(run, 40, seed=3)
    slow = resample(run.task.metric, run.samples, run.scores, fast.names, resamples=40, seed=3)
    # CIDEr's document frequencies stay those of all samples, so its resamples are not the metric's own
    kept = [place for place, metric in enumerate(fast.names) if not metric.startswith("cider")]
    np.testing.assert_allclose(fast.values[:, kept], slow.values[:, kept], rtol=1e-12, equal_nan=True)
    assert fast.scenes == slow.scenes and fast.samples == slow.samples == 12
    for metric, value in slow.point.items():
        assert fast.point[metric] == pytest.approx(value)


def test_further_metrics_are_resampled_on_request() -> None:
    run, wanted = mixed_run("detection"), ("f1@0.25/micro", "f1@0.25", "no such metric")
    usual, more = resample_run(run, 40, seed=3), resample_run(run, 40, seed=3, also=wanted)
    assert more.names == (*usual.names, "f1@0.25/micro")
    np.testing.assert_array_equal(more.values[:, :-1], usual.values)
    assert np.ptp(more.values[:, -1]) > 0


@pytest.mark.parametrize("name", list(TASKS))
def test_many_at_once_is_one_by_one(name: str) -> None:
    run = mixed_run(name)
    task = run.task
    predictions = [
        ("```json\n[\n]```", False),
        ("[]", True),
        ("x", False),
        (task.gold(run.samples[0]), False),
    ]
    texts, cut = [text for text, _ in predictions], [c for _, c in predictions]
    many = task.score_many(texts, run.samples[:4], cut)
    assert many == [task.score(t, s, c) for t, s, c in zip(texts, run.samples[:4], cut, strict=True)]
    pools, finish = pools_of(run)
    totals: dict[str, float] = {}
    for pool in pools:
        for key, value in pool.items():
            totals[key] = totals.get(key, 0.0) + value
    assert finish(totals) == pytest.approx(task.metric(run.samples, run.scores))
    assert set(finish({})) <= set(task.metric(run.samples, run.scores)) | {"macro8/tasks"}


def test_pools_are_checked() -> None:
    with pytest.raises(ValueError, match="2 scenes but 1 pools"):
        resample_pools([{"a": 1.0}], ["x", "y"], dict)
    with pytest.raises(ValueError, match="no samples"):
        resample_pools([], [], dict)
