"""``rft3d matrix``: the paper's claims as arms, run with resume, and the page of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True)
class _Which:
    recipes: Path = Path("recipes/matrix")
    """folder of experiments"""
    out: Path = Path("runs/matrix")
    """folder of run folders, OUT/<world>/seed<k>; each is one for rft3d report"""
    quick: bool = False
    """a tiny version of everything, one seed; its numbers mean nothing"""


@dataclass(frozen=True)
class List(_Which):
    """Every arm: its experiment, what it starts from, and on how many seeds it is done."""


@dataclass(frozen=True)
class Run(_Which):
    """Train and judge what is missing, seed after seed. Start it again to go on."""

    only: tuple[str, ...] = ()
    """experiments, or experiment/arm, in this order; what they start from comes along"""
    seeds: tuple[int, ...] = ()
    """only these seeds; each experiment's own when not given"""
    hours: float = 0.0
    """stop after so many hours (the running step is finished and saved); 0: never"""
    workers: int = 2
    """processes that render rooms"""
    at_once: int = 1
    """seeds that are worked on side by side, each in a process with its share of the threads"""


@dataclass(frozen=True)
class Table(_Which):
    """Write the page of results, and the curves beside it, from what has run so far."""

    page: Path = Path("docs/results.md")
    """Markdown file; curves go to images/ beside it"""


@dataclass(frozen=True)
class Args:
    """The paper's claims, reproduced: arms that start from shared checkpoints, judged on the same rooms."""

    do: tyro.conf.OmitSubcommandPrefixes[
        Annotated[List, tyro.conf.subcommand("list")]
        | Annotated[Run, tyro.conf.subcommand("run")]
        | Annotated[Table, tyro.conf.subcommand("table")]
    ]


def main(args: Args) -> int:
    from rft3d.matrix import load_experiments, run_matrix, write_results
    from rft3d.matrix.listing import listing

    action = args.do
    experiments = load_experiments(action.recipes, action.quick)
    if isinstance(action, Table):
        print(write_results(experiments, action.out, action.page))
        return 0
    if isinstance(action, Run):
        chosen: Any = action.seeds or None
        # 3: the time was up; whoever calls it in a loop sees that it has to go on
        done = run_matrix(
            experiments,
            action.out,
            chosen,
            action.only,
            action.hours,
            workers=action.workers,
            at_once=action.at_once,
        )
        return 0 if done else 3
    print(listing(experiments, action.out))
    return 0
