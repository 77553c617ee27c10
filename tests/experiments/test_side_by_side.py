"""Jobs side by side: order, dependencies, and that nobody is left computing when one fails."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from rft3d.experiments.run import Call, processes, run_jobs

_folder = Path()


def begin(folder: Path) -> None:
    global _folder
    _folder = folder


def note(name: str, wait_for: str = "") -> None:
    """Write down that this job ran, after another one has (which must run at the same time then)."""
    deadline = time.monotonic() + 60
    while wait_for and not (_folder / wait_for).exists():
        assert time.monotonic() < deadline, f"{wait_for} never ran beside {name}"
        time.sleep(0.01)
    (_folder / name).write_text(f"{os.getpid()} {time.monotonic_ns()}")


def fail() -> None:
    raise ValueError("job 3 of scene0011_00 is broken")


def die() -> None:
    os._exit(9)


def ended(folder: Path, name: str) -> int:
    return int((folder / name).read_text().split()[1])


def test_two_run_at_once_and_one_waits_for_another(tmp_path: Path) -> None:
    jobs = {
        "a": Call(note, ("a", "b")),  # ends only when b runs beside it
        "after a": Call(note, ("after a",), after=("a",)),
        "b": Call(note, ("b",)),
    }
    run_jobs(jobs, 2, begin, (tmp_path,))
    assert ended(tmp_path, "b") < ended(tmp_path, "a") < ended(tmp_path, "after a")
    pids = {(tmp_path / name).read_text().split()[0] for name in jobs}
    assert str(os.getpid()) not in pids and len(pids) == 2


@pytest.mark.parametrize(("broken", "error", "words"), [
    (fail, ValueError, "job 3 of scene0011_00"), (die, RuntimeError, "a worker process died"),
])  # fmt: skip
def test_a_failure_is_raised_and_leaves_nobody_behind(
    tmp_path: Path, broken, error: type[Exception], words: str
) -> None:
    jobs = {"broken": Call(broken, ()), "never": Call(note, ("never",), after=("broken",))}
    with pytest.raises(error, match=words):
        run_jobs(jobs, 2, begin, (tmp_path,))
    assert not (tmp_path / "never").exists() and not multiprocessing.active_children()


def test_a_job_that_waits_for_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="orphan wait for jobs that are not there"):
        run_jobs({"orphan": Call(note, ("orphan",), after=("x",))}, 1, begin, (tmp_path,))


def test_never_more_processes_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert processes(2) == 1
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert processes(2) == 2
