"""Scoring: every sample counts, ids are checked, the numbers are the task's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rft3d
from rft3d.evaluation import ScoreConfig, score_files, score_predictions, summarise
from rft3d.evaluation.records import Prediction, write_predictions
from rft3d.evaluation.results import Share, Unread
from rft3d.evaluation.score import HEADLINE
from rft3d.files import plain
from rft3d.tasks import make_task
from rft3d.tasks.samples import write_samples
from rft3d.tasks.types import Sample

from .fakes import detection_sample, gold_answers, grounding_sample, spatial_sample

SAMPLES = {
    "detection": [detection_sample(number) for number in range(6)],
    "grounding": [grounding_sample(number) for number in range(6)],
    "spatial": [spatial_sample(number) for number in range(6)],
}
FAST = ScoreConfig(resamples=50)


def gold_predictions(samples: list[Sample]) -> list[Prediction]:
    answers = gold_answers(samples)
    return [Prediction(sample.id, answers[sample.prompt]) for sample in samples]


@pytest.mark.parametrize("name", list(SAMPLES))
def test_gold_answers_earn_the_metrics_best(name: str) -> None:
    task, samples = make_task(name), SAMPLES[name]
    result = summarise(score_predictions(task, samples, gold_predictions(samples)), FAST)
    assert result.samples == result.scenes == 6
    assert result.parse_failures == Unread(0, 0.0, {})
    assert len(result.missing) == result.truncated.count == 0
    assert list(result.headline) == list(HEADLINE[name])
    for metric, found in result.headline.items():
        if name == "detection" and metric != "mean_iou":  # mean over classes that mostly do not occur here
            assert found.value == pytest.approx(2 / len(task.classes))  # type: ignore[attr-defined]
        else:
            assert found.value >= 0.95
            assert found.low <= found.value <= found.high


@pytest.mark.parametrize("name", list(SAMPLES))
def test_garbage_is_counted_as_unreadable(name: str) -> None:
    samples = SAMPLES[name]
    predictions = gold_predictions(samples)
    predictions[0] = Prediction(samples[0].id, "well, you see")
    predictions[1] = Prediction(samples[1].id, predictions[1].text, truncated=True)
    result = summarise(score_predictions(make_task(name), samples, predictions), FAST)
    assert result.parse_failures.count == 1
    assert sum(result.parse_failures.reasons.values()) == 1
    assert result.truncated == Share(1, pytest.approx(1 / 6))
    best = summarise(score_predictions(make_task(name), samples, gold_predictions(samples)), FAST)
    assert result.reward == pytest.approx(best.reward * 4 / 6, rel=0.02)


def test_ids_are_checked_and_named() -> None:
    samples = SAMPLES["detection"]
    task, gold = make_task("detection"), gold_predictions(samples)
    with pytest.raises(ValueError, match=r"missing.*'s5'"):
        score_predictions(task, samples, gold[:-1])
    with pytest.raises(ValueError, match=r"unknown.*'stranger'"):
        score_predictions(task, samples, [*gold, Prediction("stranger", "")])
    with pytest.raises(ValueError, match=r"repeated.*'s0'"):
        score_predictions(task, samples, [*gold, gold[0]], allow_missing=True)
    with pytest.raises(ValueError, match=r"'s0' is of task 'detection'"):
        score_predictions(make_task("spatial"), samples, gold)


def test_allowed_missing_predictions_are_wrong_answers() -> None:
    samples = SAMPLES["grounding"]
    run = score_predictions(
        make_task("grounding"), samples, gold_predictions(samples)[:3], allow_missing=True
    )
    result = summarise(run, FAST)
    assert result.missing == ("g3", "g4", "g5")
    assert result.metrics["acc@0.25"] == 0.5


def test_files_and_provenance(tmp_path: Path) -> None:
    samples = SAMPLES["spatial"]
    write_samples(tmp_path / "s.jsonl", samples)
    write_predictions(tmp_path / "gold.jsonl", gold_predictions(samples))
    write_predictions(tmp_path / "bad.jsonl", [Prediction(s.id, "900", tokens=4) for s in samples])
    result = score_files("spatial", tmp_path / "s.jsonl", tmp_path / "bad.jsonl", FAST)
    json.dumps(result, allow_nan=False, default=plain)
    assert result.mean_tokens == 4.0
    assert result.protocol["mode"] == "lenient"
    assert result.headline["micro"].value == 0.0


def test_mode_decides_what_can_be_read() -> None:
    samples = SAMPLES["spatial"]
    chatty = [Prediction(s.id, f"There are {s.truth['answer']} of them.") for s in samples]
    rates = {
        mode: summarise(score_predictions(make_task("spatial", mode), samples, chatty), FAST)
        for mode in ("strict", "lenient")
    }
    assert rates["lenient"].headline["micro"].value == 1.0
    assert rates["strict"].headline["micro"].value == 0.0
    assert rates["strict"].protocol["mode"] == "strict"
    with pytest.raises(ValueError, match="unknown task"):
        make_task("cooking")


def test_options_of_the_task_are_used_and_stated() -> None:
    samples = SAMPLES["detection"]
    config = ScoreConfig(resamples=10, options={"classes": ["chair", "table"], "reward": "matched"})
    task = make_task("detection", options=config.options)
    result = summarise(score_predictions(task, samples, gold_predictions(samples)), config)
    assert result.headline["f1@0.25"].value == 1.0
    assert result.options == config.options
    assert set(result.reward_parts) == {"format", "f1@0.25", "matched_iou"}
    with pytest.raises(ValueError, match="colour"):
        make_task("detection", options={"colour": 1})


def test_scoring_needs_no_torch(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.jsonl", SAMPLES["detection"])
    write_predictions(tmp_path / "p.jsonl", gold_predictions(SAMPLES["detection"]))
    script = (
        "import sys; from rft3d.cli import main\n"
        f"code = main(['score', {str(tmp_path / 'p.jsonl')!r}, '--task', 'detection',"
        f" '--samples', {str(tmp_path / 's.jsonl')!r}, '--resamples', '10'])\n"
        "assert code == 0, code\n"
        "heavy = {'torch', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(rft3d.__file__).parent.parent)},
    )
    assert done.returncode == 0, done.stderr
