"""``rft3d demo``: the whole story on a small machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Args:
    """Train a tiny 3D-aware video language model on procedural rooms and report it.

    Rooms, encoder, SFT, then the same compute again as more SFT and as RFT; scores with intervals
    on held-out rooms; ends with a table and OUT/report/index.html. Two CPU cores, about 15 minutes.
    """

    quick: bool = False
    """the same story, smaller: at most 3 minutes"""
    out: Path = Path("runs/demo")
    """run folder"""
    seed: int = 0
    """seed of rooms, weights and sampling"""
    trackers: tuple[str, ...] = ()
    """trackers beside metrics.jsonl, e.g. tensorboard, wandb, trackio (their packages must be installed)"""


def main(args: Args) -> None:
    from rft3d.demo import run_demo

    run_demo(out=args.out, quick=args.quick, seed=args.seed, trackers=args.trackers)
