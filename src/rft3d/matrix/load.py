"""Experiments from ``recipes/matrix/*.py``, checked before anything runs; and their quick versions."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rft3d.matrix.types import STANDARD, Arm, Claim, Experiment, World
from rft3d.matrix.views import derived_options
from rft3d.training.config import SFTConfig

QUICK_TOKENS = 4_000


def load_experiments(folder: Path, quick: bool = False) -> list[Experiment]:
    """What ``config()`` of every Python file in ``folder`` returns, by rank and name; ``quick``: tiny versions.

    Raises:
        ValueError: no recipe, one that returns something else, arms that contradict each other.
    """
    files = sorted(folder.glob("*.py"))
    if not files:
        raise ValueError(f"no experiment in {folder}; give a folder with *.py files like recipes/matrix")
    found = sorted((_load(file) for file in files), key=lambda experiment: (experiment.rank, experiment.name))
    check(found)
    return [quickened(experiment) for experiment in found] if quick else found


def _load(file: Path) -> Experiment:
    spec = importlib.util.spec_from_file_location(f"rft3d_matrix_{file.stem}", file)
    assert spec is not None and spec.loader is not None, "a file *.py has a loader"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make = getattr(module, "config", None)
    experiment = make() if callable(make) else None
    if not isinstance(experiment, Experiment):
        raise ValueError(f"{file} needs 'def config() -> Experiment' (rft3d.matrix.Experiment)")
    return experiment


def check(experiments: Sequence[Experiment]) -> None:
    """ValueError where names clash, a base or a claim's arm is missing, or a view has no samples."""
    arms: dict[tuple[str, str], tuple[Arm, int, str]] = {}
    worlds: dict[str, World] = {}
    for experiment in experiments:
        where = f"experiment {experiment.name!r}"
        world = worlds.setdefault(experiment.world.name, experiment.world)
        if world != experiment.world:
            raise ValueError(f"{where}: another experiment has a different world called {world.name!r}")
        known = derived_options(world.views)
        for arm in experiment.arms:
            key = (world.name, arm.name)
            before = arms.setdefault(key, (arm, experiment.budget, experiment.name))
            if before[:2] != (arm, experiment.budget if arm.budget else before[1]):
                raise ValueError(f"{where}: arm {arm.name!r} differs from the one in {before[2]!r}")
            missing = [view for view in arm.views() if view not in known]
            unjudged = [view for view in arm.judge if view not in world.held_out]
            if missing or unjudged:
                raise ValueError(f"{where}: arm {arm.name!r} asks for views without samples: "
                                 f"{[*missing, *unjudged]}")  # fmt: skip
            if arm.budget and not experiment.budget:
                raise ValueError(f"{where}: arm {arm.name!r} has a share of a budget that is not set")
            experiment.chain(arm.name)
        for claim in experiment.claims:
            _check_judged(experiment, claim)


def _check_judged(experiment: Experiment, claim: Claim) -> None:
    for view, _ in claim.metrics:
        for name, own in ((claim.arm, view), (claim.against, claim.against_view or view)):
            arm = experiment.arm(name)
            if own not in arm.judge or claim.where not in (STANDARD, *arm.elsewhere):
                raise ValueError(
                    f"experiment {experiment.name!r}: claim {claim.text!r} is about {own!r} in {claim.where!r}, "
                    f"where arm {name!r} is not judged"
                )


def quickened(experiment: Experiment) -> Experiment:
    """The same experiment in minutes: a few small rooms, a step or two an arm, one seed. Numbers mean nothing."""
    world = experiment.world
    rooms = replace(world.rooms, frames=2, width=84, height=56, max_objects=4)
    small = replace(
        world,
        train_rooms=12,
        held_out_rooms=4,
        rooms=rooms,
        elsewhere={
            name: replace(room, frames=2, width=84, height=56) for name, room in world.elsewhere.items()
        },
        tiny=replace(world.tiny, hidden=48, layers=1, heads=4, intermediate=64, vision_hidden=32,
                     vision_layers=1, geometry_dim=32, geometry_heads=2, geometry_rounds=2,
                     merger_hidden=32, frame_size=(84, 56)),
        encoder=replace(world.encoder, steps=3, clips_per_step=4),
        max_new_tokens=dict.fromkeys(world.max_new_tokens, 12),
        resamples=20,
    )  # fmt: skip
    arms = tuple(_quick_arm(arm) for arm in experiment.arms)
    return replace(
        experiment, world=small, arms=arms, budget=QUICK_TOKENS if experiment.budget else 0, seeds=(0,)
    )


def _quick_arm(arm: Arm) -> Arm:
    stage = arm.stage
    limits = dict.fromkeys(stage.max_new_tokens, 12)
    steps = min(stage.steps, 2)
    if isinstance(stage, SFTConfig):
        quick = replace(stage, steps=steps, scenes_per_step=4, max_new_tokens=limits)
    else:
        counts = {view: min(count, 2) for view, count in stage.prompts_per_step.items()}
        group = min(stage.group_size, 4)
        quick = replace(stage, steps=steps, prompts_per_step=counts, group_size=group, max_new_tokens=limits)
    return replace(arm, stage=quick, rooms=min(arm.rooms, 6))
