"""The frozen geometry prior: the shipped policy with and without its branch, taught the rooms of ``new_lens``.

Command::

    rft3d experiment run --only prior

Hardware: two CPU cores, 6 GiB.
Time: about 4 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from dataclasses import replace

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import DETECTION, lens_arm, lens_labels, lens_ours, lens_sft, lens_world


def config() -> Experiment:
    f1 = (DETECTION[1][:2],)
    without, after = "no geometry prior: SFT", {"base": "plain_sft", "elsewhere": ()}
    labels = lens_labels()
    return Experiment(
        name="prior",
        rank=4,
        question="Does reinforcement gain with and without a frozen geometry encoder?",
        world=lens_world(),
        arms=(
            labels,
            replace(labels, name="plain_sft", title=without, geometry=False, elsewhere=()),
            lens_arm("plain_more", f"{without} → more SFT", lens_sft(seed=2000), **after),
            replace(lens_ours(), name="plain_rft", title=f"{without} → RFT", **after),
        ),
        claims=(
            Claim("the prior helps", "more_sft", "plain_sft", f1),
            Claim("RL beats more SFT without it", "plain_rft", "plain_more", f1),
        ),
        columns=DETECTION,
        baseline="plain_more",
    )
