"""A worker ends with the process that started it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

from rft3d.process import end_with_parent


def _worker(file: Path) -> None:
    end_with_parent()
    file.with_suffix(".tmp").write_text(str(os.getpid()))
    file.with_suffix(".tmp").rename(file)
    time.sleep(600)


def test_workers_do_not_outlive_a_kill(tmp_path: Path) -> None:
    started = tmp_path / "started"
    child = os.fork()
    if child == 0:
        multiprocessing.get_context("spawn").Process(target=_worker, args=(started,)).start()
        time.sleep(600)
        os._exit(0)
    while not started.exists():
        time.sleep(0.05)
    worker = int(started.read_text())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _ in range(600):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)
    raise AssertionError("the worker went on without its parent")
