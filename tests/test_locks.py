"""One writer at a time: the second process gets one line that says who writes, and exit code 2."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rft3d.cli import main
from rft3d.files import HOST
from rft3d.locks import InUse, only_writer


@contextmanager
def written_by_another(path: Path) -> Iterator[int]:
    """Another process writes ``path`` inside the block; yields its number."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        with only_writer(path):
            os.write(tell, b"x")
            signal.pause()
        os._exit(0)
    os.read(told, 1)
    os.close(told)
    os.close(tell)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_second_one_is_told_who_writes_and_a_kill_lets_go(tmp_path: Path) -> None:
    out = tmp_path / "new" / "run"
    with written_by_another(out) as child:
        found = rf"run is being written by process {child} on {HOST} since 20.*; wait until it ends, or give"
        with pytest.raises(InUse, match=found), only_writer(out):
            pytest.fail("two writers")
        with only_writer(tmp_path / "new" / "other"):
            pass
    left = tmp_path / "new" / f".run.{HOST}.1.{child}.tmp"
    left.touch()
    with only_writer(out), only_writer(out):
        assert [p.name for p in out.parent.iterdir()] == [".run.lock"], "what a kill left is gone"
    assert not list(out.parent.iterdir())
    with only_writer(tmp_path / "a" / "b" / "c"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["new"], "folders that nothing was written to"


RECIPE = """
from pathlib import Path
from rft3d.training.recipes import Recipe
def config():
    return Recipe(Path(__file__).with_name("out"), "rooms-sft", {}, ())
"""


@pytest.mark.parametrize(
    "command",
    [
        "train r.py",
        "predict --model rooms --samples s.jsonl --out out",
        "rooms --seed 1 --count 1 --out out",
        "score p.jsonl --samples s.jsonl --task detection --out out",
        "demo --out out",
        "data prepare vg-llm --file s.jsonl --no-frames --out out",
        "report . --out out",
        "questions rooms:0-1 --out out",
        "export verl s.jsonl --out out",
        "headroom --model rooms --samples s.jsonl --out out",
    ],
)
def test_every_verb_that_writes(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.py").write_text(RECIPE)
    (tmp_path / "s.jsonl").write_text("")
    with written_by_another(tmp_path / "out") as child:
        assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"out is being written by process {child} on " in error
    assert {p.name for p in tmp_path.iterdir()} <= {"r.py", "s.jsonl", "__pycache__", ".out.lock"}
