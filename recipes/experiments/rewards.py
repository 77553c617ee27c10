"""What is paid for a list of boxes, and where: rewards, credit, baselines, on 64 dense rooms as in ``few_rooms``.

Every arm is the demo's RFT with another reward: 20 steps at twice the usual rate, then most of the way back.

Command::

    rft3d experiment run --only rewards

Hardware: two CPU cores, 6 GiB.
Time: about 15 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from typing import Any

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import (
    DETECTION,
    FAR_AND_BACK,
    IN_ROOMS,
    WHOLE,
    few_rooms_arm,
    few_rooms_arms,
    few_rooms_rft,
    few_rooms_world,
)

STEPS = 20


def config() -> Experiment:
    def arm(name: str, title: str, reward: str, **changes: Any) -> Arm:
        return few_rooms_arm(name, title, few_rooms_rft(STEPS, optim=FAR_AND_BACK, **changes), reward)

    return Experiment(
        name="rewards",
        rank=3,
        question="Which reward of a list of boxes teaches most, and is one advantage an answer too coarse?",
        world=few_rooms_world(),
        arms=(
            few_rooms_arms(STEPS)[0],
            arm("iou", "format + IoU", "iou", **WHOLE),
            arm("f1", "format + F1", "f1", **WHOLE),
            arm("both", "format + IoU + F1 (the paper's)", "paper", **WHOLE),
            arm("nocredit", "matched IoU + F1", "matched", credit="none"),
            arm("credit", "matched IoU + F1, each box paid", "matched"),
            arm("graded", "F1 at IoU 0.25, 0.5, 0.75, each box paid", "graded"),
            arm("hungarian", "-(FN + 0.3 FP), each box paid", "hungarian"),
            arm("greedy", "matched, only groups that beat greedy", "matched", beats_greedy=0.02),
            arm(
                "loo_t1", "matched, leave-one-out, Dr. GRPO, temperature 1", "matched", scale="none",
                credit="none", loss="dr_grpo", baseline="leave_one_out", temperature=1.0,
            ),
        ),
        claims=(
            Claim("both beat IoU", "both", "iou", (DETECTION[1][:2],)),
            Claim("both beat F1", "both", "f1", (DETECTION[1][:2],)),
            Claim("credit per box helps", "credit", "nocredit", (DETECTION[1][:2],)),
        ),
        columns=(*DETECTION, IN_ROOMS),
        baseline="both",
    )  # fmt: skip
