"""Trajectories: 20 SFT steps and 10 GRPO steps of the tiny policy must stay what they were.

A refactor proves itself by an unchanged trajectory. The files hold what one machine computed in float32;
other CPUs add up in another order, so numbers are compared to 1e-3 (relative, and 1e-4 absolute), and
AdamW is used throughout, because Muon rounds to bfloat16 inside. After a deliberate change, write them
anew and say why in the commit::

    RFT3D_WRITE_GOLDEN=1 python -m pytest tests/training/test_golden.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console
from tests.tiny import Digits

from rft3d.models import Policy
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.sft import train_sft

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ADAMW = OptimConfig(lr=3e-3, warmup=0.1)


def compare(name: str, columns: Sequence[str], log: Path) -> None:
    """The ``columns`` of a metrics log against ``golden/<name>.txt``."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    text = (
        " ".join(columns) + "\n" + "".join(" ".join(f"{row[c]:.6g}" for c in columns) + "\n" for row in rows)
    )
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("RFT3D_WRITE_GOLDEN") == "1":
        path.write_text(text)
    header, *golden = path.read_text().splitlines()
    assert header.split() == list(columns) and len(golden) == len(rows)
    for line, row in zip(golden, rows, strict=True):
        expected = dict(zip(columns, map(float, line.split()), strict=True))
        found = {column: row[column] for column in columns}
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_twenty_sft_steps(
    new_policy: Callable[[], Policy], corpus: Corpus, tmp_path: Path, console: Console
) -> None:
    config = SFTConfig(20, 3, {"detection": 1, "spatial": 2}, {"spatial": 0.5}, ADAMW, save_every=100)
    train_sft(new_policy(), corpus, config, tmp_path, Watch(console))
    compare("sft", ("step", "loss/detection", "loss/spatial", "grad_norm"), tmp_path / "metrics.jsonl")


def test_ten_grpo_steps(
    new_policy: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    policy = new_policy()
    warm = SFTConfig(15, 6, {"digits": 2}, {}, ADAMW, save_every=100)
    train_sft(policy, digits, warm, tmp_path / "sft", Watch(console))
    config = RFTConfig(
        steps=10,
        prompts_per_step={"digits": 4},
        group_size=6,
        max_new_tokens={"digits": 3},
        beta=0.05,
        updates_per_rollout=2,
        optim=OptimConfig(lr=1e-3, weight_decay=0.0, schedule="constant", warmup=0.1),
        save_every=100,
    )
    train_rft(policy, {"digits": Digits("3")}, digits, config, tmp_path / "rft", Watch(console))
    columns = ("step", "reward", "loss", "kl", "entropy", "completion_length/digits", "grad_norm")
    compare("grpo", columns, tmp_path / "rft" / "metrics.jsonl")
