"""Run what is missing of some experiments: one graph of jobs, side by side where cores allow.

A run folder's *rooms* come first, then every arm after the one that it starts from, and an arm's evaluation
after the arm. What was stopped goes on with the same command.

Tiny models leave the second core idle for much of a step (sampling token by token, bookkeeping between small
matrix products), so two arms with one thread each finish well before one after the other with two threads each.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console

from rft3d import runfolder
from rft3d.experiments.lab import Lab, settings_of
from rft3d.experiments.places import WorldSeed, places
from rft3d.experiments.types import STANDARD, Experiment
from rft3d.locks import only_writer
from rft3d.process import Stopped, end_with_parent, keep_freed_memory, on_sigterm
from rft3d.training.config import RFTConfig
from rft3d.training.loop import OnStep
from rft3d.training.runs import has_config

_now = time.monotonic
"""One clock for all processes of the system."""


@dataclass(frozen=True)
class Call:
    """``call(*args)`` in a worker, not before the jobs named in ``after`` are done. Both must pickle."""

    call: Callable[..., None]
    args: tuple[Any, ...]
    after: tuple[str, ...] = ()


def run_experiments(
    experiments: Sequence[Experiment],
    out: Path,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    hours: float = 0.0,
    console: Console | None = None,
    at_once: int = 1,
) -> bool:
    """Train and judge what is missing in ``out``; True when nothing is left.

    Args:
        seeds, only: as for :func:`places`.
        hours: stop after so long, 0: never. A training step that has begun is finished and saved; rooms and
            the answers of one arm are not cut.
        at_once: jobs side by side, each in a process of its own with its share of the threads. The weights
            depend on the number of threads in their last bits, as they do on the machine.

    Raises:
        ValueError: as :func:`places`; an arm or world that is there already was made with other settings, or
            ``at_once`` is not positive.
        InUse: another process works on one of the places.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be at least 1, got {at_once}")
    console = console or Console(stderr=True)
    everywhere = places(experiments, out, seeds, only)
    with ExitStack() as held:
        for place in everywhere:
            held.enter_context(only_writer(place.root))
            name_arms(place.root, experiments)
        work(everywhere, console, at_once, _now() + 3600 * hours if hours else float("inf"))
    left = sum(len(place.left()) for place in everywhere)
    if left:
        console.print(f"the time is up; {left} arms are left, run again to go on", highlight=False)
    return not left


def name_arms(root: Path, experiments: Sequence[Experiment]) -> None:
    """``titles.json``: what the report calls the arms, in the order of its table, and what it compares with."""
    titles = {arm.name: arm.title for experiment in experiments for arm in experiment.arms}
    baseline = next((e.baseline for e in experiments if e.baseline), "")
    runfolder.write_titles(root, runfolder.Titles(titles, baseline))


def work(
    everywhere: Sequence[WorldSeed],
    console: Console,
    at_once: int = 1,
    until: float = float("inf"),
    trackers: Sequence[str] = (),
) -> None:
    """Do what is left in all places; see :func:`run_experiments`."""
    keep_freed_memory()
    jobs: dict[str, Call] = {}
    for place in everywhere:
        has_config(place.root, settings_of(place.world, place.seed))  # also of what is finished
        jobs |= _jobs(place, until, trackers)
    console.print(f"{sum(len(p.left()) for p in everywhere)} arms to train or judge", highlight=False)
    workers = min(processes(at_once), len(jobs))
    if workers > 1:
        threads = max(1, torch.get_num_threads() // workers)
        run_jobs(jobs, workers, _begin, (threads,))
        return
    _labs.clear()
    for job in jobs.values():
        _do(*job.args, console=console)


def _jobs(place: WorldSeed, until: float, trackers: Sequence[str]) -> Mapping[str, Call]:
    """The jobs of a place by name: rooms, held-out rooms, arms, evaluations, in an order that can be followed."""
    left = place.left()
    if not left:
        return {}
    name = f"{place.root}"
    held_out = tuple(dict.fromkeys((STANDARD, *(where for arm in place.arms for where in arm.elsewhere))))
    jobs: dict[str, Call] = {}

    def add(own: str, after: tuple[str, ...], what: Callable[..., None], *args: Any) -> None:
        jobs[own] = Call(_do, (place, until, trackers, what, *args), after)

    add(name, (), Lab.prepare)
    asked = f"{name} held-out rooms"
    add(asked, (name,), Lab.hold_out, held_out)
    if place.world.headroom:
        rl = (arm.stage.temperature for arm in place.arms if isinstance(arm.stage, RFTConfig))
        add(f"{name} headroom", (asked,), Lab.ask_headroom, next(rl, 0.5))
    # RL from the start takes longest, so it begins first; what only has to be judged fills the gaps
    bases = {arm.base for arm in left}
    idle = [arm for arm in left if arm.stage is None and arm.name not in bases]
    for arm in sorted(
        left, key=lambda arm: (arm in idle, bool(arm.base) or not isinstance(arm.stage, RFTConfig))
    ):
        own, base = f"{name} {arm.name}", f"{name} {arm.base}"
        add(own, (base if base in jobs else name,), Lab.train, arm)
        for where in (STANDARD, *arm.elsewhere):
            add(f"{own} judged in {where}", (own, asked), Lab.judge, arm, where)
    return jobs


_labs: dict[Path, Lab] = {}
"""The run folders that this process has in memory: the latest one only."""


def _begin(threads: int) -> None:
    end_with_parent()
    keep_freed_memory()
    torch.set_num_threads(threads)


def _do(
    place: WorldSeed,
    until: float,
    trackers: Sequence[str],
    what: Callable[..., None],
    *args: Any,
    console: Console | None = None,
) -> None:
    """Run one job, a method of the place's lab; skip it when the time is up, or one that it needs was skipped."""
    if _now() > until:
        return
    if place.root not in _labs:
        _labs.clear()
        # no live bars in workers: those of two processes would overwrite each other
        console = console or Console(stderr=True, force_terminal=False)
        _labs[place.root] = Lab(
            place.world, place.seed, place.root, console, _stopper(until), trackers=trackers
        )
    try:
        what(_labs[place.root], *args)
    except Stopped:
        if _now() <= until:
            raise


def _stopper(until: float) -> OnStep:
    def on_step(_: int) -> None:
        # as a scheduler would: the stage finishes and saves its next step, then ends with Stopped
        if _now() > until:
            signal.raise_signal(signal.SIGTERM)

    return on_step


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
                ready = [name for name, job in waiting.items() if done.issuperset(job.after)]
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
