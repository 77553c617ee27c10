"""Run folders: the config must match, files are whole or absent, logs go on after the checkpoint."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from rft3d.process import progress
from rft3d.runfolder import drop_after
from rft3d.settings import differing
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.runs import MetricsLog, Run, write_json_on_main


def steps_of(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_run_folder_takes_the_same_config_only(tmp_path: Path) -> None:
    config = {"stages": [SFTConfig(steps=3), RFTConfig()], "data": Path("a/b"), "seed": 1}
    Run(tmp_path, config)
    assert json.loads((tmp_path / "config.json").read_text())["stages"][0]["steps"] == 3
    assert json.loads((tmp_path / "env.json").read_text())["torch"]
    Run(tmp_path, {**config, "stages": (SFTConfig(steps=3), RFTConfig())})
    other = {**config, "stages": [SFTConfig(steps=4, optim=OptimConfig(lr=1)), RFTConfig()], "seed": 2}
    with pytest.raises(
        ValueError, match=r"config\.json.*stages\.0\.steps, stages\.0\.optim\.\w+.*seed"
    ) as error:
        Run(tmp_path, other)
    assert "stages.1" not in str(error.value) and "data" not in str(error.value)


def test_differing_names() -> None:
    assert differing({"a": {"b": [1, 2]}, "c": None}, {"a": {"b": [1, 3]}}) == ["a.b.1", "c"]
    assert differing({"a": [1]}, {"a": [1, 2]}) == ["a.1"]
    assert differing({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) == []


def test_write_json_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json_on_main(path, {"a": 1})
    with pytest.raises(TypeError, match="cannot write object"):
        write_json_on_main(path, {"a": object()})

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_json_on_main(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}


def test_metrics_after_the_resume_step_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "stage" / "metrics.jsonl"
    log = MetricsLog(path)
    for step in range(1, 8):
        log.write(step, {"loss": 1 / step})
    MetricsLog(path, resume_step=5).write(6, {"loss": 0.5})
    assert steps_of(path) == [1, 2, 3, 4, 5, 6]
    MetricsLog(path)
    assert steps_of(path) == []


def test_half_a_line_of_a_killed_run_does_not_stop_the_next(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "lo')
    drop_after(path, 2)
    assert steps_of(path) == [1, 2]


def test_a_stage_is_done_only_when_its_body_ended(tmp_path: Path) -> None:
    run = Run(tmp_path, {}, Console(file=io.StringIO()))
    with pytest.raises(RuntimeError), run.timed("sft"):
        raise RuntimeError
    assert not run.done("sft") and not (tmp_path / "stages.json").exists()
    for tokens in (100, 200):
        with run.timed("sft") as facts:
            facts["tokens"] = tokens
    assert run.done("sft")
    (entry,) = json.loads((tmp_path / "stages.json").read_text())
    assert entry["stage"] == "sft" and entry["tokens"] == 200 and entry["peak_memory_mb"] > 10


def test_stages_that_run_side_by_side_do_not_lose_each_others_facts(tmp_path: Path) -> None:
    first, second = (Run(tmp_path, {}, Console(file=io.StringIO())) for _ in range(2))
    with first.timed("a"), second.timed("b"):
        pass
    (tmp_path / "stages.json").write_text("[]")  # what the slower writer of a race would leave
    first.write_stages()
    assert [entry["stage"] for entry in json.loads((tmp_path / "stages.json").read_text())] == ["b", "a"]


def test_progress_prints_plain_lines_into_files() -> None:
    out = io.StringIO()
    with progress(Console(file=out), "SFT", 20, 10) as advance:
        for _ in range(10):
            advance(1, "loss 1")
    assert [line.split()[1] for line in out.getvalue().splitlines()] == [
        "12/20",
        "14/20",
        "16/20",
        "18/20",
        "20/20",
    ]
