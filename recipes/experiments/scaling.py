"""From 0 to 600 steps of RL: the held-out curves of a long run beside as long a run of more SFT.

Command::

    rft3d experiment run --only scaling

Hardware: two CPU cores, 6 GiB.
Time: about three hours an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import COLUMNS, CREDIT, OURS, our_arm, rft, sft, world

STEPS = 600


def config() -> Experiment:
    return Experiment(
        name="scaling",
        rank=7,
        question="How long does RL go on gaining?",
        world=world(),
        arms=(
            our_arm(stage=rft(steps=300, **CREDIT), elsewhere=("easy", "dense")),
            Arm("more_long", f"SFT → more SFT, {STEPS} steps", sft(steps=STEPS, seed=1000)),
            Arm("rft_long", f"SFT → RFT, {STEPS} steps", rft(steps=STEPS, **CREDIT), options=OURS),
        ),
        claims=(Claim("600 steps beat 300", "rft_long", "rft_ours", (("detection", "f1@0.25"),)),),
        columns=COLUMNS,
        baseline="more_long",
    )
