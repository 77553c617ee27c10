"""What the recipes in ``recipes/matrix`` share: the demo's world, its SFT stage, its RFT stage.

The settings are the demo's (:class:`rft3d.demo.config.DemoConfig`), so a better demo is a better matrix; run
folders remember what they were made with and refuse others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rft3d.demo.config import DemoConfig
from rft3d.matrix.numbers import FOLLOWED_TYPES
from rft3d.matrix.types import STANDARD, Arm, Claim, Experiment, World
from rft3d.scenes import RoomConfig
from rft3d.training.config import RFTConfig, SFTConfig

DEMO = DemoConfig()
BUDGET = 400_000
"""Optimizer tokens of an arm: about what the demo's SFT -> SFT takes."""
DETECTION_PROMPTS = 48
"""Prompts a step of an arm that trains on detection only."""
SEEDS = (0, 1, 2)
HEADLINE_SEEDS = (0, 1, 2, 3, 4)

THOUGHTFUL = {"spatial-think": 160, "spatial-perceive": 288, "detection-think": 224}
"""Longest answers with a thought, in tokens."""

POOLED = (("detection", "f1@0.25/micro"),)
"""F1 over all boxes, whatever their class: what a reward per answer pays for. The published one is the mean over
classes (:mod:`rft3d.rewards.balanced`)."""
DETECTION = (
    ("detection", "f1@0.25", "F1@.25"),
    (*POOLED[0], "F1 pooled"),
    ("detection", "precision@0.25", "P"),
    ("detection", "recall@0.25", "R"),
    ("detection", "mean_iou", "mean IoU"),
    ("detection", "boxes", "boxes per answer"),
)
GROUNDING = (("grounding", "acc@0.25", "Acc@.25"),)
SPATIAL = (("spatial", "macro8", "VSI macro-8"), ("spatial", "micro", "VSI micro"))
COLUMNS = (*DETECTION, *GROUNDING, *SPATIAL)

F1 = (("detection", "f1@0.25"),)
THREE = (("detection", "f1@0.25"), ("grounding", "acc@0.25"), ("spatial", "micro"))
"""What claims about all tasks are decided on. The mean over VSI's questions, not over its types: of one type these
small rooms have a handful of questions, and two answers would move macro-8 by points."""
WITH_IOU = (THREE[0], ("detection", "mean_iou"), *THREE[1:])
""":data:`THREE` with the mean IoU of boxes, which shows differences that a threshold hides."""

LOOKED = (("spatial", "accuracy/room_size_estimation"),)
"""The type of VSI's questions that these models answer better than can be done without looking
(``rft3d solve --blind``)."""

FOLLOWED = tuple(("spatial", f"follow/{kind}") for kind in FOLLOWED_TYPES)
"""How far the answers to them follow the room: a correlation times 100 (:mod:`rft3d.evaluation.solving.follow`)."""

FRESH = ("fresh",)
"""Held-out rooms like the others that no setting was ever chosen on (the demo's temperature was, on the others)."""
OTHER = ("larger", "fuller", "long")
"""Held-out rooms that no training room is like."""
ODD = ("odd",)
"""Held-out rooms in which the words of a question tell little: things of all sizes, rooms of any size around the
same furniture, up to eight things of three classes. What was learned about numbers, not by looking, is worth less.
"""
HEADLINE = (*FRESH, *ODD)
"""Where the arms of the first rows are judged, too."""


def elsewhere(rooms: RoomConfig) -> dict[str, RoomConfig]:
    """The rooms of :data:`FRESH`, :data:`OTHER` and :data:`ODD`."""
    return {
        "fresh": rooms,
        "larger": replace(rooms, extra_m=1.5),
        "fuller": replace(rooms, min_objects=rooms.max_objects + 1, max_objects=rooms.max_objects + 4),
        "long": replace(rooms, stretch=(1.35, 1.6)),
        "odd": replace(rooms, max_objects=8, kinds=3, sizes=(0.55, 1.8), spread_m=4.0),
    }


def world(name: str = "rooms", thoughts: bool = False, **changes: Any) -> World:
    """The demo's world; ``thoughts``: with thought-augmented spatial questions and detections too."""
    views = {view: dict(options) for view, options in DEMO.tasks.items()}
    held_out = {view: dict(options) for view, options in DEMO.held_out_tasks.items()}
    limits = dict(DEMO.max_new_tokens)
    if thoughts:
        for options in (views, held_out):
            options["spatial-think"] = {**options["spatial"], "answers": "think", "decimals": 1}
            options["spatial-perceive"] = {**options["spatial"], "answers": "perceive", "decimals": 1}
            options["detection-think"] = {**options["detection"], "answers": "think"}
        limits |= THOUGHTFUL
    made = World(
        name=name,
        train_rooms=DEMO.train_rooms,
        held_out_rooms=DEMO.held_out_rooms,
        rooms=DEMO.rooms,
        tiny=DEMO.tiny,
        encoder=DEMO.encoder,
        views=views,
        held_out=held_out,
        max_new_tokens=limits,
        elsewhere=elsewhere(DEMO.rooms),
    )
    return replace(made, **changes)


def base_sft(**changes: Any) -> Arm:
    """The arm that others start from: the demo's SFT on all three tasks."""
    return replace(Arm("sft", "SFT", DEMO.sft, budget=0.0, elsewhere=HEADLINE), **changes)


def blind_sft(**changes: Any) -> Arm:
    """The first stage with the pictures of other rooms: what can be learned without looking."""
    return base_sft(
        name="blind_sft", title="SFT, pictures of other rooms", looks=False, elsewhere=(), **changes
    )


