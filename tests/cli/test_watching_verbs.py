"""watch, view and export as typed: what they write, and one line for what a user can mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.runs import make_run

from rft3d.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("verbs"))


def test_watch_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(run), "--once"]) == 0
    text = capsys.readouterr().out
    assert "30/40" in text and "alarms" in text and "last samples" in text


def test_export_overlay(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--out",
        str(tmp_path),
        "--tasks",
        "detection",
        "--only",
        "sft",
        "--limit",
        "1",
        "--width",
        "168",
    ]
    assert main(["export", "overlay", str(run), *arguments]) == 0
    assert "3 files" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.rglob("*.png")) == ["SFT-000.png", "SFT-001.png", "s0.png"]


def test_export_rerun_and_card(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rerun")
    assert main(["export", "rerun", str(run), "--out", str(tmp_path / "a.rrd"), "--ids", "g1"]) == 0
    assert (tmp_path / "a.rrd").stat().st_size > 1000
    assert main(["export", "card", str(run), "--name", "sft", "--out", str(tmp_path / "card.md")]) == 0
    assert (tmp_path / "card.md").read_text().startswith("---\nlibrary_name: rft3d")
    assert "1 questions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["watch", "nowhere", "--once"], "no run folder at nowhere"),
        (["export", "card", "RUN", "--name", "x"], "no answers of model 'x'"),
        (["export", "overlay", "RUN", "--out", "o", "--tasks", "x"], "has no task 'x'; it has detection"),
        (["export", "rerun", "nowhere", "--out", "o.rrd"], "nowhere"),
        (["export"], "rerun"),
    ],
)
def test_mistakes_end_in_one_line(
    run: Path, arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run) if a == "RUN" else a for a in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and problem in error
