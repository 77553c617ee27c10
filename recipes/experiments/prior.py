"""The frozen geometry prior: the shipped policy with and without its branch, taught the rooms of ``new_lens``.

Command::

    rft3d experiment run --only prior

Hardware: two CPU cores, 6 GiB.
Time: about 4 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from dataclasses import replace

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import DETECTION, lens_arms, lens_world


def config() -> Experiment:
    labels = lens_arms()["more_sft"]
    plain = replace(labels, name="plain_sft", title="SFT → more SFT, no prior", geometry=False, elsewhere=())
    return Experiment(
        name="prior",
        rank=5,
        question="What does the frozen geometry encoder add where labelled rooms are few?",
        world=lens_world(),
        arms=(labels, plain),
        claims=(Claim("the prior helps", "more_sft", "plain_sft", (DETECTION[1][:2],)),),
        columns=DETECTION,
    )
