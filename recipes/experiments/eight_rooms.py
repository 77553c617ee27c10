"""Eight labelled rooms through a camera that the policy does not know, for longer: does RFT learn them by heart, as
more SFT does? The demo's rooms and arms, and SFT that is stopped early.

Command::

    rft3d experiment run --only eight_rooms

Hardware: two CPU cores, 6 GiB.
Time: about 8 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import DETECTION, eight_rooms_arms, eight_rooms_world, lens_sft


def config() -> Experiment:
    early = lens_sft("early", "more SFT, stopped after 10 steps", steps=10, scenes_per_step=8)
    pooled = (DETECTION[1][:2],)
    return Experiment(
        name="eight_rooms",
        rank=4,
        question="Does RFT learn eight labelled rooms by heart, as more SFT of as many minutes does?",
        world=eight_rooms_world(),
        arms=(*eight_rooms_arms(), early),
        claims=(
            Claim("8 rooms: RL beats as many minutes of SFT", "rft", "more_sft", pooled),
            Claim("8 rooms: RL beats SFT stopped early", "rft", "early", pooled),
        ),
        columns=DETECTION,
        baseline="more_sft",
    )
