"""Experiments from ``recipes/experiments/*.py``, checked before anything runs; their quick versions; what there is
to do: every run folder with its arms, and how far each is. Costs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from rft3d.experiments.types import (
    STANDARD,
    Arm,
    Elsewhere,
    Experiment,
    World,
    derived_options,
    folder_of,
    held_out_folder,
    rooms_and_view,
)  # fmt: skip
from rft3d.runfolder import DONE
from rft3d.settings import config_in
from rft3d.training.config import SFTConfig


def load_experiments(folder: Path, quick: bool = False) -> list[Experiment]:
    """What ``config()`` of every Python file in ``folder`` returns, by rank and name; ``quick``: tiny versions.

    Raises:
        ValueError: no recipe, one that returns something else, arms that contradict each other.
    """
    files = sorted(folder.glob("*.py"))
    if not files:
        raise ValueError(f"no experiment in {folder}; give a folder with *.py files like recipes/experiments")
    found = sorted(
        (config_in(file, Experiment) for file in files),
        key=lambda experiment: (experiment.rank, experiment.name),
    )
    check(found)
    return [quickened(experiment) for experiment in found] if quick else found


def check(experiments: Sequence[Experiment]) -> None:
    """ValueError where names clash, a base or a claim's arm is missing, or a view has no samples."""
    arms: dict[tuple[str, str], tuple[Arm, str]] = {}
    worlds: dict[str, World] = {}
    for experiment in experiments:
        where = f"experiment {experiment.name!r}"
        world = worlds.setdefault(experiment.world.name, experiment.world)
        if world != experiment.world:
            raise ValueError(f"{where}: another experiment has a different world called {world.name!r}")
        known = derived_options(world.views)
        for arm in experiment.arms:
            before, owner = arms.setdefault((world.name, arm.name), (arm, experiment.name))
            if before != arm:
                raise ValueError(f"{where}: arm {arm.name!r} differs from the one in {owner!r}")
            missing = [view for view in arm.views() if view not in known]
            missing += [view for view in arm.judge if view not in world.held_out]
            missing += [name for name in arm.elsewhere if name not in world.elsewhere]
            if missing:
                raise ValueError(f"{where}: arm {arm.name!r} asks for what the world has not: {missing}")
            experiment.chain(arm.name)
        for claim in experiment.claims:
            for arm, (view, _) in product(map(experiment.arm, (claim.arm, claim.against)), claim.metrics):
                rooms, own = rooms_and_view(view)
                if own not in arm.judge or rooms not in (STANDARD, *arm.elsewhere):
                    raise ValueError(
                        f"{where}: claim {claim.text!r} is about {view!r}, arm {arm.name!r} is not judged on it"
                    )


def quickened(experiment: Experiment) -> Experiment:
    """The same experiment in a minute: few rooms, two steps an arm, one seed. Its numbers mean nothing."""
    world = experiment.world
    limits = dict.fromkeys(world.max_new_tokens, 12)
    small = replace(
        world, train_rooms=8, held_out_rooms=2, watched_rooms=min(world.watched_rooms, 2), resamples=20,
        max_new_tokens=limits, watch_every=2,
        elsewhere={name: Elsewhere(replace(each.rooms, max_objects=each.rooms.min_objects), each.views)
                   for name, each in world.elsewhere.items()},
    )  # fmt: skip
    return replace(experiment, world=small, arms=tuple(quick_arm(arm) for arm in experiment.arms), seeds=(0,))


def quick_arm(arm: Arm) -> Arm:
    """``arm`` with two steps of two prompts or scenes and answers of 12 tokens."""
    stage = arm.stage
    if stage is None:
        return arm
    limits = dict.fromkeys(stage.max_new_tokens, 12)
    steps = min(stage.steps, 2)
    if isinstance(stage, SFTConfig):
        return replace(arm, stage=replace(stage, steps=steps, scenes_per_step=2, max_new_tokens=limits))
    counts = {view: min(count, 2) for view, count in stage.prompts_per_step.items()}
    quick = replace(stage, steps=steps, prompts_per_step=counts, group_size=2, max_new_tokens=limits)
    return replace(arm, stage=quick)


@dataclass(frozen=True)
class WorldSeed:
    """A seed of a world: its folder and what is to be done there."""

    world: World
    seed: int
    root: Path
    arms: tuple[Arm, ...]

    def left(self) -> list[Arm]:
        """The arms that are not trained yet, or not judged on all their held-out rooms."""
        trained = [arm for arm in self.arms if (self.root / "stages" / arm.name / DONE).is_file()]
        return [arm for arm in self.arms if arm not in trained or unjudged(self.root, self.world, arm)]


def places(
    experiments: Sequence[Experiment], out: Path, seeds: Sequence[int] | None = None, only: Sequence[str] = ()
) -> list[WorldSeed]:
    """Every run folder with its arms, bases first; folders that more experiments share come once.

    Args:
        seeds: only these; None: each experiment's own.
        only: names of experiments, or ``experiment/arm``, in the order in which they are wanted.

    Raises:
        ValueError: ``only`` has an unknown name, or no experiment has one of ``seeds``.
    """
    wanted = _wanted(experiments, only)
    found: dict[tuple[int, str], WorldSeed] = {}
    for seed in sorted({s for e in experiments for s in e.seeds if seeds is None or s in seeds}):
        for experiment, arm in wanted:
            if seed not in experiment.seeds:
                continue
            world, key = experiment.world, (seed, experiment.world.name)
            before = found[key].arms if key in found else ()
            arms = {each.name: each for each in (*before, *experiment.chain(arm.name))}
            found[key] = WorldSeed(world, seed, folder_of(out, world, seed), tuple(arms.values()))
    if not found:
        raise ValueError(
            f"nothing to run: no chosen experiment has a seed {', '.join(map(str, seeds or ()))}"
        )
    return list(found.values())


def _wanted(experiments: Sequence[Experiment], only: Sequence[str]) -> list[tuple[Experiment, Arm]]:
    every = [(experiment, arm) for experiment in experiments for arm in experiment.arms]
    found = []
    for name in only:
        named = [(e, arm) for e, arm in every if name in (e.name, f"{e.name}/{arm.name}")]
        if not named:
            raise ValueError(
                f"nothing to run: no experiment or arm is called {name!r}; there are "
                f"{', '.join(e.name for e in experiments)} (rft3d experiment list shows their arms)"
            )
        found += named
    return found if only else every


def listing(experiments: Sequence[Experiment], out: Path) -> str:
    """A line an arm: name, what it starts from, on how many of its seeds it is done."""
    lines = []
    for experiment in experiments:
        lines.append(f"{experiment.name}: {experiment.question}")
        for arm in experiment.arms:
            roots = [(seed, folder_of(out, experiment.world, seed)) for seed in experiment.seeds]
            done = sum(not WorldSeed(experiment.world, s, root, (arm,)).left() for s, root in roots)
            lines.append(
                f"  {experiment.name}/{arm.name:22} {done}/{len(roots)} seeds  "
                f"from {arm.base or 'the start'}: {arm.title}"
            )
    return "\n".join(lines)


def unjudged(root: Path, world: World, arm: Arm) -> dict[str, list[str]]:
    """The views on which ``arm`` has no scores yet, for each set of held-out rooms that lacks some."""
    left = {}
    for where in (STANDARD, *arm.elsewhere):
        folder = held_out_folder(root, where) / arm.name
        asked = world.held_out if where == STANDARD else world.elsewhere[where].views
        left[where] = [v for v in arm.judge if v in asked and not (folder / f"{v}.scores.json").is_file()]
    return {where: views for where, views in left.items() if views}
