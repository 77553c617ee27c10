"""Files and folders appear whole or not at all."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from rft3d.files import ABANDONED_S, HOST, remove_abandoned, replacing

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


def test_what_a_kill_left_is_removed_when_its_process_is_gone(tmp_path: Path) -> None:
    """Of another host nobody can tell, so it must be old."""
    names = {
        "dead": f".f.{HOST}.1.{NOBODY}.tmp",
        "alive": f".f.{HOST}.1.{os.getpid()}.tmp",
        "far": f".f.far-away.1.{NOBODY}.tmp",
        "far and old": f".f.far-away.2.{NOBODY}.tmp",
        "of another file": f".g.{HOST}.1.{NOBODY}.tmp",
        "strange and old": ".f.tmp",
    }
    for what, name in names.items():
        (tmp_path / name).touch()
        age = ABANDONED_S + 1 if "old" in what or what == "alive" else 0
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with replacing(tmp_path / "f") as unfinished:
        unfinished.touch()
    kept = {names[what] for what in ("alive", "far", "of another file", "strange and old")}
    assert {p.name for p in tmp_path.iterdir()} == {"f", *kept}
    assert remove_abandoned(tmp_path, ".*.tmp") == 2, "of another file, strange and old"


def test_a_name_appears_after_its_content_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after a rename must not leave an empty file under the new name."""
    happened: list[str] = []
    rename = os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: happened.append(os.readlink(f"/proc/self/fd/{handle}")))

    def renamed(one: Path, other: Path) -> None:
        happened.append("renamed")
        rename(one, other)

    monkeypatch.setattr(os, "replace", renamed)
    with replacing(tmp_path / "model") as unfinished:
        (unfinished / "inner").mkdir(parents=True)
        (unfinished / "inner" / "weights").write_text("1")
    names = [Path(each).name.replace(unfinished.name, "model") for each in happened]
    assert names == ["inner", "weights", "model", "renamed", tmp_path.name]
    happened.clear()
    with replacing(tmp_path / "small", synced=False) as unfinished:
        unfinished.touch()
    assert happened == ["renamed"]
