"""Published numbers are complete and sourced; ours stand beside those of the same protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rft3d.cli import main
from rft3d.evaluation import BENCHMARKS, Prediction, ScoreConfig, score_benchmark, write_predictions
from rft3d.evaluation.leaderboard import COLUMNS, our_entries, published, rows
from rft3d.files import write_json
from rft3d.tasks.samples import write_samples

from .fakes import gold_answers, grounding_sample

EIGHT = {
    "object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation",
    "object_rel_distance", "object_rel_direction", "route_planning", "obj_appearance_order",
}  # fmt: skip


def test_every_entry_is_sourced_and_in_percent() -> None:
    for entry in published():
        assert entry.benchmark in BENCHMARKS and entry.model and entry.training and entry.source
        assert entry.metrics and all(0 < value <= 100 for value in entry.metrics.values())
        assert COLUMNS[entry.benchmark][-1] in entry.metrics or "f1@0.25" in entry.metrics
        assert not entry.ours
    keys = [(e.benchmark, e.model, e.training, e.variant) for e in published()]
    assert len(set(keys)) == len(keys)
    # nobody has published on these what could be cited here
    assert {e.benchmark for e in published()} == set(BENCHMARKS) - {"vsi-bench-debiased", "revsi"}


def test_the_published_averages_are_their_columns_means() -> None:
    """A typing error in a table would break this: each macro-8 is the mean of its eight columns."""
    complete = [e for e in published() if e.benchmark == "vsi-bench" and len(e.metrics) == 9]
    assert len(complete) >= 10
    for entry in complete:
        values = [entry.metrics[f"accuracy/{kind}"] for kind in EIGHT]
        assert sum(values) / 8 == pytest.approx(entry.metrics["macro8"], abs=0.11), entry.model


def test_the_numbers_the_project_aims_at() -> None:
    def one(
        benchmark: str, model: str, training: str = "SFT, then RL", variant: str = ""
    ) -> dict[str, float]:
        (found,) = [
            e for e in published()
            if (e.benchmark, e.model, e.training, e.variant) == (benchmark, model, training, variant)
        ]  # fmt: skip
        return dict(found.metrics)

    detection = one("scannet-detection-4f", "3D-RFT-4B")
    assert [detection[f"{k}@0.25"] for k in ("precision", "recall", "f1")] == [54.2, 38.2, 43.7]
    assert one("scanrefer", "3D-RFT-4B", variant="raw") == {"acc@0.25": 42.9, "acc@0.5": 15.9}
    assert one("vsi-bench", "3D-RFT-4B")["macro8"] == 62.8
    assert one("scanrefer", "VG LLM-4B", "SFT", "refined") == {"acc@0.25": 53.5, "acc@0.5": 47.5}


def test_ours_beside_theirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = [grounding_sample(n) for n in range(3)]
    gold = gold_answers(samples)
    write_samples(tmp_path / "s.jsonl", samples)
    write_predictions(tmp_path / "p.jsonl", [Prediction(s.id, gold[s.prompt]) for s in samples])
    (tmp_path / "proposals.json").write_text(json.dumps({s.scene: [] for s in samples}))
    config = ScoreConfig(resamples=10, proposals=tmp_path / "proposals.json")
    write_json(
        tmp_path / "mine.json",
        score_benchmark("scanrefer", tmp_path / "s.jsonl", tmp_path / "p.jsonl", config),
    )
    ours = our_entries(tmp_path / "mine.json")
    assert [entry.variant for entry in ours] == ["raw", "refined"]
    assert any("NOT the complete benchmark" in note for note in ours[0].notes)
    parts = dict(rows("scanrefer", ours))
    assert [e.model for e in parts["raw"] if e.ours] == ["mine"] and not any(
        e.ours for e in parts["3D input"]
    )
    assert main(["leaderboard", str(tmp_path / "mine.json"), "--benchmark", "scanrefer"]) == 0
    printed = capsys.readouterr().out
    assert (
        "* mine" in printed and "3D-RFT-4B" in printed and "[1]" in printed and "NOT the complete" in printed
    )
    (tmp_path / "no.json").write_text("{}")
    assert main(["leaderboard", str(tmp_path / "no.json")]) == 2
    assert "no benchmark's result" in capsys.readouterr().err


def test_everything_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "--full"]) == 0
    printed = capsys.readouterr().out
    assert all(BENCHMARKS[entry.benchmark].title in printed for entry in published())
