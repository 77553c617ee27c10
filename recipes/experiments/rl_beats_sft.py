"""RL against more SFT from the finished, shipped SFT policy: equal rooms and equal minutes.

*Paper* is GRPO as published with the paper's rewards; *ours* pays matched boxes, every box for what it adds, on its
own tokens. Judged on fresh rooms of the shipped model's world, of the easy one and of the dense one.

Command::

    rft3d experiment run --only rl_beats_sft          # or `make results` for everything

Hardware: two CPU cores, 6 GiB.
Time: about 90 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md. The aim over more SFT: F1 +5.5,
Acc@.25 +6.5, VSI micro +5 in the shipped world, F1 +10 in the dense one, +2 in the easy one.
"""

from __future__ import annotations

from dataclasses import replace

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import (
    COLUMNS,
    CREDIT,
    DETECTION,
    MAIN,
    more_sft,
    our_arm,
    paper_arm,
    rft,
    sft,
    start_arm,
    world,
)

STEPS = 300
EVERYWHERE = ("easy", "dense")


def config() -> Experiment:
    arms: tuple[Arm, ...] = (
        start_arm(),
        more_sft(stage=sft(steps=STEPS, seed=1000)),
        paper_arm(stage=rft(steps=STEPS)),
        our_arm(stage=rft(steps=STEPS, **CREDIT)),
    )
    f1 = DETECTION[0][:2]
    return Experiment(
        name="rl_beats_sft",
        rank=1,
        question="Does reinforcement on the metric gain more than as long a second stage of SFT?",
        world=world(),
        arms=tuple(replace(arm, elsewhere=EVERYWHERE) for arm in arms),
        claims=(
            Claim("RL beats more SFT", "rft_ours", "more_sft", MAIN),
            Claim("RL as published beats more SFT", "rft_paper", "more_sft", (f1,)),
            Claim("RL beats more SFT in dense rooms", "rft_ours", "more_sft", (f1,), where="dense"),
            Claim("RL beats more SFT in easy rooms", "rft_ours", "more_sft", (f1,), where="easy"),
            Claim(
                "RL raises precision and recall", "rft_ours", "more_sft", tuple(c[:2] for c in DETECTION[2:])
            ),
        ),
        columns=(*COLUMNS, *((f"{where}@detection", f1[1], f"F1, {where}") for where in EVERYWHERE)),
        baseline="more_sft",
    )
