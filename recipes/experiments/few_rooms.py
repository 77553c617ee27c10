"""RFT against more SFT where labelled rooms are few: 64 dense rooms, equal data, equal steps, from ``rooms-sft``.

Real scans with boxes are few (ScanNet's training set has 1,201 scenes) and SFT goes over them many times. With
endless rooms more SFT never sees a room twice, and gains more (``docs/log.md``). Detection only, in the dense
world: its headroom was measured before any arm ran.

Command::

    rft3d experiment run --only few_rooms

Hardware: two CPU cores, 6 GiB.
Time: about 40 minutes for RFT and 20 for more SFT, a seed, on one core; half way back costs no training.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from dataclasses import replace

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import (
    CREDIT,
    DETECTION,
    IN_EASY,
    IN_ROOMS,
    LOW_RATE,
    WHOLE,
    rft,
    sft,
    start_arm,
    world,
)
from rft3d.scenes import WORLDS
from rft3d.training.config import RFTConfig, SFTConfig

STEPS = 60
LONGEST = 1000
"""Tokens of the longest answer; 40 boxes have about 700."""


def reinforced(**changes: object) -> RFTConfig:
    """A box is paid for what it adds."""
    made = rft({"detection": 12}, steps=STEPS, max_new_tokens={"detection": LONGEST}, micro_groups=2)
    return replace(made, **{**CREDIT, **changes})


def trained(name: str, title: str, stage: SFTConfig | RFTConfig, reward: str = "matched") -> Arm:
    options = {"detection": {"reward": reward}} if isinstance(stage, RFTConfig) else {}
    return Arm(
        name, f"SFT → {title}", stage, options=options, judge=("detection",), elsewhere=("rooms", "easy")
    )


def half_way(arm: Arm, name: str) -> Arm:
    """Half way from ``arm``'s weights back to where it began."""
    return replace(arm, name=name, title=f"{arm.title}, half way back", stage=None, base=arm.name, back=0.5)


def config() -> Experiment:
    views = {"detection": {}}
    more = sft({"detection": 1}, steps=STEPS, scenes_per_step=32, seed=1000, optim=LOW_RATE)
    low, ours = trained("more_sft_low", "more SFT", more), trained("rft_ours", "RFT, ours", reinforced())
    paper = trained("paper", "RFT, paper", reinforced(**WHOLE), "paper")
    everywhere = tuple(column[:2] for column in (DETECTION[1], DETECTION[0], IN_ROOMS, IN_EASY))
    boxes = everywhere[:2]
    return Experiment(
        name="few_rooms",
        rank=1,
        question="Does reinforcement gain more than more SFT on the same 64 labelled rooms?",
        # 20 to 40 things, where SFT's greedy answers leave most for RL (rft3d headroom)
        world=world(
            name="few", rooms=WORLDS["dense"], views=views, held_out=views, max_new_tokens={"detection": LONGEST},
            watch_every=10,
        ),
        arms=(
            start_arm(judge=("detection",), elsewhere=("rooms", "easy")),
            low,
            half_way(low, "more_sft_half"),
            paper,
            half_way(paper, "paper_half"),
            ours,
            half_way(ours, "rft_half"),
        ),
        claims=(
            Claim("dense, half way back: RL beats more SFT", "rft_half", "more_sft_half", everywhere),
            Claim("dense, half way back: as published", "paper_half", "more_sft_half", everywhere),
            Claim("dense, all the way: RL beats more SFT", "rft_ours", "more_sft_low", boxes),
            Claim("dense, all the way: as published", "paper", "more_sft_low", boxes),
        ),
        columns=(*DETECTION, IN_ROOMS, IN_EASY),
        baseline="more_sft_low",
    )  # fmt: skip
