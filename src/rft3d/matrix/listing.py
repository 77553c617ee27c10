"""What ``rft3d matrix list`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rft3d.matrix.run import Job
from rft3d.matrix.types import Experiment


def listing(experiments: Sequence[Experiment], out: Path) -> str:
    """A line an arm: name, what it starts from, on how many of its seeds it is done."""
    lines = []
    for experiment in experiments:
        lines.append(f"{experiment.name}: {experiment.question}")
        for arm in experiment.arms:
            done = sum(
                Job(experiment.world, seed, arm, experiment.budget).finished(out) for seed in experiment.seeds
            )
            start = arm.base or ("the encoders" if arm.geometry else "the encoders, without geometry")
            lines.append(
                f"  {experiment.name}/{arm.name:22} {done}/{len(experiment.seeds)} seeds  from {start}: {arm.title}"
            )
    return "\n".join(lines)
