"""``rft3d watch``: a run in the terminal, while it goes on and after."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Args:
    """Progress, time left, curves, last samples and alarms of a run, drawn again as it goes on.

    Reads the run folder only: start it any time, over SSH too. Ctrl-C ends the watching, not the run.
    """

    run: tyro.conf.Positional[Path]
    """run folder"""
    once: bool = False
    """print once and exit"""
    every: float = 2.0
    """seconds between looks"""


def main(args: Args) -> None:
    from rft3d.report.live import watch  # so that --help needs none of it

    watch(args.run, once=args.once, every_s=args.every)
