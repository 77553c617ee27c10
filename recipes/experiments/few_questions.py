"""RFT against more SFT on few labelled rooms, for grounding and spatial questions, in the shipped world.

As ``few_rooms``, with 64 rooms of ``rooms`` (6-15 things): in dense rooms spatial questions are hard to find.

Command::

    rft3d experiment run --only few_questions

Hardware: two CPU cores, 6 GiB.
Time: about 12 minutes for RFT and 15 for more SFT, a seed, on one quiet core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from dataclasses import replace

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import COLUMNS, LOW_RATE, rft, sft, start_arm, world

STEPS = 60
JUDGE = ("grounding", "spatial")


def config() -> Experiment:
    ours = rft({"grounding": 24, "spatial": 40}, steps=STEPS, scale="task", micro_groups=16)
    more = sft({"grounding": 6, "spatial": 8}, steps=STEPS, scenes_per_step=32, seed=1000, optim=LOW_RATE)
    columns = COLUMNS[-2:]
    return Experiment(
        name="few_questions",
        rank=2,
        question="And for grounding and spatial questions about 64 labelled rooms?",
        world=world(
            name="fewq",
            train_rooms=64,
            views={"grounding": {"max_per_scene": 6}, "spatial": {"max_per_type": 3}},
            held_out={"grounding": {"max_per_scene": 3}, "spatial": {"max_per_type": 2}},
            watched_rooms=0,
            elsewhere={},
        ),
        arms=(
            replace(start_arm(), judge=JUDGE),
            Arm("more_sft_low", "SFT → more SFT", more, judge=JUDGE),
            Arm("rft_ours", "SFT → RFT", ours, options={"grounding": {"reward": "paper"}}, judge=JUDGE),
        ),
        claims=(
            Claim(
                "RL beats more SFT on few rooms", "rft_ours", "more_sft_low", tuple(c[:2] for c in columns)
            ),
        ),
        columns=columns,
        baseline="more_sft_low",
    )
