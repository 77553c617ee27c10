"""Thoughts before answers about counts and sizes: none, good ones, ones that lie about the room; and RL in thinking
mode.

The shipped tokenizer spells a thought's words, so only the two types with the shortest thoughts are asked: which
boxes of a kind there are and how many; how large one is and its longest edge.

Command::

    rft3d experiment run --only thoughts

Hardware: two CPU cores, 6 GiB.
Time: about 8 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import LIMITS, PEAK_RATE, rft, sft, world

TYPES = ("object_counting", "object_size_estimation")
STEPS = 80
THOUGHT = 160
"""Longest answers with a thought, in tokens."""


def taught(name: str, title: str, view: str) -> Arm:
    """SFT on answers of a new form: the peak rate again."""
    stage = sft({view: 4}, steps=STEPS, scenes_per_step=6, seed=700, optim=PEAK_RATE)
    return Arm(name, title, stage, judge=("spatial" if view == "spatial" else "spatial-think",))


def config() -> Experiment:
    asked = {"types": TYPES, "max_per_type": 2}
    views = {"spatial": asked, "spatial-think": {**asked, "answers": "think", "decimals": 1}}
    held_out = {view: {**own, "max_per_type": 1} for view, own in views.items()}
    limits = {**LIMITS, "spatial-think": THOUGHT}
    reinforced = rft({"spatial-think": 12}, steps=STEPS // 2, max_new_tokens=limits)
    think = (("spatial-think", "micro"),)
    return Experiment(
        name="thoughts",
        rank=7,
        question="Does a thought help because of what it says about the room?",
        world=world(
            name="thoughts", train_rooms=480, watched_rooms=0, elsewhere={}, views=views, held_out=held_out,
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
            Claim("RL in thinking mode beats SFT", "good_rft", "good", think),
        ),
        columns=(("spatial", "micro", "VSI micro"), ("spatial", "accuracy/object_counting", "counting"),
                 ("spatial", "accuracy/object_size_estimation", "sizes")),
    )  # fmt: skip
