"""trackio for real: what it stored is read back. It asks for an older Pillow than ``constraints.txt`` pins, so it
is in no extra; without the package the test is skipped (``test_rollout_log.py`` has a stand-in)."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import numpy as np
from accelerate import Accelerator
from rft3d.training.trackers import track_pictures

accelerator = Accelerator(log_with="trackio")
accelerator.init_trackers("rooms")
picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
track_pictures(accelerator, {"rollouts/detection": picture}, 7)
accelerator.log({"reward": 0.5}, step=7)
accelerator.end_training()
"""


def test_trackio_gets_scalars_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # a process of its own: it starts a server
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=300, cwd=tmp_path)
    (database,) = (tmp_path / "trackio").glob("rooms*.db")
    with sqlite3.connect(database) as found:
        rows = [str(row) for row in found.execute("select * from metrics")]
    assert any("reward" in row and "0.5" in row for row in rows)
    assert any("rollouts/detection" in row for row in rows)
    assert any(path.suffix == ".png" for path in (tmp_path / "trackio").rglob("*"))
