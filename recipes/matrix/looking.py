"""How much of what is learned needs looking at the room, and how much of what RL gains?

Most of VSI's numbers can be guessed from the question alone: a bed is about two metres long wherever it stands,
and a distance that is never far off earns something on the average. Arms that train with the pictures of *other*
rooms learn all of that and nothing else. They are judged with the right pictures, as all others.

Command::

    rft3d matrix run --only looking

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import (
    BUDGET,
    DETECTION,
    FRESH,
    GROUNDING,
    SEEDS,
    THREE,
    base_sft,
    headline_arm,
    more_arm,
    our_arm,
    world,
)
from rft3d.matrix.types import Claim, Experiment

NEEDED = (THREE[0], ("detection", "mean_iou"), *THREE[1:])
KINDS = {
    "object_counting": "count",
    "object_size_estimation": "size",
    "room_size_estimation": "room size",
    "object_abs_distance": "distance",
    "object_rel_direction_easy": "direction, easy",
    "object_rel_direction_medium": "medium",
    "object_rel_direction_hard": "hard",
    "route_planning": "route",
}
"""VSI's question types with enough questions in these rooms, and how the table calls them."""


def config() -> Experiment:
    return Experiment(
        name="looking",
        question="How much of what is learned needs looking at the room, and how much of what RL gains?",
        world=world(),
        arms=(
            base_sft(),
            more_arm(elsewhere=FRESH),
            headline_arm(),
            base_sft(name="blind_sft", title="SFT, pictures of other rooms", looks=False, elsewhere=()),
            our_arm(name="blind_rft_ours", title="SFT → RL, ours, pictures of other rooms", base="blind_sft",
                    looks=False),
        ),
        claims=(
            Claim("looking helps, SFT", "sft", "blind_sft", NEEDED),
            Claim("looking helps, RL", "rft_ours", "blind_rft_ours", NEEDED),
            Claim("RL gains without looking, too", "blind_rft_ours", "blind_sft", NEEDED),
            Claim("RL beats more SFT on questions of this type", "rft_ours", "sft_sft",
                  tuple(("spatial", f"accuracy/{kind}") for kind in KINDS), late=True),
            Claim("looking helps on questions of this type", "rft_ours", "blind_rft_ours",
                  tuple(("spatial", f"accuracy/{kind}") for kind in KINDS)),
        ),
        budget=BUDGET,
        seeds=SEEDS,
        columns=(
            *DETECTION,
            *GROUNDING,
            ("spatial", "micro", "VSI micro"),
            *(("spatial", f"accuracy/{kind}", heading) for kind, heading in KINDS.items()),
        ),
    )  # fmt: skip
