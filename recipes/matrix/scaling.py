"""Scaling in RL steps and in rooms seen, and the figures of all sweeps but group size and temperature (knobs.py).

Model sizes are experiments of their own (size_*.py): each has encoders that end in its width.

Command::

    rft3d matrix run --only scaling

Hardware: two CPU cores, 4 GiB.
Time: 4 to 14 minutes an arm and seed where three seeds run at once; 20 more for a seed's rooms, encoders and SFT.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import (
    BUDGET,
    COLUMNS,
    SEEDS,
    THREE,
    WITH_IOU,
    base_sft,
    headline_arm,
    more_arm,
    our_arm,
    world,
)
from rft3d.matrix.types import Claim, Experiment, Sweep

BUDGETS = (0.5, 2.0, 4.0)
SIZES = ((1.6, "size_small"), (2.7, "rl_beats_sft"), (12.2, "size_large"))
"""Millions of parameters, encoders included, and whose arms have them."""

READING = """\
**More SFT is the better use of the tokens for detection, RL for spatial questions.** The arms of the other
sections get a quarter of the first SFT's tokens, where the two are level on F1. With four times that, more SFT
is 5.8 points of F1 ahead of RL (all seeds) and 1.0 of mean IoU, level on grounding, and RL 2.7 ahead on spatial
questions. The first SFT is not finished: that RL ties with its continuation at the usual budget is a matter of
the budget. After that long SFT, RL adds nothing on F1 (-0.2 [-1.6, +1.1]) and grounding and 3.2 points on
spatial questions [+2.2, +4.3]. Yet it beats one more stage of SFT there, by 2.1 points of F1 [+0.2, +3.9], 1.4
of mean IoU [+0.8, +2.0] and 1.3 on spatial questions [+0.1, +2.6] (not on grounding: -1.3 [-2.5, -0.1]): that
stage, whose rate starts high again, loses what RL keeps.

Within RL, twice the tokens gain nothing over once, but four times do, on everything: over twice, F1 +1.4 and
grounding +1.0 points, both in all seeds; over SFT, F1 +2.6 [+1.0, +4.3], mean IoU +2.5 [+1.9, +3.0], recall
+6.1 [+4.5, +7.8] at the same precision, spatial questions +4.8 [+3.7, +5.9]. It does not saturate at the
largest budget that we ran. Two thirds of what RL gains in its first 400 k tokens are there after 200 k. On 550
of the 2,200 rooms it loses 1.8 points of the spatial questions, on 137 of them 1.3 of grounding, and little of
detection.

**A smaller or a larger language model changes nothing in RL against more SFT** at the usual budget. With 1.6 M,
2.7 M and 12.2 M parameters (0.5, 1.5 and 11 M of them the language model; encoders of one size, the same
tokens, three seeds each) RL is ahead of more SFT by 2.0, 2.8 and 2.8 points of the spatial questions and by
0.7, 1.1 and 0.8 of mean IoU, each with an interval above 0, and on F1 and grounding at no size. SFT does not
grow with size either: the last tenth of its steps has a loss of 2.41, 2.36 and 2.39, its F1 is 27.1, 29.4 and
28.2 %. At these settings the tokens limit it (above), not the language model. The luck of a seed counts for
more: the three small models have 23.5, 33.5 and 24.2 % F1, and not in the order of their encoders' errors. Step
sizes were chosen at 2.7 M and are the same for all; 1.6 M and 12.2 M may do better with their own, which we did
not try.
"""


def config() -> Experiment:
    seen = world()
    rooms = (seen.train_rooms // 16, seen.train_rooms // 4)
    return Experiment(
        name="scaling",
        rank=10,
        question="Where does the metric stop growing with RL steps, and with rooms?",
        world=seen,
        arms=(
            base_sft(),
            headline_arm(),
            *(our_arm(name=f"tokens_{b:g}", title=f"RL, tokens x {b:g}", budget=b) for b in BUDGETS),
            more_arm(name="sft_tokens_4", title="SFT → SFT, tokens x 4", budget=4.0),
            more_arm(name="long_sft", title="SFT → SFT x 4 → SFT", base="sft_tokens_4"),
            our_arm(name="long_rft", title="SFT → SFT x 4 → RL, ours", base="sft_tokens_4"),
            *(our_arm(name=f"rooms_{n}", title=f"RL on {n} of the rooms", rooms=n) for n in rooms),
        ),
        claims=(
            Claim("twice the RL gains more", "tokens_2", "rft_ours", THREE),
            Claim("four times the RL gains more than twice", "tokens_4", "tokens_2", THREE),
            Claim(
                "four times the RL beats four times more SFT", "tokens_4", "sft_tokens_4", WITH_IOU, late=True
            ),
            *(
                Claim("RL gains after a long SFT", "long_rft", against, WITH_IOU, late=True)
                for against in ("sft_tokens_4", "long_sft")
            ),
            *(Claim(f"all rooms beat {n} of them", "rft_ours", f"rooms_{n}", THREE) for n in rooms),
        ),
        reading=READING,
        budget=BUDGET,
        seeds=SEEDS,
        columns=COLUMNS,
        dynamics=("tokens_4",),
        sweeps=(
            Sweep(
                "tokens",
                "optimizer tokens of the second stage, thousands",
                {
                    "SFT → RL, ours": (
                        (0, "scaling/sft"),
                        (BUDGET / 1e3, "scaling/rft_ours"),
                        *((b * BUDGET / 1e3, f"scaling/tokens_{b:g}") for b in BUDGETS),
                    ),
                    "SFT → SFT": (
                        (0, "scaling/sft"),
                        (BUDGET / 1e3, "rl_beats_sft/sft_sft"),
                        (4 * BUDGET / 1e3, "scaling/sft_tokens_4"),
                    ),
                },
                WITH_IOU,
            ),
            Sweep(
                "rooms",
                "training rooms that RL sees",
                {
                    "SFT → RL, ours": (
                        *((n, f"scaling/rooms_{n}") for n in rooms),
                        (seen.train_rooms, "scaling/rft_ours"),
                    )
                },
                WITH_IOU,
            ),
            Sweep(
                "sizes",
                "parameters, millions",
                {
                    title: tuple((size, f"{name}/{arm}") for size, name in SIZES)
                    for title, arm in (
                        ("SFT", "sft"),
                        ("SFT → SFT", "sft_sft"),
                        ("SFT → RL, ours", "rft_ours"),
                    )
                },
                WITH_IOU,
            ),
        ),
    )
