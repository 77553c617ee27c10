"""Anybody's predictions file: gold scores 100 and says over what, other shapes are read, duplicates are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rft3d.cli import main
from rft3d.evaluation import load_predictions, score_files
from rft3d.evaluation.records import SHAPES
from rft3d.tasks import Detection
from rft3d.tasks.samples import write_samples

from .fakes import detection_sample

SAMPLES = [detection_sample(n) for n in range(4)]
GOLD = {sample.id: Detection(decimals=6).gold(sample) for sample in SAMPLES}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    write_samples(tmp_path / "s.jsonl", SAMPLES)
    (tmp_path / "p.json").write_text(json.dumps(GOLD))
    return tmp_path / "s.jsonl", tmp_path / "p.json"


def command(samples: Path, predictions: Path, *words: object) -> list[str]:
    return ["score", str(predictions), "--force", "--samples", str(samples), *map(str, words)]


def run(capsys: pytest.CaptureFixture[str], samples: Path, predictions: Path, *words: object) -> str:
    assert main(command(samples, predictions, *words)) == 0
    return " ".join(capsys.readouterr().out.split())


def test_gold_scores_100_and_the_table_says_over_what(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for way in (["--task", "detection"], ["--benchmark", "scannet-detection-4f"]):
        out = run(capsys, *files, *way, "--resamples", 0)
        assert "mean over 20 classes, 2 present, the absent ones count 0" in out
        assert "present classes │ 100.0" in out and "all boxes pooled │ 100.0" in out


def test_a_class_that_no_truth_has_is_an_error(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(*files, "--task", "detection", "--classes", "sofa", "chair")) == 2
    assert "no true box is called 'sofa'; the labels are chair, table" in " ".join(
        capsys.readouterr().err.split()
    )


def test_duplicates_are_named_and_what_they_cost(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    samples, predictions = files
    chair = SAMPLES[0].truth["boxes"][0]
    near = {**chair, "bbox_3d": [chair["bbox_3d"][0] + 0.02, *chair["bbox_3d"][1:]]}
    far = {**chair, "bbox_3d": [chair["bbox_3d"][0] + 2.0, *chair["bbox_3d"][1:]]}
    twice = json.dumps([chair, near, far, SAMPLES[0].truth["boxes"][1]])
    predictions.write_text(json.dumps({**GOLD, "s0": twice}))
    found = score_files("detection", samples, predictions)
    assert found.duplicates.count == 1 and found.duplicates.rate == pytest.approx(1 / 10)
    assert found.metrics["f1@0.25/micro"] == pytest.approx(16 / 18)  # 8 hits, two too many
    assert found.duplicates.without["f1@0.25/micro"] == pytest.approx(16 / 17)
    out = run(capsys, samples, predictions, "--task", "detection", "--resamples", 0)
    assert "duplicates: 1 boxes (10.0 %)" in out and "pooled 94.1" in out


@pytest.mark.parametrize("field", ["response", "prediction", "boxes", "answer", "output"])
def test_other_shapes_of_predictions(field: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    rows = [{"id": s.id, field: s.truth["boxes"]} for s in SAMPLES]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "map.json").write_text(json.dumps({s.id: s.truth["boxes"] for s in SAMPLES}))
    for name in ("list.json", "lines.jsonl", "map.json"):
        found = score_files("detection", files[0], tmp_path / name)
        assert found.metrics["f1@0.25/micro"] == 1.0


def test_an_unknown_shape_is_told_which_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "s0", "guess": "x"}\n')
    with pytest.raises(ValueError) as error:
        load_predictions(tmp_path / "p.jsonl", SAMPLES)
    assert "'guess', 'id'" in str(error.value) and SHAPES in str(error.value)


def test_unreadable_answers_are_counted_by_reason(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    samples, predictions = files
    short = [
        '[{"label": "chair", "bbox_3d": [1, 2]}]',
        '[{"bbox_3d": [1]}]',
        '[{"bbox_3d": [1]}, {"label": 3}]',
    ]
    texts = {s.id: text for s, text in zip(SAMPLES, ["no boxes", *short], strict=True)}
    predictions.write_text(json.dumps(texts))
    out = run(capsys, samples, predictions, "--task", "detection", "--resamples", 0)
    assert 'unreadable, 2 x: an entry has no "label"' in out
    assert "unreadable, 1 x: no JSON list" in out and "must be nine numbers, got 2" in out
