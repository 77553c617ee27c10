"""``rft3d leaderboard``: published numbers, ours beside them."""

from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.markup import escape

from rft3d.cli._choices import BenchmarkName, say
from rft3d.evaluation import BENCHMARKS
from rft3d.evaluation.leaderboard import our_entries
from rft3d.evaluation.tables import leaderboard_tables


@dataclass(frozen=True)
class Args:
    """Print the published numbers of each benchmark with footnotes on protocol, and ours beside them.

    Ours are results that rft3d score --benchmark NAME --out FILE wrote; the file's name is the model's.
    """

    scores: tyro.conf.Positional[tuple[Path, ...]] = ()
    """our results; none: published numbers only"""
    benchmark: BenchmarkName | None = None
    """only this one"""
    full: bool = False
    """every class or question type, not only the headline"""


def main(args: Args) -> None:
    ours = [entry for path in args.scores for entry in our_entries(path)]
    for name in BENCHMARKS if args.benchmark is None else (args.benchmark,):
        tables, notes = leaderboard_tables(name, ours, args.full)
        say(*tables, *(escape(f"[{number}] {note}") for number, note in enumerate(notes, start=1)), "")
