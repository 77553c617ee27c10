"""Grounding and spatial questions where labelled rooms are few: RFT against more SFT on 64 dense rooms.

The rooms of ``few_rooms``, short answers: a task an arm, as the paper trains its specialists. Equal data, equal
steps.

Command::

    rft3d experiment run --only few_questions

Hardware: two CPU cores, 6 GiB.
Time: about 8 minutes an arm and seed on one core.
Expected: little; by consensus ``rft3d headroom`` sees Acc@.25 +0.5 [-4.7, +5.2] and VSI micro +1.0 [-1.2, +3.4].
"""

from rft3d.experiments import Arm, Claim, Experiment
from rft3d.experiments.settings import GROUNDING, LOW_RATE, OURS, SPATIAL, rft, sft, start_arm, world
from rft3d.scenes import WORLDS

STEPS = 60
PROMPTS = {"grounding": 12, "spatial": 24}


def labelled(name: str, view: str) -> Arm:
    """More SFT at the better of two rates: at ten times this one it falls (``docs/log.md``)."""
    stage = sft({view: 2}, steps=STEPS, scenes_per_step=16, seed=1000, optim=LOW_RATE)
    return Arm(name, f"SFT → more SFT, {view}", stage, judge=(view,))


def reinforced(name: str, view: str, temperature: float) -> Arm:
    stage = rft({view: PROMPTS[view]}, steps=STEPS, scale="task", temperature=temperature)
    options = {view: OURS[view]} if view in OURS else {}
    return Arm(name, f"SFT → RFT, {view}", stage, options=options, judge=(view,))


def config() -> Experiment:
    views = {"grounding": {"max_per_scene": 6}, "spatial": {"max_per_type": 2}}
    held_out = {"grounding": {"max_per_scene": 2}, "spatial": {"max_per_type": 1}}
    return Experiment(
        name="few_questions",
        rank=2,
        question="Does reinforcement gain more than more SFT on questions about 64 labelled rooms?",
        world=world(name="questions", rooms=WORLDS["dense"], views=views, held_out=held_out, watch_every=10),
        arms=(
            start_arm(judge=("grounding", "spatial")),
            labelled("ground_sft", "grounding"),
            reinforced("ground_rft", "grounding", 0.5),
            labelled("spatial_sft", "spatial"),
            reinforced("spatial_rft", "spatial", 1.0),
        ),
        claims=(
            Claim("dense, grounding: RL beats more SFT", "ground_rft", "ground_sft", (GROUNDING[:2],)),
            Claim("dense, questions: RL beats more SFT", "spatial_rft", "spatial_sft", (SPATIAL[:2],)),
        ),
        columns=(GROUNDING, SPATIAL),
        baseline="ground_sft",
    )
