"""Predictions of other programs find their samples, or say why not."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from rft3d.evaluation import load_predictions, score_benchmark, write_predictions
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.score import ScoreConfig
from rft3d.tasks.samples import write_samples
from rft3d.tasks.types import Sample

from .fakes import detection_sample, spatial_sample

SAMPLES = [
    Sample(
        f"scannet:object_counting:{40 + n}", "spatial", f"scene{n:04}_00", (), "How many?",
        {"question_type": "object_counting", "answer": n + 1},
    )
    for n in range(4)
]  # fmt: skip
TEXTS = ["1", "2", "3", "I count four"]


def texts(path: Path, **options: Any) -> list[tuple[str, str]]:
    return [(p.id, p.text) for p in load_predictions(path, SAMPLES, **options).predictions]


EXPECTED = [(s.id, t) for s, t in zip(SAMPLES, TEXTS, strict=True)]


def log_rows(with_ids: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "doc_id": n,
            "doc": {"id": 40 + n, "scene_name": s.scene} if with_ids else {"scene_name": s.scene},
            "target": str(n + 1),
            "resps": [[TEXTS[n]]],
            "filtered_resps": ["filtered away"],
        }
        for n, s in enumerate(SAMPLES)
    ]


def write_log(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_plain_and_our_own(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({s.id: t for s, t in zip(SAMPLES, TEXTS, strict=True)}))
    assert texts(tmp_path / "p.json") == EXPECTED
    (tmp_path / "a.json").write_text(json.dumps({str(40 + n): t for n, t in enumerate(TEXTS)}))
    loaded = load_predictions(tmp_path / "a.json", SAMPLES)
    assert (loaded.origin.format, loaded.origin.matched_by) == ("plain", "alias")
    assert [(p.id, p.text) for p in loaded.predictions] == EXPECTED
    write_predictions(tmp_path / "p.jsonl", [Prediction(*pair) for pair in EXPECTED])
    loaded = load_predictions(tmp_path / "p.jsonl", SAMPLES)
    assert loaded.origin.truncation_known and loaded.origin.format == "rft3d"
    (tmp_path / "bad.json").write_text('{"a": 3}')
    with pytest.raises(ValueError, match="a record needs an id"):
        texts(tmp_path / "bad.json")


def test_lmms_eval_logs(tmp_path: Path) -> None:
    path = write_log(tmp_path / "x_samples_vsibench.jsonl", log_rows())
    loaded = load_predictions(path, SAMPLES)
    assert [(p.id, p.text) for p in loaded.predictions] == EXPECTED
    assert loaded.origin.matched_by == "alias" and not loaded.origin.truncation_known
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"args": {}, "logs": log_rows()}))
    assert texts(old) == EXPECTED
    by_place = load_predictions(write_log(tmp_path / "n.jsonl", log_rows(with_ids=False)[::-1]), SAMPLES)
    assert by_place.origin.matched_by == "place"
    assert sorted((p.id, p.text) for p in by_place.predictions) == sorted(EXPECTED)


def test_a_shuffled_log_is_refused(tmp_path: Path) -> None:
    rows = log_rows(with_ids=False)
    for n, row in enumerate(rows):
        row["doc_id"] = (n + 1) % 4
    with pytest.raises(ValueError, match="another order"):
        texts(write_log(tmp_path / "n.jsonl", rows))
    for row in rows:
        row["doc"] = {}
    with pytest.raises(ValueError, match="4 of 4 disagree"):
        texts(write_log(tmp_path / "n.jsonl", rows))


def test_another_key_is_counted(tmp_path: Path) -> None:
    rows = log_rows()
    rows[2]["target"] = "7"
    assert load_predictions(write_log(tmp_path / "n.jsonl", rows), SAMPLES).origin.truth_mismatches == 1


def sheet_rows() -> list[list[Any]]:
    return [["index", "id", "video", "answer", "prediction"]] + [
        [n, 40 + n, SAMPLES[n].scene, n + 1, TEXTS[n]] for n in range(4)
    ]


def test_vlmevalkit_sheets(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in sheet_rows():
        book.active.append(row)
    book.save(tmp_path / "m.xlsx")
    assert texts(tmp_path / "m.xlsx") == EXPECTED
    with (tmp_path / "m.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(sheet_rows())
    assert texts(tmp_path / "m.tsv") == EXPECTED
    (tmp_path / "no.xlsx").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match=r"cannot be read .*not a sheet of predictions"):
        texts(tmp_path / "no.xlsx")
    (tmp_path / "no.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(ValueError, match="'prediction'"):
        texts(tmp_path / "no.tsv")


def test_an_empty_cell_is_a_missing_prediction(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    rows = sheet_rows()
    rows[2][4] = None
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "m.xlsx")
    loaded = load_predictions(tmp_path / "m.xlsx", SAMPLES)
    assert loaded.origin.empty == 1 and len(loaded.predictions) == 3


def test_a_benchmark_says_how_the_file_was_read(tmp_path: Path) -> None:
    write_samples(tmp_path / "s.jsonl", SAMPLES)
    log = write_log(tmp_path / "log.jsonl", log_rows())
    result = score_benchmark("vsi-bench", tmp_path / "s.jsonl", log, ScoreConfig(resamples=0))
    assert result.predictions_format.format == "lmms-eval"
    assert result.variants["ours"].metrics["micro"] == 1.0
    assert result.variants["strict"].metrics["micro"] == 0.75


def test_a_detection_log_is_checked_by_its_pictures(tmp_path: Path) -> None:
    samples = [detection_sample(n, scene=f"scene{n:04}_00") for n in range(2)]
    rows = [
        {
            "doc_id": n,
            "doc": {"images": [f"scannet/posed_images/scene{n:04}_00/00000.jpg"]},
            "resps": [["[]"]],
        }
        for n in range(2)
    ]
    loaded = load_predictions(write_log(tmp_path / "l.jsonl", rows), samples)
    assert [p.id for p in loaded.predictions] == ["s0", "s1"]
    with pytest.raises(ValueError, match="another order"):
        load_predictions(tmp_path / "l.jsonl", samples[::-1])


def test_unknown_ids_stay_unknown(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"stranger": "3", SAMPLES[0].id: "1"}))
    assert [p.id for p in load_predictions(tmp_path / "p.json", SAMPLES).predictions] == [
        "stranger",
        SAMPLES[0].id,
    ]
    assert load_predictions(tmp_path / "p.json", [spatial_sample(0)]).predictions[0].id == "stranger"
