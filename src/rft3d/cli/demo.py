"""``rft3d demo``: reinforcement on the metric, in minutes on a small machine."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Args:
    """Train the shipped SFT policy further, by more SFT and by RFT side by side, and report both.

    New procedural rooms; what RL can be expected to gain (OUT/headroom.json) is asked first; scores with
    intervals on other fresh rooms; ends with a table, OUT/picture.png and OUT/report/index.html. Two CPU cores,
    at most 15 minutes. Started again, it goes on.
    """

    quick: bool = False
    """the same with a few steps: at most 3 minutes"""
    from_scratch: bool = False
    """the whole story, small: encoders, SFT, then more SFT and RFT with two rewards"""
    model: str = "rooms-sft"
    """the policy to start from: a shipped name, or a folder with a policy that answers about rooms"""
    out: Path = Path("runs/demo")
    """run folder"""
    seed: int = 0
    """seed of training rooms and sampling"""
    trackers: tuple[str, ...] = ()
    """trackers beside metrics.jsonl, e.g. tensorboard, wandb, trackio (their packages must be installed)"""


def main(args: Args) -> None:
    from rft3d.experiments import run_demo

    run_demo(args.out, args.quick, args.from_scratch, args.seed, args.trackers, args.model)
