"""Run what is missing of a matrix: seed after seed, so that a night that is too short leaves whole seeds."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rft3d.matrix.lab import Lab
from rft3d.matrix.types import STANDARD, Arm, Experiment, World, folder_of, held_out_folder, seeds_of
from rft3d.training.loop import OnStep
from rft3d.training.memory import keep_freed_memory
from rft3d.training.stopping import Stopped


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

    ``only``: names of experiments, or ``experiment/arm``.
    """
    found: dict[tuple[int, str, str], Job] = {}
    for seed in seeds_of(experiments, seeds):
        for experiment in experiments:
            if seed not in experiment.seeds:
                continue
            for arm in experiment.arms:
                if only and not {experiment.name, f"{experiment.name}/{arm.name}"} & set(only):
                    continue
                for each in experiment.chain(arm.name):
                    key = (seed, experiment.world.name, each.name)
                    found.setdefault(key, Job(experiment.world, seed, each, experiment.budget))
    order = {world: number for number, world in enumerate(dict.fromkeys(world for _, world, _ in found))}
    return sorted(
        found.values(), key=lambda job: (job.seed, order[job.world.name])
    )  # stable: bases stay first


def run_matrix(
    experiments: Sequence[Experiment],
    out: Path,
    seeds: Sequence[int] | None = None,
    only: Sequence[str] = (),
    hours: float = 0.0,
    console: Console | None = None,
    workers: int = 2,
) -> bool:
    """Train and judge what is missing in ``out``; True when nothing is left.

    Args:
        experiments: see :func:`rft3d.matrix.load_experiments`.
        out: folder of the run folders.
        seeds: only these; None: each experiment's own.
        only: experiments, or ``experiment/arm``; their bases come along.
        hours: stop after so long, 0: never. A training step that has begun is finished and saved; rooms,
            encoders and the answers to one view are not cut, so the cap can be exceeded by one of those.
        console: for progress.
        workers: processes that render rooms.

    Raises:
        ValueError: an arm or world that is there already was made with other settings, or ``only`` names
            nothing.
    """
    keep_freed_memory()
    console = console or Console(stderr=True)
    wanted = jobs(experiments, seeds, only)
    if not wanted:
        raise ValueError(f"nothing to run: no experiment or arm is called {', '.join(only) or 'anything'}")
    until = time.monotonic() + 3600 * hours if hours else float("inf")
    todo = [job for job in wanted if not job.finished(out)]
    console.print(f"matrix: {len(wanted)} arms over all seeds, {len(todo)} to do", highlight=False)
    lab: Lab | None = None
    for number, job in enumerate(todo, 1):
        if time.monotonic() > until:
            break
        if lab is None or (lab.world, lab.seed) != (job.world, job.seed):
            lab = Lab(job.world, job.seed, out, console, _stopper(until), workers)
            lab.prepare()
        console.print(f"arm {number}/{len(todo)}: {job.world.name}, seed {job.seed}: {job.arm.title}")
        try:
            lab.train(job.arm, job.budget)
        except Stopped:
            if time.monotonic() > until:
                break
            raise
        if time.monotonic() > until:
            break
        lab.judge(job.arm)
    left = sum(not job.finished(out) for job in wanted)
    if left:
        console.print(f"matrix: the time is up; {left} arms are left, run again to go on", highlight=False)
    return not left


def _stopper(until: float) -> OnStep:
    def on_step(_: int) -> None:
        # as a scheduler would: the stage finishes and saves its next step, then ends with Stopped
        if time.monotonic() > until:
            signal.raise_signal(signal.SIGTERM)

    return on_step
