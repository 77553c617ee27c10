"""From 0 to 600 steps of RL: the held-out curve of a long run; grounding, in the rooms of ``new_lens``.

Command::

    rft3d experiment run --only scaling

Hardware: two CPU cores, 6 GiB.
Time: about 15 minutes for the long arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from dataclasses import replace

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import GROUNDING, lens_arms, lens_world, rft

STEPS = 600


def config() -> Experiment:
    arms = lens_arms()
    long = rft({"grounding": 3}, steps=STEPS, scale="task")
    title = f"SFT → RFT, {STEPS} steps of 3 prompts"
    return Experiment(
        name="scaling",
        rank=9,
        question="How long does RL go on gaining?",
        world=lens_world(),
        arms=(arms["sft"], arms["ground"], replace(arms["ground"], name="rft_long", title=title, stage=long)),
        claims=(Claim(f"{STEPS} steps beat a few", "rft_long", "ground", (GROUNDING[:2],)),),
        columns=(GROUNDING, ("grounding", "mean_iou", "mean IoU")),
    )
