"""Thoughts before spatial answers: none, good ones, ones that lie about the room; and RL in thinking mode.

Command::

    rft3d experiment run --only thoughts

Hardware: two CPU cores, 6 GiB.
Time: about 60 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import LIMITS, rft, sft, world
from rft3d.training.config import OptimConfig

STEPS = 150
THOUGHT = 160
"""Longest answers with a thought, in tokens."""


def taught(name: str, title: str, view: str) -> Arm:
    """SFT on answers of a new form: the peak rate again."""
    stage = sft({view: 8}, steps=STEPS, seed=700, optim=OptimConfig(name="muon", lr=5e-3, muon_lr=0.05))
    return Arm(name, title, stage, judge=("spatial" if view == "spatial" else "spatial-think",))


def config() -> Experiment:
    thinks = {"answers": "think", "decimals": 1}
    trained, asked = {"max_per_type": 2}, {"max_per_type": 1}
    views = {"spatial": trained, "spatial-think": trained | thinks}
    held_out = {"spatial": asked, "spatial-think": asked | thinks}
    limits = {**LIMITS, "spatial-think": THOUGHT}
    reinforced = rft({"spatial-think": 48}, steps=STEPS, max_new_tokens=limits)
    think = (("spatial-think", "micro"),)
    return Experiment(
        name="thoughts",
        rank=5,
        question="Does a thought help because of what it says about the room?",
        world=world(
            name="thoughts", train_rooms=2400, watched_rooms=0, elsewhere={}, views=views, held_out=held_out,
            max_new_tokens=limits,
        ),
        arms=(
            taught("direct", "SFT on direct answers", "spatial"),
            taught("good", "SFT on good thoughts", "spatial-think"),
            taught("corrupted", "SFT on corrupted thoughts", "spatial-corrupt"),
            Arm("good_rft", "SFT on good thoughts → RFT", reinforced, "good", judge=("spatial-think",)),
        ),
        claims=(
            Claim("good thoughts beat corrupted ones", "good", "corrupted", think),
            Claim("RL in thinking mode beats SFT on thoughts", "good_rft", "good", think),
        ),
        columns=(("spatial", "micro", "VSI micro"), ("spatial", "macro8", "VSI macro-8")),
    )  # fmt: skip
