"""rft3d watch: what it says of a run that goes on, of one that ended, and of damaged files."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from tests.report.runs import make_run, write_lines

from rft3d.report.live import read_stages, render_run, sparkline, watch


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("live"))


def printed(run: Path, now: float | None = None) -> str:
    out = io.StringIO()
    console = Console(file=out, width=140, color_system=None)
    console.print(render_run(run, now))
    return out.getvalue()


def test_progress_and_time_left(run: Path) -> None:
    sft, rft = read_stages(run)
    assert (sft.name, sft.step, sft.steps, sft.status, sft.left_s) == ("sft", 10, 10, "done", None)
    assert (rft.name, rft.step, rft.steps) == ("rft", 30, 40)
    assert rft.seconds_a_step == pytest.approx(2.0) and rft.left_s == pytest.approx(20.0)


def test_a_stage_without_news_is_not_called_running(run: Path) -> None:
    file = run / "stages" / "rft" / "metrics.jsonl"
    changed = file.stat().st_mtime
    assert read_stages(run, changed + 10)[-1].status == "running"
    assert read_stages(run, changed + 600)[-1].status == "no news for 10 min 00 s"


def test_everything_is_on_the_screen(run: Path) -> None:
    text = printed(run)
    for expected in ("30/40", "20.0 s", "1 on", "done", "reward/detection", "● detection: Answers grow", "○"):
        assert expected in text, expected
    assert "best  1.75 good" in text and "worst 0.25" in text
    assert "since step 20" in text and "steps 10 to 17" in text


def test_untrusted_text_stays_text(run: Path) -> None:
    text = printed(run)
    assert "[red]" in text, "rich markup of a model is printed, not obeyed"
    assert not set("\x00\x1b\u202e\ud800") & set(text)


def test_once_prints_and_ends(run: Path) -> None:
    out = io.StringIO()
    watch(run, once=True, console=Console(file=out, width=100))
    assert "30/40" in out.getvalue()
    with pytest.raises(ValueError, match="--every"):
        watch(run, every_s=0)


def test_a_run_that_just_began(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no run folder"):
        render_run(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="nothing was trained yet"):
        render_run(tmp_path)
    write_lines(tmp_path / "stages" / "rft" / "metrics.jsonl", [])
    assert "0/?" in printed(tmp_path)
    write_lines(tmp_path / "stages" / "rft" / "metrics.jsonl", [{"step": 1, "time": 5.0, "reward": 1.0}])
    (tmp_path / "stages" / "rft" / "stage.json").write_text("{")
    assert "1/?" in printed(tmp_path)


def test_it_follows_a_growing_run(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    file = copy / "stages" / "rft" / "metrics.jsonl"
    with file.open("a") as stream:  # the half line is completed, and one more follows
        stream.write(', "time": 1062.0}\n{"step": 31, "time": 1062.0, "reward": 2.0}\n')
    assert read_stages(copy)[-1].step == 31
    os.utime(file)
    assert "31/40" in printed(copy)


def test_sparklines() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3.0] * 4) == "▁▁▁▁" and sparkline([]) == ""
    assert sparkline([0.0] * 50 + [1.0] * 50, 10) == "▁" * 5 + "█" * 5
    assert len(sparkline(list(range(1000)), 24)) == 24
