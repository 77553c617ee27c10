"""What the demo and the recipes in ``recipes/experiments`` share: the shipped model's world and its stages.

Whatever starts from ``rooms-sft`` gets new rooms: the policy has never seen them, so RL practises at its true
level and more SFT learns from as many.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rft3d.experiments.types import Arm, Elsewhere, World
from rft3d.scenes import WORLDS
from rft3d.tasks import task_of
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig

START = "rooms-sft"
LIMITS = {"detection": 300, "grounding": 40, "spatial": 12}
"""Longest answers in training; a detection of 15 boxes has about 250 tokens."""

PAPER = {"detection": {"reward": "paper"}, "grounding": {"reward": "paper"}}
OURS = {"detection": {"reward": "matched_diou"}, "grounding": {"reward": "metric_diou"}}
"""Rewards of an arm: the paper's, and those that are not raised by naming only what is sure."""

DETECTION = (
    ("detection", "f1@0.25", "F1"),
    ("detection", "f1@0.25/micro", "F1 pooled"),
    ("detection", "precision@0.25", "P"),
    ("detection", "recall@0.25", "R"),
)
IN_ROOMS = ("rooms@detection", "f1@0.25", "F1, rooms")
"""A column: detection in the shipped world, where another one is trained in."""
IN_EASY = ("easy@detection", "f1@0.25/micro", "F1 pooled, easy")
GROUNDING = ("grounding", "acc@0.25", "Acc.25")
SPATIAL = ("spatial", "micro", "VSI micro")
COLUMNS = (*DETECTION, GROUNDING, SPATIAL)


def world(**changes: Any) -> World:
    """Fresh rooms of the shipped model's kind, and what its answers need."""
    made = World(
        name="rooms",
        start=START,
        rooms=WORLDS["rooms"],
        train_rooms=64,
        held_out_rooms=320,
        views={},
        held_out={},
        max_new_tokens={"detection": 400, "grounding": 40, "spatial": 12},
        elsewhere={name: Elsewhere(WORLDS[name], ("detection",)) for name in ("rooms", "easy")},
        watched_rooms=48,
    )
    return replace(made, **changes)


def lens_world() -> World:
    """64 labelled rooms of the shipped kind through a lens of 55 degrees; the policy only knows 65.

    All can be read there, but every depth is wrong by a factor: ``rooms-sft`` falls from F1 72 to 23 and from
    Acc@.25 68 to 28. Lists are half as long as in dense rooms, so an arm takes minutes.
    """
    views = {"detection": {}, "grounding": {"max_per_scene": 6}}
    return world(
        name="lens",
        rooms=replace(WORLDS["rooms"], fov_deg=55.0),
        views=views,
        held_out={**views, "grounding": {"max_per_scene": 2}},
        watch_every=6,
    )


def lens_sft(name: str, title: str, view: str = "detection", **changes: Any) -> Arm:
    """More SFT in :func:`lens_world`, for as many steps as :func:`lens_rft`."""
    stage = sft({view: 1}, **{"steps": LENS_STEPS, "scenes_per_step": 14, "seed": 1000, **changes})
    return Arm(name, f"SFT → {title}", stage, judge=(view,))


def lens_rft(name: str, title: str, rewards: Mapping[str, str], **changes: Any) -> Arm:
    """RFT in :func:`lens_world` on what is paid: one advantage an answer, in units of the task's spread."""
    asked = {view: LENS_PROMPTS[view] for view in rewards}
    stage = rft(asked, **{"steps": LENS_STEPS, "optim": LENS_RATE, "scale": "task", **changes})
    options = {view: {"reward": reward} for view, reward in rewards.items()}
    return Arm(name, f"SFT → RFT, {title}", stage, options=options, judge=tuple(asked))


def lens_arms() -> dict[str, Arm]:
    """The arms of :func:`lens_world` that more than one experiment has."""
    arms = (
        start_arm(judge=("detection", "grounding")),
        lens_sft("more_sft", "more SFT"),
        lens_rft("both", "format + IoU + F1 (the paper's)", {"detection": "paper"}, **WHOLE),
        lens_rft("ours", "matched IoU + F1", {"detection": "matched"}),
    )
    ground = lens_rft("ground", "grounding", {"grounding": "metric_diou"})
    return {arm.name: arm for arm in (*(replace(arm, elsewhere=("rooms",)) for arm in arms), ground)}


def eight_rooms_world() -> World:
    """As :func:`lens_world`, with eight labelled rooms: the demo's."""
    views = {"detection": {}}
    return replace(lens_world(), name="eight", train_rooms=8, watched_rooms=0, views=views, held_out=views)


def eight_rooms_arms() -> tuple[Arm, Arm, Arm]:
    """The start, more SFT and RFT in :func:`eight_rooms_world`, of as many minutes.

    More SFT at the better of two rates: at four times the rate it falls within 60 steps (``docs/log.md``).
    """
    low = replace(SFT_RATE, lr=3e-4, muon_lr=3e-3)
    return (
        start_arm(judge=("detection",)),
        lens_sft("more_sft", "more SFT", steps=160, scenes_per_step=8, optim=low),
        lens_rft("rft", "each box paid", {"detection": "matched"}, steps=32, credit="marginal"),
    )


def sft(per_scene: Mapping[str, int], **changes: Any) -> SFTConfig:
    """One more stage of SFT, at a quarter of the peak rate."""
    weights = {"detection": 1.0, "grounding": 0.5, "spatial": 0.5}
    made = SFTConfig(
        steps=100,
        scenes_per_step=48,
        per_scene=per_scene,
        task_weights={view: weights[task_of(view)] for view in per_scene},
        optim=SFT_RATE,
        max_new_tokens=LIMITS,
    )
    return replace(made, **changes)


def rft(prompts: Mapping[str, int], **changes: Any) -> RFTConfig:
    """GRPO close to the greedy policy: as published, but for the temperature and the rate."""
    made = RFTConfig(
        steps=100,
        prompts_per_step=prompts,
        group_size=8,
        temperature=0.5,
        max_new_tokens=LIMITS,
        optim=RFT_RATE,
    )
    return replace(made, **changes)


PEAK_RATE = OptimConfig(name="muon", lr=5e-3, muon_lr=0.05)
"""Of SFT that has everything to learn."""
SFT_RATE = replace(PEAK_RATE, lr=1.25e-3, muon_lr=0.0125)
LOW_RATE = replace(PEAK_RATE, lr=1.25e-4, muon_lr=1.25e-3)
"""Of more SFT in rooms that it has seen the like of: at a quarter of the peak rate it forgets within a step."""
RFT_RATE = OptimConfig(name="adamw", lr=2e-4, weight_decay=0.0, schedule="linear", final=0.1, warmup=0.05)
LENS_STEPS, LENS_PROMPTS, LENS_RATE = 12, {"detection": 6, "grounding": 12}, replace(RFT_RATE, lr=5e-4)
"""Of :func:`lens_rft`: a new lens asks for more than the usual rate."""
CREDIT: dict[str, Any] = {"scale": "task", "credit": "marginal"}
"""How our arm pays: each box on its own tokens, advantages in units of the task's spread."""
WHOLE: dict[str, Any] = {"scale": "group", "credit": "none"}
"""One advantage an answer, as published."""


def start_arm(**changes: Any) -> Arm:
    return replace(Arm("sft", "SFT", None), **changes)