def follows(text: str, arm: str, against: str, view: str = "spatial", where: str = STANDARD) -> Claim:
    """A claim about :data:`FOLLOWED`, asked late; a correlation that grows by less than 0.05 is no gain."""
    measure = ((view, FOLLOWED[0][1]),)
    return Claim(text, arm, against, measure, margin=5.0, where=where, late=True)


def in_odd_rooms(text: str, arm: str, against: str, measures: tuple[tuple[str, str], ...]) -> Claim:
    """A claim about the rooms of :data:`ODD`, asked late."""
    return Claim(f"{text}, in rooms whose words tell little", arm, against, measures, where=ODD[0], late=True)


def more_sft(per_scene: Mapping[str, int] | None = None, **changes: Any) -> SFTConfig:
    """The demo's second SFT stage, on other views if wanted."""
    stage = replace(DEMO.more_sft, **changes)
    if per_scene is None:
        return stage
    weights = {view: stage.task_weights.get(view.partition("-")[0], 1.0) for view in per_scene}
    shares = {view: stage.scene_share.get(view.partition("-")[0], 1.0) for view in per_scene}
    return replace(stage, per_scene=dict(per_scene), task_weights=weights, scene_share=shares)


def more_arm(**changes: Any) -> Arm:
    """The arm that RL is compared with: a second stage of SFT on all three tasks."""
    return replace(Arm("sft_sft", "SFT → SFT", more_sft(seed=1000), "sft"), **changes)


def taught(name: str, title: str, per_scene: Mapping[str, int], **changes: Any) -> Arm:
    """SFT on answers of a new form, from the demo's SFT: its peak rate again, and twice the usual tokens.

    With a second stage's quarter of the rate and the usual tokens a fifth of the thoughts did not end
    (``docs/log.md``).
    """
    stage = replace(more_sft(per_scene), optim=DEMO.sft.optim)
    return replace(Arm(name, title, stage, "sft", budget=2.0), **changes)


def rft(prompts: Mapping[str, int] | None = None, **changes: Any) -> RFTConfig:
    """GRPO as published: one advantage an answer, in units of its group's spread; the demo's steps and rates."""
    return our_rft(prompts, **{**DEMO.paper_rft, **changes})


def our_rft(prompts: Mapping[str, int] | None = None, **changes: Any) -> RFTConfig:
    """The demo's RFT stage: advantages in units of the task's spread, credit per object."""
    limits = {**DEMO.max_new_tokens, **THOUGHTFUL}
    stage = replace(DEMO.rft, max_new_tokens=limits, save_every=5)
    return replace(stage, prompts_per_step=dict(prompts or stage.prompts_per_step), **changes)


def rewarded(detection: str, grounding: str | None = None) -> dict[str, dict[str, Any]]:
    """Options of an arm that is paid so."""
    options = {"detection": {"reward": detection}}
    return options if grounding is None else {**options, "grounding": {"reward": grounding}}


OUR_REWARDS = rewarded(*(DEMO.tasks[task]["reward"] for task in ("detection", "grounding")))


def paper_arm(**changes: Any) -> Arm:
    """GRPO as published, with the paper's rewards, on all three tasks."""
    arm = Arm("rft_paper", "SFT → RL, paper", rft(), "sft", options=rewarded("paper", "paper"))
    return replace(arm, **changes)


def our_arm(**changes: Any) -> Arm:
    """The demo's RFT arm, on all three tasks, with one thing or another changed."""
    return replace(Arm("rft_ours", "SFT → RL, ours", our_rft(), "sft", options=OUR_REWARDS), **changes)


def headline_arm() -> Arm:
    """The demo's RFT arm as it is: what knobs, sizes and the like are compared with."""
    return our_arm(elsewhere=HEADLINE)


CLASS_WEIGHTS = {
    "bathtub": 2.46, "bed": 1.98, "bin": 0.77, "cabinet": 0.61,
    "chair": 0.49, "couch": 2.29, "table": 0.80, "toilet": 2.50,
}  # fmt: skip
""":func:`rft3d.rewards.inverse_frequency` of the 23,287 boxes of the training rooms of seeds 0 to 2 (alone they
differ by up to 6 %)."""


def detection_arm(name: str, title: str, reward: str, **changes: Any) -> Arm:
    """Published GRPO on detection alone, paid by ``reward``; steps have about as many tokens as the demo's."""
    stage = rft({"detection": DETECTION_PROMPTS}, **changes)
    options = rewarded(reward)
    if reward.endswith("_balanced"):
        options["detection"]["class_weights"] = CLASS_WEIGHTS
    return Arm(name, title, stage, "sft", options=options, judge=("detection",))


def matched_arm() -> Arm:
    """Detection by the matched reward: what rewards and object-level credit are compared with."""
    return detection_arm("det_matched", "matched", "matched")


def of_size(name: str, **language_model: int) -> Experiment:
    """More SFT against RL with a language model of another size; the usual one is in rl_beats_sft.py."""
    usual = world(name)
    return Experiment(
        name=name,
        rank=11,
        question="Does what RL gains depend on the size of the language model?",
        world=replace(usual, tiny=replace(usual.tiny, **language_model)),
        arms=(
            base_sft(elsewhere=()),
            more_arm(),
            our_arm(),
        ),
        claims=(Claim("RL beats more SFT", "rft_ours", "sft_sft", THREE),),
        budget=BUDGET,
        seeds=SEEDS,
        columns=COLUMNS,
        dynamics=("rft_ours",),
        reading="All sizes side by side: the last figure of section *scaling*, and what is said there.",
    )
