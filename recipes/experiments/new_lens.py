"""A camera that the policy does not know: RFT against more SFT on 64 labelled rooms, equal data and steps.

The shipped policy knows one lens (65 degrees). Through one of 55 all its answers can be read and its boxes miss
(``settings.lens_world``). SFT is shown the true boxes, RFT is told the metric of its own ones.

Command::

    rft3d experiment run --only new_lens

Hardware: two CPU cores, 6 GiB.
Time: about 4 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import DETECTION, GROUNDING, IN_ROOMS, lens_arms, lens_sft, lens_world


def config() -> Experiment:
    arms = lens_arms()
    pooled = (DETECTION[1][:2],)
    labels = lens_sft("more_ground", "more SFT, grounding", "grounding")
    return Experiment(
        name="new_lens",
        rank=3,
        question="Does reinforcement gain more than more SFT in rooms seen through a camera that is new?",
        world=lens_world(),
        arms=(*(arms[name] for name in ("sft", "more_sft", "both", "ours")), labels, arms["ground"]),
        claims=(
            Claim("new lens: RL beats more SFT", "ours", "more_sft", pooled),
            Claim("new lens: as published", "both", "more_sft", pooled),
            Claim("new lens, grounding: RL beats more SFT", "ground", "more_ground", (GROUNDING[:2],)),
        ),
        columns=(*DETECTION, IN_ROOMS, GROUNDING),
        baseline="more_sft",
    )
