"""trackio for real: what it stored is read back. It asks for an older Pillow than ``constraints.txt`` pins, so it
is in no extra; without the package the test is skipped."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
from pathlib import Path
from rft3d.training.runs import Tracking

accelerator = Tracking(("trackio",), Path(), "rooms").accelerator()
accelerator.log({"reward": 0.5}, step=7)
accelerator.end_training()
"""


def test_trackio_gets_scalars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # a process of its own: it starts a server
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=300, cwd=tmp_path)
    (database,) = (tmp_path / "trackio").glob("rooms*.db")
    with sqlite3.connect(database) as found:
        rows = [str(row) for row in found.execute("select * from metrics")]
    assert any("reward" in row and "0.5" in row for row in rows)
