"""Scaling in model size: a larger language model (hidden 384, 6 layers); rl_beats_sft.py has the usual one.

Its encoders are of the same size but made anew, because they end in the language model's width. Parameter
counts are in the run's stages.json.

Command::

    rft3d matrix run --only size_large

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from dataclasses import replace

from rft3d.matrix.settings import BUDGET, COLUMNS, SEEDS, THREE, base_sft, more_sft, rewarded, rft, world
from rft3d.matrix.types import Arm, Claim, Experiment


def config() -> Experiment:
    usual = world("size_large")
    return Experiment(
        name="size_large",
        question="Does what RL gains depend on the size of the language model?",
        world=replace(usual, tiny=replace(usual.tiny, hidden=384, layers=6, heads=6, intermediate=1024)),
        arms=(
            base_sft(),
            Arm("sft_sft", "SFT → SFT", more_sft(seed=1000), "sft"),
            Arm(
                "rft_matched",
                "SFT → RL, matched rewards",
                rft(),
                "sft",
                options=rewarded("matched", "metric"),
            ),
        ),
        claims=(Claim("RL beats more SFT", "rft_matched", "sft_sft", THREE),),
        budget=BUDGET,
        seeds=SEEDS,
        columns=COLUMNS,
        dynamics=("rft_matched",),
    )
