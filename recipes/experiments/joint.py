"""One policy for detection and grounding against one for each, by RL with the same prompts a task, in the rooms of
``new_lens``.

Command::

    rft3d experiment run --only joint

Hardware: two CPU cores, 6 GiB.
Time: about 4 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import (
    DETECTION,
    GROUNDING,
    lens_arm,
    lens_grounding,
    lens_ours,
    lens_rft,
    lens_world,
    start_arm,
)


def config() -> Experiment:
    ours, ground = lens_ours(), lens_grounding()
    asked = lens_rft({"detection": 6, "grounding": 12})
    return Experiment(
        name="joint",
        rank=6,
        question="Does one policy for both tasks learn as much as a specialist for each?",
        world=lens_world(),
        arms=(
            start_arm(judge=("detection", "grounding"), elsewhere=("rooms",)),
            ours,
            ground,
            lens_arm("joint", "SFT → RFT, both tasks", asked, options={**ours.options, **ground.options}),
        ),
        claims=(
            Claim("one policy beats the specialist in detection", "joint", "ours", (DETECTION[1][:2],)),
            Claim("one policy beats the specialist in grounding", "joint", "ground", (GROUNDING[:2],)),
        ),
        columns=(*DETECTION, GROUNDING),
    )
