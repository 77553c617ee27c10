"""The frozen geometry prior: the shipped SFT policy with and without its branch, both trained on.

Command::

    rft3d experiment run --only prior

Hardware: two CPU cores, 6 GiB.
Time: about 90 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import COLUMNS, CREDIT, OURS, our_arm, rft, sft, world

STEPS = 300


def config() -> Experiment:
    f1 = (("detection", "f1@0.25"),)
    plain = "no geometry prior"
    return Experiment(
        name="prior",
        rank=2,
        question="Does reinforcement gain with and without a frozen geometry encoder?",
        world=world(),
        arms=(
            our_arm(stage=rft(steps=STEPS, **CREDIT), elsewhere=("easy", "dense")),
            Arm("plain_sft", f"SFT, {plain}", sft(steps=STEPS, seed=500), geometry=False),
            Arm("plain_more", f"SFT → more SFT, {plain}", sft(steps=STEPS, seed=1000), "plain_sft"),
            Arm(
                "plain_rft",
                f"SFT → RFT, ours, {plain}",
                rft(steps=STEPS, **CREDIT),
                "plain_sft",
                options=OURS,
            ),
        ),
        claims=(
            Claim("the prior helps", "rft_ours", "plain_rft", f1),
            Claim("RL beats more SFT without it", "plain_rft", "plain_more", f1),
        ),
        columns=COLUMNS,
        baseline="plain_more",
    )
