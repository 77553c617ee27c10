"""Object-level credit: each box's own matched IoU paid to the tokens that wrote it.

Beside it the sequence's reward stays, for count and format. Two baselines: the other boxes of the same
answer, or what the same true object earned on average over the group.

Command::

    rft3d matrix run --only credit

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from typing import Literal

from rft3d.matrix.settings import (
    BUDGET,
    DETECTION,
    F1,
    SEEDS,
    base_sft,
    detection_rft,
    matched_arm,
    rewarded,
    world,
)
from rft3d.matrix.types import Arm, Claim, Experiment

METRICS = (*F1, ("detection", "mean_iou"))


def config() -> Experiment:
    def arm(name: str, title: str, weight: float, baseline: Literal["answer", "object"]) -> Arm:
        stage = detection_rft(object_credit=weight, object_baseline=baseline)
        return Arm(name, title, stage, "sft", options=rewarded("matched"), judge=("detection",))

    return Experiment(
        name="credit",
        question="Is one advantage a completion too coarse for a list of boxes?",
        world=world(),
        arms=(
            base_sft(),
            matched_arm(),
            arm("credit_answer", "credit 1, against the answer's boxes", 1.0, "answer"),
            arm("credit_object", "credit 1, against the same object", 1.0, "object"),
            arm("credit_object_3", "credit 3, against the same object", 3.0, "object"),
        ),
        claims=(
            Claim("object-level credit helps", "credit_answer", "det_matched", METRICS),
            Claim("object-level credit helps, same object", "credit_object", "det_matched", METRICS),
            Claim("the same object is the better baseline", "credit_object", "credit_answer", METRICS),
        ),
        budget=BUDGET,
        seeds=SEEDS,
        columns=DETECTION,
        dynamics=("det_matched", "credit_answer", "credit_object"),
    )
