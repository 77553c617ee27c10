"""Metrics files read as far as they go, and the lines that the page draws from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rft3d.report.curves import POINTS, StageMetrics, curves_view, panels, read_metrics, smooth


def test_metrics_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 5, "loss": 1.5, "note": "x", "flag": true, "kl": NaN}\n[1]\n{"loss": 2}\n{"lo')
    stage = read_metrics(path)
    assert stage.series == {"loss": [(5.0, 1.5), (1.0, 2.0)]}
    assert stage.problems == ("metrics.jsonl: 2 unreadable lines were skipped",)


def test_panels_group_parts_and_start_with_what_matters() -> None:
    found = panels(["lr", "reward/a/iou", "reward", "loss", "reward/a/f1", "a_kind"])
    assert found == [
        ("loss", ["loss"]),
        ("reward", ["reward"]),
        ("reward/a", ["reward/a/f1", "reward/a/iou"]),
        ("a_kind", ["a_kind"]),
        ("lr", ["lr"]),
    ]


def test_smoothing_starts_at_the_first_value_and_keeps_constants() -> None:
    assert smooth([3.0] * 5, 10) == pytest.approx([3.0] * 5)
    assert smooth([1.0, 5.0, 2.0], 1.0) == [1.0, 5.0, 2.0]
    assert smooth([1.0, 0.0], 3.0) == pytest.approx([1.0, 1 / 3])


def test_runs_share_a_panel_and_long_lines_are_thinned() -> None:
    long = [(float(i), float(i % 2)) for i in range(4 * POINTS)]
    stages = [(0, StageMetrics("rft", {"loss": long})), (1, StageMetrics("rft", {"loss": [(1.0, 2.0)]}))]
    (block,) = curves_view([*stages, (1, StageMetrics("empty"))])
    assert block["stage"] == "rft"
    first, second = block["panels"][0]["lines"]
    assert (first["run"], second["run"]) == (0, 1) and second["y"] == [2.0]
    assert len(first["x"]) == POINTS and first["x"][0] == 1.5 and set(first["y"]) == {0.5}
