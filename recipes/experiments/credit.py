"""Credit per object: each box of a detection paid for itself, on the tokens that wrote it.

Command::

    rft3d experiment run --only credit

Hardware: two CPU cores, 6 GiB.
Time: about 40 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from dataclasses import replace

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import CREDIT, DETECTION, rft, world

STEPS = 150


def config() -> Experiment:
    plain = Arm(
        "det_matched",
        "matched reward, one advantage an answer",
        rft({"detection": 48}, steps=STEPS),
        options={"detection": {"reward": "matched_diou"}},
        judge=("detection",),
    )
    paid = replace(
        plain,
        name="det_credit",
        title="and credit per object",
        stage=rft({"detection": 48}, steps=STEPS, **CREDIT),
    )
    return Experiment(
        name="credit",
        rank=4,
        question="Is one advantage an answer too coarse for a list of boxes?",
        world=world(),
        arms=(plain, paid),
        claims=(Claim("credit per object helps", "det_credit", "det_matched", (DETECTION[1][:2],)),),
        columns=DETECTION,
    )
