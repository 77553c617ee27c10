"""One policy for all three tasks by joint RL, against three specialists with the same tokens in total.

Command::

    rft3d matrix run --only joint

Hardware: two CPU cores, 4 GiB.
Time: about 2 minutes an arm and seed where three seeds run at once; 20 more for a seed's rooms, encoders and SFT.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import BUDGET, COLUMNS, OUR_REWARDS, SEEDS, base_sft, headline_arm, our_rft, world
from rft3d.matrix.types import Arm, Claim, Experiment

METRICS = {"detection": "f1@0.25", "grounding": "acc@0.25", "spatial": "micro"}

READING = """\
One policy for all loses nothing: no specialist with its third of the tokens is ahead of it, on any seed by more
than a tenth of a point. Spatial questions alone take a third of the tokens to gain what the joint policy gains on
them.
"""


def config() -> Experiment:
    prompts = our_rft().prompts_per_step
    return Experiment(
        name="joint",
        rank=8,
        question="Does one policy for all tasks lose anything against a specialist for each?",
        world=world(),
        arms=(
            base_sft(),
            headline_arm(),
            *(
                Arm(
                    f"only_{task}",
                    f"RL on {task} only, a third of the tokens",
                    our_rft({task: prompts[task]}),
                    "sft",
                    budget=1 / 3,
                    options={task: OUR_REWARDS[task]} if task in OUR_REWARDS else {},
                )
                for task in METRICS
            ),
        ),
        claims=tuple(
            Claim(
                f"joint RL is no worse than the {task} specialist",
                "rft_ours",
                f"only_{task}",
                ((task, metric),),
                kind="not below",
            )
            for task, metric in METRICS.items()
        ),
        budget=BUDGET,
        reading=READING,
        seeds=SEEDS,
        columns=COLUMNS,
    )
