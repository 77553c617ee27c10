"""Thoughts for perception (the paper leaves it open), and process rewards: the places in a thought are paid.

Detection after a note of what is where; spatial questions whose thought's places, or the boxes that it starts
from, are checked against the room.

Command::

    rft3d matrix run --only thoughts

Hardware: two CPU cores, 4 GiB.
Time: about 6 minutes an arm and seed where three seeds run at once; 20 more for a seed's rooms, encoders and SFT.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import BUDGET, ODD, OTHER, SEEDS, base_sft, rft, taught, world
from rft3d.matrix.types import Arm, Claim, Experiment

SIGHT, SEEN = ("spatial", "spatial-perceive"), {"spatial": 3, "spatial-perceive": 2}
PERCEIVED = (("spatial-perceive", "micro"),)
NOTED = (("detection-think", "f1@0.25"),)
BOXES, WORDS = ("detection", "detection-think"), ("spatial", "spatial-think")

READING = """\
Every row is a *no* at this size. A note before the boxes costs 5 to 6 points of F1 (an answer has 60 tokens
instead of 40, so the same budget is fewer rooms), and RL does not win them back. Paying for the places that a
thought names changes the answer by +0.3 points, paying for the boxes that it starts from by -0.5. Boxes before
the thought cost 2.5 points beside the thought alone. As few of the answers depend on what is seen (section
*looking*), thoughts about what is seen have little to give here.

RL on boxes adds nothing (33.2 and 33.4 % F1) where SFT had twice the tokens on boxes alone: its gains in the
other experiments are on top of an SFT that shares its tokens between three tasks.
"""


def config() -> Experiment:
    spoken = {"spatial": 3, "spatial-think": 2}
    return Experiment(
        name="thoughts",
        rank=6,
        question="Do thoughts help to find boxes, and does paying for what a thought says help its answer?",
        world=world("thoughts", thoughts=True),
        arms=(
            base_sft(judge=WORDS, elsewhere=()),
            taught("boxes_direct", "SFT on boxes", {"detection": 1}, judge=BOXES),
            taught("boxes_think", "SFT on boxes after a note", {"detection-think": 1}, judge=BOXES),
            Arm("boxes_direct_rl", "SFT on boxes → RL", rft({"detection": 48}), "boxes_direct", judge=BOXES),
            Arm("boxes_think_rl", "SFT on boxes after a note → RL", rft({"detection-think": 32}), "boxes_think",
                judge=BOXES),
            taught("mixed", "SFT on both", spoken, judge=WORDS, elsewhere=OTHER),
            Arm("rl_think", "SFT on both → RL, thinking", rft({"spatial-think": 24}), "mixed", judge=WORDS,
                elsewhere=(*OTHER, *ODD)),
            Arm("rl_process", "SFT on both → RL, thinking, places paid", rft({"spatial-think": 24}), "mixed",
                options={"spatial-think": {"process": True}}, judge=WORDS),
            taught("perceive", "SFT on both, boxes before the thought", SEEN, judge=SIGHT),
            Arm("rl_perceive", "SFT with boxes → RL, thinking", rft({"spatial-perceive": 16}), "perceive",
                judge=SIGHT),
            Arm("rl_perceive_process", "SFT with boxes → RL, thinking, boxes paid", rft({"spatial-perceive": 16}),
                "perceive", options={"spatial-perceive": {"process": True}}, judge=SIGHT),
        ),
        claims=(
            Claim("a note before the boxes helps to find them, SFT", "boxes_think", "boxes_direct", NOTED,
                  against_view="detection"),
            Claim("a note before the boxes helps to find them, RL", "boxes_think_rl", "boxes_direct_rl", NOTED,
                  against_view="detection"),
            Claim("RL with a note beats SFT with it", "boxes_think_rl", "boxes_think", NOTED),
            Claim("places paid in the thought help the answer", "rl_process", "rl_think",
                  (("spatial-think", "micro"),)),
            Claim("boxes paid in the thought help the answer", "rl_perceive_process", "rl_perceive", PERCEIVED),
            Claim("boxes before the thought beat the thought alone, SFT", "perceive", "mixed", PERCEIVED,
                  against_view="spatial-think"),
            Claim("boxes before the thought beat the thought alone, RL", "rl_perceive_process", "rl_process",
                  PERCEIVED, against_view="spatial-think"),
        ),
        reading=READING,
        budget=BUDGET,
        seeds=SEEDS,
        columns=(
            ("detection", "f1@0.25", "F1@.25"),
            ("detection-think", "f1@0.25", "F1@.25 after a note"),
            ("spatial", "micro", "VSI micro"),
            ("spatial-think", "micro", "VSI, thinking"),
            ("spatial-perceive", "micro", "VSI, boxes first"),
        ),
        dynamics=("rl_think", "rl_process"),
    )  # fmt: skip
