"""Object-level credit: each box's own matched IoU paid to the tokens that wrote it.

Beside it the sequence's reward stays, for count and format. Two kinds: what the box adds to the answer's reward;
how it compares with the group's other attempts at the same true object, in units of their spread.

Command::

    rft3d matrix run --only credit

Hardware: two CPU cores, 4 GiB.
Time: about 4 minutes an arm and seed where three seeds run at once; 20 more for a seed's rooms, encoders and SFT.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import BUDGET, DETECTION, F1, SEEDS, base_sft, detection_arm, matched_arm, world
from rft3d.matrix.types import Claim, Experiment

METRICS = (*F1, ("detection", "mean_iou"))

READING = """\
Beside the plain matched reward credit against the attempts decides nothing. Where the reward also says how near
a box came (DIoU), credit per object gains on every seed; DIoU without credit gains nothing. How near a box came
is of use only to the tokens that wrote it.
"""


def config() -> Experiment:
    return Experiment(
        name="credit",
        rank=3,
        question="Is one advantage a completion too coarse for a list of boxes?",
        world=world(),
        arms=(
            base_sft(),
            matched_arm(),
            detection_arm("credit_marginal", "credit 1, marginal reward", "matched", credit="marginal"),
            detection_arm("credit_attempts", "credit 1, against the group's attempts at it", "matched",
                          credit="attempts"),
            detection_arm("det_matched_diou", "matched, with DIoU shaping", "matched_diou"),
            detection_arm("credit_attempts_diou", "credit 1, against the attempts, DIoU", "matched_diou",
                          credit="attempts"),
        ),
        claims=(
            Claim("object-level credit helps, marginal reward", "credit_marginal", "det_matched", METRICS),
            Claim("object-level credit helps, attempts", "credit_attempts", "det_matched", METRICS),
            Claim("object-level credit helps where the reward is shaped", "credit_attempts_diou",
                  "det_matched_diou", METRICS),
        ),
        budget=BUDGET,
        reading=READING,
        seeds=SEEDS,
        columns=DETECTION,
        dynamics=("det_matched", "credit_marginal", "credit_attempts", "credit_attempts_diou"),
    )  # fmt: skip
