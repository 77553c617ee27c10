"""One policy for detection and grounding against one for each, by RL with the same prompts a task, in the rooms of
``new_lens``.

Command::

    rft3d experiment run --only joint

Hardware: two CPU cores, 6 GiB.
Time: about 4 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import DETECTION, GROUNDING, lens_arms, lens_rft, lens_world


def config() -> Experiment:
    arms = lens_arms()
    return Experiment(
        name="joint",
        rank=8,
        question="Does one policy for both tasks learn as much as a specialist for each?",
        world=lens_world(),
        arms=(
            *(arms[name] for name in ("sft", "ours", "ground")),
            lens_rft("joint", "both tasks", {"detection": "matched", "grounding": "metric_diou"}),
        ),
        claims=(
            Claim("one policy beats two specialists", "joint", "ours", (DETECTION[1][:2],)),
            Claim("one policy beats two specialists", "joint", "ground", (GROUNDING[:2],)),
        ),
        columns=(*DETECTION, GROUNDING),
    )
