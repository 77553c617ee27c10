"""Spatial reasoning: direct answers, thought-augmented, mixed; good against corrupted thoughts; thinking RL.

Thoughts are worked out from the room's geometry, to one decimal. They are a form of answer that the first SFT did
not teach, so the arms that learn them (and the one without them) have its peak rate and twice the tokens. A
corrupted thought has the working-out of another room's question and the right conclusion. Judged on direct and on
thinking prompts, and in rooms that are larger, fuller, or long and narrow.

Command::

    rft3d matrix run --only spatial

Hardware: two CPU cores, 4 GiB.
Time: about 9 minutes an arm and seed where three seeds run at once; 20 more for a seed's rooms, encoders and SFT.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import (
    BUDGET,
    FOLLOWED,
    LOOKED,
    ODD,
    OTHER,
    SEEDS,
    SPATIAL,
    base_sft,
    follows,
    in_odd_rooms,
    more_sft,
    rft,
    taught,
    world,
)
from rft3d.matrix.types import Arm, Claim, Experiment

BOTH = ("spatial", "spatial-think")
DIRECT = (("spatial", "micro"),)
THINKING = (("spatial-think", "micro"),)
LOOKED_AFTER = (("spatial-think", LOOKED[0][1]),)
FOLLOWED_AFTER = (("spatial-think", FOLLOWED[0][1]),)

READING = """\
Read all of it with the floor in mind: an answerer that never looks gets 63 % of these questions right (section
*looking*), more than any arm. RL on direct answers beats more SFT by 2.6 points, in larger and fuller rooms
too. Three fifths of that are distances, which no arm tells from the pictures: SFT names a frequent number, RL
one that earns more on the average. But RL also gains on the one type that the models answer better than without
looking, the size of the room: +2.8 directly, +2.9 after a thought. That is better numbers, not better sight:
the correlation with the truth stays at 0.67. In rooms whose words tell little (*odd*) RL is ahead of more SFT
by 1.2 points and by 2.0 on the size of the room, and there its answers do follow the rooms better (+8.9
hundredths [+3.5, +14.7], all seeds): it keeps what more SFT loses. RL in thinking mode gains nothing certain
over all questions and costs the direct answers 1.5 points.

With equal tokens, learning to think costs the direct answers 1.8 points (the arm sees a quarter as many of
them), and an answer after a thought is as good as a direct one of the arm that learned nothing else (58.7 and
59.3 %; thoughts alone: 59.8 %). Corrupted thoughts teach worse answers after a thought (-2.5 points, in two of
three seeds), but no worse ones about the size of the room: in the thoughts that we read, places are often
simply frequent ones.

An arm that only knows thoughts answers the direct prompt with one too, which is cut after eight tokens: 0 %.
"""


def config() -> Experiment:
    def sft(name: str, title: str, per_scene: dict[str, int]) -> Arm:
        return taught(name, title, per_scene, judge=BOTH, elsewhere=OTHER)

    def rl(name: str, title: str, prompts: dict[str, int]) -> Arm:
        return Arm(name, title, rft(prompts), "mixed", judge=BOTH, elsewhere=(*OTHER, *ODD))

    return Experiment(
        name="spatial",
        rank=4,
        question="What do thoughts teach, is it their content, and what does RL add, also in other rooms?",
        world=world("thoughts", thoughts=True),
        arms=(
            base_sft(judge=BOTH, elsewhere=()),
            sft("direct", "SFT on direct answers", {"spatial": 6}),
            sft("think", "SFT on thoughts", {"spatial-think": 3}),
            sft("mixed", "SFT on both", {"spatial": 3, "spatial-think": 2}),
            sft("corrupt", "SFT on both, corrupted thoughts", {"spatial": 3, "spatial-corrupt": 2}),
            Arm("mixed_sft", "SFT on both → SFT on both", more_sft({"spatial": 3, "spatial-think": 2}, seed=1000),
                "mixed", judge=BOTH, elsewhere=(*OTHER, *ODD)),
            rl("rl_direct", "SFT on both → RL, direct answers", {"spatial": 48}),
            rl("rl_think", "SFT on both → RL, thinking", {"spatial-think": 24}),
        ),
        claims=(
            Claim("thoughts help direct answers", "mixed", "direct", DIRECT),
            Claim("good thoughts beat corrupted ones, direct", "mixed", "corrupt", DIRECT),
            Claim("good thoughts beat corrupted ones, thinking", "mixed", "corrupt", THINKING),
            Claim("RL in thinking mode beats more SFT", "rl_think", "mixed_sft", THINKING),
            Claim("RL in thinking mode helps direct answers", "rl_think", "mixed_sft", DIRECT),
            Claim("RL on direct answers beats more SFT", "rl_direct", "mixed_sft", DIRECT),
            *(
                Claim(f"RL beats more SFT in {where} rooms", "rl_direct", "mixed_sft", DIRECT, where=where)
                for where in OTHER
            ),
            *(
                Claim(f"RL in thinking mode beats more SFT in {where} rooms", "rl_think", "mixed_sft", THINKING,
                      where=where)
                for where in OTHER
            ),
            Claim("RL on direct answers beats more SFT where one has to look", "rl_direct", "mixed_sft", LOOKED,
                  late=True),
            Claim("RL in thinking mode beats more SFT where one has to look", "rl_think", "mixed_sft", LOOKED_AFTER,
                  late=True),
            Claim("good thoughts beat corrupted ones where one has to look", "mixed", "corrupt", LOOKED_AFTER,
                  late=True),
            in_odd_rooms("RL on direct answers beats more SFT", "rl_direct", "mixed_sft", (*DIRECT, *LOOKED)),
            in_odd_rooms("RL in thinking mode beats more SFT", "rl_think", "mixed_sft", (*THINKING, *LOOKED_AFTER)),
            follows("answers follow the room better after RL", "rl_direct", "mixed_sft"),
            follows("answers follow odd rooms better after RL", "rl_direct", "mixed_sft", where=ODD[0]),
            follows("answers follow the room better after RL, thinking", "rl_think", "mixed_sft", "spatial-think"),
        ),
        reading=READING,
        budget=BUDGET,
        seeds=SEEDS,
        columns=(
            *SPATIAL,
            ("spatial-think", "micro", "VSI, thinking"),
            (*LOOKED[0], "room size"),
            (*FOLLOWED[0], "room size, r x 100"),
            (*LOOKED_AFTER[0], "room size, thinking"),
            (*FOLLOWED_AFTER[0], "room size, thinking, r x 100"),
            *((f"{where}@spatial", "micro", f"VSI, {where} rooms") for where in (*OTHER, *ODD)),
            *((f"{where}@spatial-think", "micro", f"thinking, {where} rooms") for where in (*OTHER, *ODD)),
        ),
        dynamics=("rl_direct", "rl_think"),
    )  # fmt: skip
