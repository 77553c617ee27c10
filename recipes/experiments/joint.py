"""One policy for all tasks against one for each, by RL with the same prompts a task.

Command::

    rft3d experiment run --only joint

Hardware: two CPU cores, 6 GiB.
Time: about 90 minutes for the joint arm and seed on one core, 30 for a specialist.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import COLUMNS, CREDIT, OURS, our_arm, rft, world

STEPS = 300


def config() -> Experiment:
    alone = rft({"detection": 24}, steps=STEPS, **CREDIT)
    f1 = (("detection", "f1@0.25"),)
    return Experiment(
        name="joint",
        rank=6,
        question="Does one policy for all tasks learn as much as a specialist?",
        world=world(),
        arms=(
            our_arm(stage=rft(steps=STEPS, **CREDIT), elsewhere=("easy", "dense")),
            Arm("only_detection", "RFT on detection only", alone, options=OURS),
        ),
        claims=(Claim("one policy beats the specialist", "rft_ours", "only_detection", f1),),
        columns=COLUMNS,
    )
