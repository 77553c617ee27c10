"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rft3d.files import ABANDONED_S, replacing

NOBODY = 2**22 + 7  # beyond the largest process number
"""A process that does not exist."""


def test_a_file_and_a_folder_replace_what_was_there(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with replacing(tmp_path / "a" / "file.txt") as unfinished:
            unfinished.write_text(text)
        with replacing(tmp_path / "a" / "folder") as unfinished:
            unfinished.mkdir()
            (unfinished / text).touch()
    assert (tmp_path / "a" / "file.txt").read_text() == "new"
    assert sorted(p.name for p in (tmp_path / "a").rglob("*")) == ["file.txt", "folder", "new"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a" / "file.txt").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_after_an_error_everything_is_as_it_was(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "file.txt").write_text("old")
    with pytest.raises(type(error)), replacing(tmp_path / "file.txt") as unfinished:
        unfinished.write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "old"


def test_what_a_kill_left_is_removed_when_it_is_old_and_its_process_gone(tmp_path: Path) -> None:
    old, fresh, other, alive = (
        tmp_path / name
        for name in (
            f".f.1.{NOBODY}.tmp",
            f".f.2.{NOBODY}.tmp",
            f".g.1.{NOBODY}.tmp",
            f".f.1.{os.getpid()}.tmp",
        )
    )
    for path in (old, fresh, other, alive):
        path.touch()
    for path in (old, other, alive):
        past = path.stat().st_mtime - ABANDONED_S - 1
        os.utime(path, (past, past))
    with replacing(tmp_path / "f") as unfinished:
        unfinished.touch()
    assert {p.name for p in tmp_path.iterdir()} == {"f", fresh.name, other.name, alive.name}
