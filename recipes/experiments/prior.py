"""The frozen geometry prior: the shipped policy with and without its branch, taught the rooms of ``new_lens``.

Command::

    rft3d experiment run --only prior

Hardware: two CPU cores, 6 GiB.
Time: about 4 minutes an arm and seed on one core.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from dataclasses import replace

from rft3d.experiments import Claim, Experiment
from rft3d.experiments.settings import DETECTION, PEAK_RATE, lens_arms, lens_sft, lens_world

PLAIN_STEPS = 48


def config() -> Experiment:
    arms, f1 = lens_arms(), (DETECTION[1][:2],)
    plain = "no geometry prior: SFT → more SFT"
    labels = lens_sft("plain_sft", "more SFT", steps=PLAIN_STEPS, optim=PEAK_RATE)
    ours = replace(arms["ours"], elsewhere=())
    more = lens_sft("plain_more", "more SFT", seed=2000)
    return Experiment(
        name="prior",
        rank=4,
        question="Does reinforcement gain with and without a frozen geometry encoder?",
        world=lens_world(),
        arms=(
            arms["more_sft"],
            replace(labels, title=plain, geometry=False),
            replace(more, title=f"{plain} → more SFT", base="plain_sft"),
            replace(ours, name="plain_rft", title=f"{plain} → RFT", base="plain_sft"),
        ),
        claims=(
            Claim("the prior helps", "more_sft", "plain_sft", f1),
            Claim("RL beats more SFT without it", "plain_rft", "plain_more", f1),
        ),
        columns=DETECTION,
        baseline="plain_more",
    )
