"""How much of what is learned needs looking at the room, and how much of what RL gains?

Most of VSI's numbers can be guessed from the question alone: a bed is about two metres long wherever it stands,
and a distance that is never far off earns something on the average. Arms that train with the pictures of *other*
rooms learn all of that and nothing else. They are judged with the right pictures, as all others.

Command::

    rft3d matrix run --only looking

Hardware: two CPU cores, 4 GiB.
Time: about 12 minutes for SFT and 4 for RL where three seeds run at once, beside the arms of rl_beats_sft.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import (
    BUDGET,
    DETECTION,
    FOLLOWED,
    GROUNDING,
    HEADLINE,
    LOOKED,
    ODD,
    SEEDS,
    WITH_IOU,
    base_sft,
    blind_sft,
    follows,
    headline_arm,
    in_odd_rooms,
    more_arm,
    our_arm,
    world,
)
from rft3d.matrix.types import STANDARD, Claim, Experiment

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

READING = """\
**Detection looks**: F1 is 0.8 % with the pictures of other rooms and 29.4 % with the right ones, and nearly all
that RL gains there it gains by looking. **Grounding hardly does**: 5.7 of its 8.9 % need no picture, so what RL
could improve is three points wide in these rooms (sparse ones: section *grounding*).

**Spatial questions mostly do not.** `rft3d solve --blind`, the best fixed answer to a type of question about
the same things, gets 63.3, 63.7 and 63.2 % of these questions right in the three seeds: more than SFT (56.5 %)
and more than RL (60.3 %). Counts are nearly always two here (95.6 %), a bed is as long as a bed (blind 88 %;
our arms 63 to 70 %), and directions and routes are near chance in every arm (RL on routes, 74 of them, against
more SFT: -7.2 points [-18.1, +4.6]). What RL gains over more SFT is distances (+11.8 points), and an arm that
never saw its rooms gains as much of them (24.5 to 36.6 %; looking adds +0.2 [-2.1, +2.6]): SFT answers with a
frequent number, RL with one that earns more on the average. That is the metric's doing, not the eyes'.

**What RL learns here is mostly which number pays.** Only the size of the room is answered better than blind
(63.5 %): 69.6 % by SFT, 73.9 % by RL. But the answers do not follow the rooms any better: the correlation of
their logs with the truth's is 0.66 after SFT and 0.67 after RL (+0.7 hundredths [-1.9, +3.4]; `rft3d solve
--blind --predictions`). RL moves the numbers to where a relative error costs least and leaves their order as it
was. In rooms whose sizes, counts and things are unlike the training rooms' (*odd*) the blind answerer falls to
39 %, SFT to 39 %, and RL gains nothing over it; the correlation falls to 0.43 for SFT and to 0.37 for RL. What
can be said for RL there is that it keeps more of what SFT saw than more SFT does, which loses the size of the
room altogether on one of the seeds.
"""


def config() -> Experiment:
    return Experiment(
        name="looking",
        rank=5,
        question="How much of what is learned needs looking at the room, and how much of what RL gains?",
        world=world(),
        arms=(
            base_sft(),
            more_arm(elsewhere=HEADLINE),
            headline_arm(),
            blind_sft(),
            our_arm(name="blind_rft_ours", title="SFT → RL, ours, pictures of other rooms", base="blind_sft",
                    looks=False, elsewhere=ODD),
        ),
        claims=(
            Claim("looking helps, SFT", "sft", "blind_sft", WITH_IOU),
            Claim("looking helps, RL", "rft_ours", "blind_rft_ours", WITH_IOU),
            Claim("RL gains without looking, too", "blind_rft_ours", "blind_sft", WITH_IOU),
            Claim("RL beats more SFT on questions of this type", "rft_ours", "sft_sft",
                  tuple(("spatial", f"accuracy/{kind}") for kind in KINDS), late=True),
            Claim("looking helps on questions of this type", "rft_ours", "blind_rft_ours",
                  tuple(("spatial", f"accuracy/{kind}") for kind in KINDS)),
            in_odd_rooms("looking helps, RL", "rft_ours", "blind_rft_ours", (*WITH_IOU, *LOOKED)),
            in_odd_rooms("RL beats more SFT on the size of the room", "rft_ours", "sft_sft", LOOKED),
            *(
                follows(f"answers follow {rooms} better after RL", "rft_ours", before, where=where)
                for rooms, where in (("the room", STANDARD), ("odd rooms", ODD[0]))
                for before in ("sft", "sft_sft")
            ),
        ),
        reading=READING,
        budget=BUDGET,
        seeds=SEEDS,
        columns=(
            *DETECTION,
            *GROUNDING,
            ("spatial", "micro", "VSI micro"),
            *(("spatial", f"accuracy/{kind}", heading) for kind, heading in KINDS.items()),
            (*FOLLOWED[0], "room size, r x 100"),
            ("odd@spatial", "micro", "VSI micro, odd rooms"),
            ("odd@spatial", LOOKED[0][1], "room size, odd rooms"),
        ),
    )  # fmt: skip
