"""RFT against more SFT where labelled rooms are few: 64 dense rooms, equal data, equal steps, from ``rooms-sft``.

Real scans with boxes are few (ScanNet's training set has 1,201 scenes) and SFT goes over them many times. With
endless rooms more SFT never sees a room twice, and gains more (``docs/log.md``). Detection only, in the dense
world: its headroom was measured before any arm ran.

Command::

    rft3d experiment run --only few_rooms

Hardware: two CPU cores, 6 GiB.
Time: about 25 minutes for RFT and 12 for more SFT, a seed, on one quiet core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from dataclasses import replace

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import (
    DETECTION,
    IN_ROOMS,
    WHOLE,
    few_rooms_arm,
    few_rooms_arms,
    few_rooms_rft,
    few_rooms_world,
)

STEPS = 60


def half_way(arm: Arm, name: str) -> Arm:
    """``arm``, its result half way back to where it began."""
    assert arm.stage is not None
    stage = replace(arm.stage, optim=replace(arm.stage.optim, interpolate=0.5))
    return replace(arm, name=name, title=f"{arm.title}, half way back", stage=stage)


def config() -> Experiment:
    start, low = few_rooms_arms(STEPS)
    paper = few_rooms_rft(STEPS, **WHOLE)
    ours = few_rooms_arm("rft_ours", "SFT → RFT, ours", few_rooms_rft(STEPS))
    boxes = tuple(column[:2] for column in DETECTION[:2])
    return Experiment(
        name="few_rooms",
        rank=1,
        question="Does reinforcement gain more than more SFT on the same 64 labelled rooms?",
        world=few_rooms_world(),
        arms=(
            start,
            low,
            half_way(low, "more_sft_half"),
            few_rooms_arm("paper", "SFT → RFT, paper", paper, "paper"),
            ours,
            half_way(ours, "rft_half"),
        ),
        claims=(
            Claim("RL beats more SFT on few rooms", "rft_ours", "more_sft_low", boxes),
            Claim("RL as published beats more SFT on few rooms", "paper", "more_sft_low", boxes),
            Claim("RL beats more SFT on few rooms, both half way back", "rft_half", "more_sft_half", boxes),
        ),
        columns=(*DETECTION, IN_ROOMS),
        baseline="more_sft_low",
    )
