"""Rewards of detection: IoU, F1, both (the paper's), from the shipped SFT policy.

Command::

    rft3d experiment run --only rewards

Hardware: two CPU cores, 6 GiB.
Time: about 40 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import DETECTION, rft, world

STEPS = 150


def config() -> Experiment:
    stage = rft({"detection": 48}, steps=STEPS)

    def arm(name: str, title: str, reward: str) -> Arm:
        return Arm(name, title, stage, options={"detection": {"reward": reward}}, judge=("detection",))

    pooled = (DETECTION[1][:2],)
    return Experiment(
        name="rewards",
        rank=3,
        question="Which reward of a list of boxes teaches most?",
        world=world(),
        arms=(
            arm("det_iou", "format + IoU", "iou"),
            arm("det_f1", "format + F1", "f1"),
            arm("det_paper", "format + IoU + F1 (paper)", "paper"),
        ),
        claims=(
            Claim("both beat IoU", "det_paper", "det_iou", pooled),
            Claim("both beat F1", "det_paper", "det_f1", pooled),
        ),
        columns=DETECTION,
    )
