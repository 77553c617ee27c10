"""Scaling in RL steps and in rooms seen (group sizes: knobs.py; model sizes: size_*.py).

Command::

    rft3d matrix run --only scaling

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import BUDGET, COLUMNS, SEEDS, THREE, base_sft, our_arm, world
from rft3d.matrix.types import Claim, Experiment

BUDGETS = (0.5, 2.0, 4.0)


def config() -> Experiment:
    seen = world()
    rooms = (seen.train_rooms // 16, seen.train_rooms // 4)
    return Experiment(
        name="scaling",
        question="Where does the metric stop growing with RL steps, and with rooms?",
        world=seen,
        arms=(
            base_sft(),
            our_arm(),
            *(our_arm(name=f"tokens_{b:g}", title=f"RL, tokens x {b:g}", budget=b) for b in BUDGETS),
            *(our_arm(name=f"rooms_{n}", title=f"RL on {n} of the rooms", rooms=n) for n in rooms),
        ),
        claims=(
            Claim("twice the RL gains more", "tokens_2", "rft_ours", THREE),
            Claim("four times the RL gains more than twice", "tokens_4", "tokens_2", THREE),
            *(Claim(f"all rooms beat {n} of them", "rft_ours", f"rooms_{n}", THREE) for n in rooms),
        ),
        budget=BUDGET,
        seeds=SEEDS,
        columns=COLUMNS,
        dynamics=("tokens_4",),
    )
