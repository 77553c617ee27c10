"""Reward = metric: what each reward does to precision, recall, F1, IoU and the number of boxes.

The paper saw precision rise far more than recall. Is that the reward's doing, and which reward keeps recall?
Detection only, so that nothing else is paid for.

Command::

    rft3d matrix run --only rewards

Hardware: two CPU cores, 4 GiB.
Time: about 4 minutes an arm and seed where three seeds run at once; 20 more for a seed's rooms, encoders and SFT.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import (
    BUDGET,
    DETECTION,
    F1,
    POOLED,
    SEEDS,
    base_sft,
    detection_arm,
    matched_arm,
    world,
)
from rft3d.matrix.types import Claim, Experiment

BALANCE = (("detection", "precision_minus_recall/micro"),)
RECALL = (("detection", "recall@0.25"), ("detection", "boxes"))

READING = """\
Which F1 is asked decides. The published one is a mean over classes; the rewards pool all boxes of an answer.
Pooled, every reward but the format's raises precision (by 3 to 7 points) and recall (by 2 to 4), and precision
most where the IoU part is paid, as the paper saw it. The IoU part alone has the best pooled F1 with the fewest
boxes: it pays for naming what is sure. Averaged over classes the same arms gain recall only, and less F1:
cabinets (a fifth of all objects) and bathtubs gain, beds (6 %) and bins lose.

Paying for classes alike moves the mean over classes up (matched: on every seed, by 1.0 in the mean) and its
precision by two points, without a loss in the pooled F1 that three seeds could show; but the interval still
touches 0.

A surplus of boxes that the paper's reward could cut is not there: rooms show 3.42 objects, and the SFT model
names 3.32. Format alone changes nothing, as it is at 100 % already.
"""


def config() -> Experiment:
    return Experiment(
        name="rewards",
        rank=2,
        question="What does each reward do to P, R, F1, IoU and the number of boxes an answer has?",
        world=world(),
        arms=(
            base_sft(),
            detection_arm("det_format", "format only", "format"),
            detection_arm("det_iou", "format + IoU", "iou"),
            detection_arm("det_f1", "format + F1", "f1"),
            detection_arm("det_paper", "format + IoU + F1 (paper)", "paper"),
            matched_arm(),
            detection_arm("det_matched_diou", "matched, with DIoU shaping", "matched_diou"),
            detection_arm("det_f1_balanced", "format + F1, classes weigh alike", "f1_balanced"),
            detection_arm("det_matched_balanced", "matched, classes weigh alike", "matched_balanced"),
        ),
        claims=(
            Claim("a reward for the format alone is not enough", "det_paper", "det_format", F1),
            Claim(
                "the paper's reward raises precision more than recall",
                "det_paper",
                "sft",
                (("detection", "precision_minus_recall"),),
            ),
            Claim(
                "the IoU part does that",
                "det_iou",
                "det_f1",
                (("detection", "precision_minus_recall"),),
            ),
            Claim("the matched reward keeps recall", "det_matched", "det_paper", RECALL, margin=1.0),
            Claim("the matched reward keeps F1", "det_matched", "det_paper", F1, kind="not below"),
            Claim(
                "DIoU shaping helps",
                "det_matched_diou",
                "det_matched",
                (*F1, ("detection", "mean_iou")),
            ),
            Claim("the paper's reward raises precision more than recall, pooled", "det_paper", "sft", BALANCE,
                  late=True),
            Claim("the IoU part does that, pooled", "det_iou", "det_f1", BALANCE, late=True),
            Claim("paid for classes alike, F1 raises the mean over classes", "det_f1_balanced", "det_f1", F1),
            Claim("paid for classes alike, matched raises the mean over classes", "det_matched_balanced",
                  "det_matched", F1),
            Claim("and keeps the pooled F1", "det_f1_balanced", "det_f1", POOLED, kind="not below"),
        ),
        budget=BUDGET,
        reading=READING,
        seeds=SEEDS,
        columns=DETECTION,
        dynamics=("det_format", "det_iou", "det_f1", "det_paper", "det_matched", "det_matched_diou"),
    )  # fmt: skip
