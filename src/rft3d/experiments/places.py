"""What there is to do: every run folder with its arms, and how far each is. Costs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rft3d.experiments.types import STANDARD, Arm, Experiment, World, folder_of, held_out_folder


@dataclass(frozen=True)
class WorldSeed:
    """A seed of a world: its folder and what is to be done there."""

    world: World
    seed: int
    root: Path
    arms: tuple[Arm, ...]

    def left(self) -> list[Arm]:
        """The arms that are not trained yet, or not judged on all their held-out rooms."""
        return [arm for arm in self.arms if not self.trained(arm) or unjudged(self.root, self.world, arm)]

    def trained(self, arm: Arm) -> bool:
        return (self.root / "stages" / arm.name / "done.json").is_file()


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
            key = (seed, experiment.world.name)
            place = found.get(key) or WorldSeed(
                experiment.world, seed, folder_of(out, experiment.world, seed), ()
            )
            arms = {each.name: each for each in (*place.arms, *experiment.chain(arm.name))}
            found[key] = WorldSeed(place.world, seed, place.root, tuple(arms.values()))
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
