"""Jobs that depend on each other in a few processes of their own: the demo's arms and their evaluation.

Tiny models leave the second core idle for much of a step (sampling token by token, bookkeeping between small
matrix products), so two arms with one thread each finish well before one after the other with two threads each.
"""

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import FrameType
from typing import Any

from rft3d.process import Stopped, on_sigterm


@dataclass(frozen=True)
class Call:
    """``call(*args)`` in a worker, not before the job named ``after`` is done. Both must pickle."""

    call: Callable[..., None]
    args: tuple[Any, ...]
    after: str = ""


def processes(wanted: int) -> int:
    """How many workers this machine has cores for."""
    return max(1, min(wanted, os.cpu_count() or 1))


def run_jobs(
    jobs: Mapping[str, Call], workers: int, begin: Callable[..., None], begin_args: tuple[Any, ...]
) -> None:
    """Run ``jobs`` (name to job), first come first served, with ``workers`` processes.

    ``begin(*begin_args)`` runs once in each worker. When a job fails, or this process gets SIGTERM, the other
    workers get SIGTERM too: training ends its step and saves it.

    Raises:
        Stopped: the jobs were stopped on request.
        RuntimeError: a worker died.
        Exception: what a job raised.
    """
    waiting, running = dict(jobs), dict[Future[None], str]()
    done: set[str] = set()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin, begin_args)
    with on_sigterm(_stop):
        try:
            while waiting or running:
                ready = [name for name, job in waiting.items() if not job.after or job.after in done]
                for name in ready[: workers - len(running)]:
                    job = waiting.pop(name)
                    running[pool.submit(job.call, *job.args)] = name
                if not running:
                    raise ValueError(f"jobs {', '.join(waiting)} wait for jobs that are not there")
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    future.result()
                    done.add(name)
        except BaseException as problem:  # Ctrl-C too: no worker may go on computing
            for worker in multiprocessing.active_children():
                worker.terminate()
            if isinstance(problem, BrokenProcessPool):
                raise RuntimeError(
                    "a worker process died (out of memory, or killed); the same command goes on from there"
                ) from problem
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped("the arms were asked to stop and save their state; the same command goes on from there")
