"""The process that a run lives in: how it is launched, how it is asked to stop, how far it is, the memory it keeps.

A scheduler's SIGTERM lets the running step finish and be saved; then the process ends with code 0 and one
line that says how to go on.

glibc hands large freed blocks back to the kernel at once, so that every training step on a CPU pays for the
same pages again (a third of a tiny model's step went there). :func:`keep_freed_memory` tells it to keep them.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
Made = TypeVar("Made")

# Parameter numbers of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def is_main_process() -> bool:
    """True on the one process that writes logs, models and progress."""
    return int(os.environ.get("RANK", "0")) == 0


def check_launch(environment: Mapping[str, str]) -> None:
    """Refuse what ``accelerate launch --cpu --num_processes 2`` starts without MPI: one process.

    accelerate then sets the address to meet at, but neither a rank nor a world size; without this check the
    run would go on alone, with the right result at half of the speed.

    Raises:
        ValueError: ``environment`` is that of such a process.
    """
    on_cpu = environment.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    sized = "WORLD_SIZE" in environment or any(
        name in environment for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
    )
    if on_cpu and "MASTER_PORT" in environment and not sized:
        raise ValueError(
            "several CPU processes were asked for, but 'accelerate launch --cpu' starts one unless MPI does "
            "it; use: ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2 ... "
            "(or leave --num_processes out)"
        )


class Stopped(SystemExit):
    """The run was asked to stop and has saved its state; ends the process with code 0."""

    def __init__(self, message: str) -> None:
        super().__init__(0)
        self.message = message

    def __str__(self) -> str:
        return self.message


@contextmanager
def on_sigterm(act: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside the block SIGTERM calls ``act`` instead of ending the process.

    Only the main thread may ask for that; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, act)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent() -> None:
    """Let this worker process end when the one that started it is gone, however that ended.

    Left alone after a ``kill -9`` it would write on beside the next start of the same run.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def in_turn(
    work: Callable[[T], Made], items: Iterable[T], workers: int, threads: bool = False
) -> Iterator[Made]:
    """``work`` of each item, in order, by so many processes (or ``threads``); 1: here, one after the other.

    At most ``2 * workers`` items are begun and not yet yielded. An error or Ctrl-C starts none of the others.
    """
    if workers <= 1:
        yield from map(work, items)
        return
    # forking a process with threads can hang
    context = {} if threads else {"mp_context": get_context("spawn"), "initializer": end_with_parent}
    waiting: deque[Future[Made]] = deque()
    with (ThreadPoolExecutor if threads else ProcessPoolExecutor)(workers, **context) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def keep_freed_memory() -> bool:
    """Ask the allocator to keep what is freed; returns whether there was one to ask (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False  # another C library: nothing to do, nothing lost but time
    settings = ((_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 256 * 2**20), (_M_MMAP_MAX, 0))
    return all(mallopt(name, value) == 1 for name, value in settings)


@contextmanager
def progress(console: Console, title: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
    """A progress bar with the time left, ``done`` of ``total`` being there already; plain lines every tenth when
    the output is not a terminal. Yields ``advance(count, note)`` for ``count`` more.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bar:
            task = bar.add_task(title, total=total, completed=done, note="")
            yield lambda count, note: bar.update(task, advance=count, note=note)
        return
    began, first = time.perf_counter(), done

    def plain(count: int, note: str) -> None:
        nonlocal done
        before, done = done, done + count
        if done * 10 // total > before * 10 // total:
            spent = time.perf_counter() - began
            left = spent / (done - first) * (total - done)
            console.print(f"{title} {done}/{total}  {spent:.0f}s, {left:.0f}s left  {note}", highlight=False)

    yield plain


def track(console: Console, title: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Iterate with a progress bar."""
    with progress(console, title, total) as advance:
        for item in items:
            yield item
            advance(1, "")
