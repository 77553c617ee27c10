"""What ``benchmarks/grpo_step.py`` keeps, takes up again and concludes; the timing itself is never a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks.grpo.results import Steps, identity, ratios, summary, verdicts
from benchmarks.grpo.setting import Setting

SETTING = Setting(1024, 64, 8, 1, 0.0, "folder")
SIDES = ("trl", "trl-cached", "ours")


def row(
    side: str, turn: int, step: float, peak_mb: float = 3000.0, setting: Setting = SETTING
) -> dict[str, Any]:
    phases = {"rollout": step / 4, "train": step / 2, "step": step}
    taken = {"phases": phases, "cpu": 2 * step, "peak_mb": peak_mb, "loaded_mb": 400.0, "commit": "a"}
    return identity(setting) | {"side": side, "turn": turn} | taken


def test_a_stopped_comparison_takes_only_what_is_missing(tmp_path: Path) -> None:
    steps = Steps(tmp_path / "new" / "steps.jsonl")
    for side, turn in (("trl", 0), ("trl-cached", 0), ("ours", 0), ("trl", 1)):
        steps.add(row(side, turn, 10.0))
    assert steps.path is not None
    with steps.path.open("a") as file:
        file.write('{"prompt": 10')  # a kill in the middle of a line
    again = Steps(steps.path)
    assert again.rows == steps.rows
    assert again.missing(SETTING, SIDES, 2) == [(1, "trl-cached"), (1, "ours")]
    assert again.missing(SETTING, SIDES, 3)[2:] == [(2, side) for side in SIDES]
    assert len(again.missing(replace(SETTING, beta=0.04), SIDES, 2)) == 6, "another setting is another matter"
    again.add(row("ours", 1, 2.0))
    assert len(Steps(steps.path).rows) == 5, "the half line does not stick to the next one"
    assert again.left_s([SETTING], SIDES, 2) == pytest.approx(10.0)
    assert Steps(None).left_s([SETTING], SIDES, 2) is None


def test_bars_are_judged_by_medians(tmp_path: Path) -> None:
    steps = Steps(None)
    for turn in range(5):
        steps.add(row("trl", turn, 40.0 + turn, 3000.0))
        steps.add(row("trl-cached", turn, 30.0, 2900.0))
        steps.add(row("ours", turn, 10.0 if turn else 1000.0, 1100.0))  # one disturbed step moves no median
    found = ratios(steps.of(SETTING, "trl"), steps.of(SETTING, "ours"))
    assert found["step"] == pytest.approx(4.2) and found["train"] == pytest.approx(4.2)
    assert found["memory"] == pytest.approx(1100 / 3000) and found["memory_above"] == pytest.approx(
        700 / 2600
    )
    assert [met for _, _, met in verdicts(SETTING, found)] == [True, False]
    longer = replace(SETTING, prompt=2048)
    assert [bar for bar, _, _ in verdicts(longer, found)] == [
        "step >= 6x",
        "train >= 3.5x",
        "peak memory <= 1/3",
    ]
    assert not list(verdicts(replace(SETTING, prompt=512, completion=256), found)), "reported, no bar"
    text = summary(steps, [SETTING, longer], SIDES, 5)
    assert "| (1024, 64), beta 0, ours | step >= 4x | 4.20x | met |" in text
    assert "| (1024, 64), beta 0, ours | peak memory <= 1/3 | 0.37 | MISSED |" in text
    assert "| (2048, 64), beta 0, ours | all | n = 0 | not measured |" in text
    assert "ours against trl-cached: step 3.00x" in text and "42.00 [40.00-44.00]" in text
