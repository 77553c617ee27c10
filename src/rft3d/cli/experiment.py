"""``rft3d experiment``: arms from a shared policy, run with resume, and the page of results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class _Which:
    recipes: Path = Path("recipes/experiments")
    """folder of experiments"""
    out: Path = Path("runs/experiments")
    """folder of run folders, OUT/<world>/seed<k>; each is one for rft3d report"""
    quick: bool = False
    """a tiny version of everything, one seed; its numbers mean nothing"""


@dataclass(frozen=True)
class List(_Which):
    """Every arm: its experiment, what it starts from, and on how many seeds it is done."""


@dataclass(frozen=True)
class RunArms(_Which):
    """Train and judge what is missing. Start it again to go on."""

    only: tuple[str, ...] = ()
    """experiments, or experiment/arm, in this order; what they start from comes along"""
    seeds: tuple[int, ...] = ()
    """only these seeds; each experiment's own when not given"""
    hours: float = 0.0
    """stop after so many hours (the running step is finished and saved); 0: never"""
    at_once: int = 1
    """arms and evaluations side by side, each in a process with its share of the threads"""


@dataclass(frozen=True)
class Table(_Which):
    """Write the page of results, and the figures beside it, from what has run so far."""

    page: Path = Path("docs/results.md")
    """Markdown file; figures go to images/ beside it"""


@dataclass(frozen=True)
class Args:
    """The paper's claims in procedural rooms: arms that start from one policy, judged on the same rooms."""

    do: tyro.conf.OmitSubcommandPrefixes[List | Annotated[RunArms, tyro.conf.subcommand("run")] | Table]


def main(args: Args) -> int:
    from rft3d.experiments import listing, load_experiments  # the rest needs torch

    action = args.do
    experiments = load_experiments(action.recipes, action.quick)
    if isinstance(action, Table):
        from rft3d.experiments import write_results

        print(write_results(experiments, action.out, action.page))
        return 0
    if isinstance(action, RunArms):
        from rft3d.experiments import run_experiments

        done = run_experiments(
            experiments, action.out, action.seeds or None, action.only, action.hours, at_once=action.at_once
        )
        return 0 if done else 3  # the time was up: a loop around the command sees that it has to run again
    print(listing(experiments, action.out))
    return 0
