"""Paired comparison: the same scenes, a table by category, single answers that turned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rft3d.cli import main
from rft3d.evaluation import (
    ScoreConfig,
    compare_prediction_files,
    compare_runs,
    score_predictions,
)
from rft3d.evaluation.compare import ComparedFiles
from rft3d.evaluation.records import Prediction, read_predictions, write_predictions
from rft3d.evaluation.stats import Difference
from rft3d.files import plain
from rft3d.tasks import make_task
from rft3d.tasks.samples import write_samples
from rft3d.tasks.types import Sample

from .fakes import detection_sample, gold_answers

SAMPLES = [detection_sample(n) for n in range(20)]


def files(tmp_path: Path, samples: list[Sample] = SAMPLES) -> tuple[Path, Path, Path]:
    """A: everything right. B: the chair of every sample is called a plant."""
    gold = gold_answers(samples)
    write_samples(tmp_path / "s.jsonl", samples)
    a = [Prediction(s.id, gold[s.prompt]) for s in samples]
    write_predictions(tmp_path / "a.jsonl", a)
    write_predictions(tmp_path / "b.jsonl", [replace(p, text=p.text.replace("chair", "plant")) for p in a])
    return tmp_path / "s.jsonl", tmp_path / "a.jsonl", tmp_path / "b.jsonl"


def row(found: ComparedFiles, metric: str, category: str = "") -> Difference:
    return found.first[f"{metric}/{category}" if category else metric]


def test_differences_by_class(tmp_path: Path) -> None:
    samples, a, b = files(tmp_path)
    found = compare_prediction_files(samples, a, b, task="detection", config=ScoreConfig(resamples=50))
    assert row(found, "f1@0.25", "class:chair").difference == pytest.approx(-1.0)
    assert row(found, "f1@0.25", "class:table").difference == 0.0
    assert row(found, "f1@0.25", "class:chair").decided and not row(found, "f1@0.25", "class:table").decided
    assert row(found, "f1@0.25").difference == pytest.approx(-1 / 20)
    assert "/" not in next(iter(found.first)) and found.turned == {"better": 0, "worse": 20, "same": 0}
    json.dumps(found, allow_nan=False, default=plain)


def test_what_is_left_where_both_answers_can_be_read(tmp_path: Path) -> None:
    samples, a, b = files(tmp_path)
    answers = [replace(p, text="a chair") if n < 5 else p for n, p in enumerate(read_predictions(a))]
    write_predictions(tmp_path / "c.jsonl", answers)
    found = compare_prediction_files(
        samples, a, tmp_path / "c.jsonl", task="detection", config=ScoreConfig(resamples=50)
    )
    assert row(found, "recall@0.25", "micro").difference == pytest.approx(-0.25)
    name = "15 of 20 samples, where both answers can be read"
    assert list(found.variants) == ["ours", name]
    assert {r.difference for r in found.variants[name].values()} == {0.0}
    everything = compare_prediction_files(samples, a, b, task="detection", config=ScoreConfig(resamples=50))
    assert list(everything.variants) == ["ours"]


def test_by_benchmark_every_variant_is_compared(tmp_path: Path) -> None:
    samples, a, b = files(tmp_path)
    config = ScoreConfig(resamples=20, compat="vg-llm")
    found = compare_prediction_files(samples, a, b, benchmark="scannet-detection-4f", config=config)
    assert list(found.variants) == ["ours", "vg-llm"]
    assert row(found, "f1@0.25", "class:chair").difference == pytest.approx(-1.0)
    with pytest.raises(ValueError, match="either a task or a benchmark"):
        compare_prediction_files(samples, a, b)


def test_runs_of_other_samples_cannot_be_compared() -> None:
    gold = gold_answers(SAMPLES)
    runs = [
        score_predictions(make_task("detection"), chosen, [Prediction(s.id, gold[s.prompt]) for s in chosen])
        for chosen in (SAMPLES, SAMPLES[:-1])
    ]
    with pytest.raises(ValueError, match="not of the same samples"):
        compare_runs(runs[0], runs[1])
    same = compare_runs(runs[0], runs[0], ScoreConfig(resamples=10))
    assert all(each.difference == 0 and not each.decided for each in same.values())


@pytest.mark.parametrize("by", [{"task": "detection"}, {"benchmark": "scannet-detection-4f"}])
@pytest.mark.parametrize("damaged", ["a", "b"])
@pytest.mark.parametrize("text", ['{"id": "nobody", "text": "x"}\n', '{"id": "s0", "te'])
def test_the_damaged_file_of_the_two_is_named(
    tmp_path: Path, by: dict[str, str], damaged: str, text: str
) -> None:
    samples, *_ = files(tmp_path)
    bad = tmp_path / f"{damaged}.jsonl"
    bad.write_text(bad.read_text() + text)
    with pytest.raises(ValueError) as caught:
        compare_prediction_files(samples, tmp_path / "a.jsonl", tmp_path / "b.jsonl", **by)
    assert str(bad) in str(caught.value) and "\n" not in str(caught.value)


def test_the_verb_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples, a, b = files(tmp_path)
    out = tmp_path / "c.json"
    command = ["compare", str(a), str(b), "--samples", str(samples), "--resamples", "20", "--out", str(out)]
    assert main([*command, "--task", "detection"]) == 0
    printed = capsys.readouterr().out
    assert "chair" in printed and "20 worse" in " ".join(printed.split()) and "*" in printed
    assert json.loads(out.read_text())["variants"]["ours"]["f1@0.25/class:chair"]["difference"] == -1.0
    assert main([*command, "--force"]) == 2
    assert "either --task or --benchmark" in capsys.readouterr().err
