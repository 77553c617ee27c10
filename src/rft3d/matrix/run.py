"""Run what is missing of a matrix: seed after seed, so that a night that is too short leaves whole seeds; or seeds
side by side."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from rft3d.demo import side_by_side
from rft3d.matrix.lab import Lab
from rft3d.matrix.types import STANDARD, Arm, Experiment, World, folder_of, held_out_folder, seeds_of
from rft3d.process import Stopped, keep_freed_memory
from rft3d.training.loop import OnStep


@dataclass(frozen=True)
class Job:
    """An arm of one seed that something asked for."""

    world: World
    seed: int
    arm: Arm
    budget: int

    def finished(self, out: Path) -> bool:
        """Trained and judged on everything that it is to be judged on."""
        root = folder_of(out, self.world, self.seed)
        judged = all(
            (held_out_folder(root, where) / self.arm.name / f"{view}.scores.json").is_file()
            for where in (STANDARD, *self.arm.elsewhere)
            for view in self.arm.judge
        )
        return judged and (root / "stages" / self.arm.name / "done.json").is_file()


def jobs(
    experiments: Sequence[Experiment], seeds: Sequence[int] | None = None, only: Sequence[str] = ()
) -> list[Job]:
    """Every (seed, arm) once, bases first, all of a world together.

    ``only``: names of experiments, or ``experiment/arm``, in the order in which they are wanted.

    Raises:
        ValueError: a name in ``only`` is nobody's.
    """
    found: dict[tuple[int, str, str], Job] = {}
    wanted = _wanted(experiments, only)
    for seed in seeds_of(experiments, seeds):
        for experiment, arm in wanted:
            if seed not in experiment.seeds:
                continue
            for each in experiment.chain(arm.name):
                key = (seed, experiment.world.name, each.name)
                found.setdefault(key, Job(experiment.world, seed, each, experiment.budget))
    order = {world: number for number, world in enumerate(dict.fromkeys(world for _, world, _ in found))}
    return sorted(
        found.values(), key=lambda job: (job.seed, order[job.world.name])
    )  # stable: bases stay first


def _wanted(experiments: Sequence[Experiment], only: Sequence[str]) -> list[tuple[Experiment, Arm]]:
    every = [(experiment, arm) for experiment in experiments for arm in experiment.arms]
    if not only:
        return every
    found = []
    for name in only:
        named = [(e, arm) for e, arm in every if name in (e.name, f"{e.name}/{arm.name}")]
        if not named:
            raise ValueError(
                f"nothing to run: no experiment or arm is called {name!r}; there are "
                f"{', '.join(e.name for e in experiments)} (rft3d matrix list shows their arms)"
            )
        found += named
    return found


def run_matrix(
    experiments: Sequence[Experiment],
    out: Path,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    hours: float = 0.0,
    console: Console | None = None,
    workers: int = 2,
    at_once: int = 1,
) -> bool:
    """Train and judge what is missing in ``out``; True when nothing is left.

    Args:
        experiments: see :func:`rft3d.matrix.load_experiments`.
        out: folder of the run folders.
        seeds: only these; None: each experiment's own.
        only: experiments, or ``experiment/arm``, in this order; their bases come along.
        hours: stop after so long, 0: never. A training step that has begun is finished and saved; rooms,
            encoders and the answers to one view are not cut, so the cap can be exceeded by one of those.
        console: for progress.
        workers: processes that render rooms.
        at_once: run folders (a seed of a world) that are worked on side by side, each in a process of its own
            with its share of the threads. The weights depend on the number of threads in their last bits, as
            they do on the machine.

    Raises:
        ValueError: an arm or world that is there already was made with other settings, ``only`` names
            nothing, or ``at_once`` is not positive.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be at least 1, got {at_once}")
    keep_freed_memory()
    console = console or Console(stderr=True)
    wanted = jobs(experiments, seeds, only)
    if not wanted:
        raise ValueError(
            f"nothing to run: no chosen experiment has a seed {', '.join(map(str, seeds or ()))}"
        )
    until = time.monotonic() + 3600 * hours if hours else float("inf")
    todo = [job for job in wanted if not job.finished(out)]
    console.print(f"matrix: {len(wanted)} arms over all seeds, {len(todo)} to do", highlight=False)
    folders: dict[str, list[Job]] = {}
    for job in todo:
        folders.setdefault(f"{job.world.name}, seed {job.seed}", []).append(job)
    if min(at_once, len(folders)) > 1:
        _side_by_side(folders, out, until, workers, at_once)
    else:
        for name, own in folders.items():
            _one_folder(name, own, out, until, workers, console)
    left = sum(not job.finished(out) for job in wanted)
    if left:
        console.print(f"matrix: the time is up; {left} arms are left, run again to go on", highlight=False)
    return not left


def _one_folder(
    name: str, todo: Sequence[Job], out: Path, until: float, workers: int, console: Console
) -> None:
    """Train and judge ``todo``, which share a run folder, until the time is up."""
    if time.monotonic() > until:
        return
    lab = Lab(todo[0].world, todo[0].seed, out, console, _stopper(until), workers)
    lab.prepare()
    began = time.monotonic()
    for number, job in enumerate(todo, 1):
        if time.monotonic() > until:
            return
        left = _left(time.monotonic() - began, number - 1, len(todo))
        console.print(f"{name}: arm {number}/{len(todo)}: {job.arm.title}{left}", highlight=False)
        try:
            lab.train(job.arm, job.budget)
        except Stopped:
            if time.monotonic() > until:
                return
            raise
        if time.monotonic() > until:
            return
        lab.judge(job.arm)


def _left(seconds: float, done: int, of: int) -> str:
    """How long the rest takes when its arms take as long as those that are done; nothing before the first."""
    return f", about {seconds / done * (of - done) / 60:.0f} min left for these" if done else ""


def _side_by_side(
    folders: Mapping[str, Sequence[Job]], out: Path, until: float, workers: int, at_once: int
) -> None:
    at_once = min(at_once, len(folders))
    threads = max(1, torch.get_num_threads() // at_once)
    # `until` holds in every process: time.monotonic() is one clock for the whole system
    calls = {name: side_by_side.Job(_work, (name, own, out, until, workers)) for name, own in folders.items()}
    side_by_side.run_jobs(calls, at_once, _begin, (threads,))


def _begin(threads: int) -> None:
    keep_freed_memory()
    torch.set_num_threads(threads)


def _work(name: str, todo: Sequence[Job], out: Path, until: float, workers: int) -> None:
    # no live bars: those of two processes would overwrite each other
    _one_folder(name, todo, out, until, workers, Console(stderr=True, force_terminal=False))


def _stopper(until: float) -> OnStep:
    def on_step(_: int) -> None:
        # as a scheduler would: the stage finishes and saves its next step, then ends with Stopped
        if time.monotonic() > until:
            signal.raise_signal(signal.SIGTERM)

    return on_step
