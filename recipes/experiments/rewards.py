"""What is paid for a list of boxes, and where: other rewards of the same samples, in the rooms of ``new_lens``.

Command::

    rft3d experiment run --only rewards

Hardware: two CPU cores, 6 GiB.
Time: about 4 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from typing import Any

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import DETECTION, WHOLE, lens_arms, lens_rft, lens_world

LEAVE_ONE_OUT: dict[str, Any] = {
    "scale": "none", "loss": "dr_grpo", "baseline": "leave_one_out", "temperature": 1.0,
}  # fmt: skip


def config() -> Experiment:
    arms, pooled = lens_arms(), (DETECTION[1][:2],)
    precise = tuple(column[:2] for column in DETECTION[2:])
    each, others = "matched IoU + F1, each box paid", "leave-one-out, Dr. GRPO, temperature 1"
    return Experiment(
        name="rewards",
        rank=6,
        question="Which reward of a list of boxes teaches most, and is one advantage an answer too coarse?",
        world=lens_world(),
        arms=(
            arms["sft"],
            lens_rft("iou", "format + IoU", {"detection": "iou"}, **WHOLE),
            lens_rft("f1", "format + F1", {"detection": "f1"}, **WHOLE),
            arms["both"],
            arms["ours"],
            lens_rft("credit", each, {"detection": "matched"}, credit="marginal"),
            lens_rft(
                "hungarian", "-(FN + 0.3 FP), each box paid", {"detection": "hungarian"}, credit="marginal"
            ),
            lens_rft(
                "loo", f"{each}, {others}", {"detection": "matched"}, credit="marginal", **LEAVE_ONE_OUT
            ),
        ),
        claims=(
            Claim("RL raises precision and recall alike", "both", "sft", precise),
            Claim("IoU + F1 beats IoU alone, F1 alone", "both", "iou", pooled),
            Claim("IoU + F1 beats IoU alone, F1 alone", "both", "f1", pooled),
            Claim("credit per box helps", "credit", "ours", pooled),
        ),
        columns=DETECTION,
        baseline="both",
    )
