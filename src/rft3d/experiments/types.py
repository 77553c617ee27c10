"""What an experiment consists of: a world, arms trained in it, and claims about pairs of arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rft3d.scenes import RoomConfig
from rft3d.training.config import RFTConfig, SFTConfig

if TYPE_CHECKING:  # they need torch, which listing experiments does not
    from rft3d.models import TinyConfig
    from rft3d.pretraining.encoders import EncoderConfig

Options = Mapping[str, Mapping[str, Any]]
"""Options by *view*: a task's name (``spatial``), or one with a suffix (``spatial-think``): the same task with
other options, and samples of its own."""

FIRST = "start"
"""``models/start`` of a run is its world's first policy."""
STANDARD = "eval"
"""The held-out set that every arm is judged on; others lie in ``ood/<name>``."""


@dataclass(frozen=True)
class Scratch:
    """A policy made from nothing: a tokenizer, encoders trained on the rooms, an untrained language model."""

    tiny: TinyConfig
    encoder: EncoderConfig


@dataclass(frozen=True)
class Elsewhere:
    """Other held-out rooms, and the views that are asked there (spatial questions take long in dense rooms)."""

    rooms: RoomConfig
    views: tuple[str, ...] = ("detection", "grounding", "spatial")


@dataclass(frozen=True)
class World:
    """Rooms, questions and first policy that arms share; made once for each seed.

    Attributes:
        name: its folder's name.
        start: where arms without a base start: what ``load_policy`` takes, or :class:`Scratch`. Its encoders
            stay frozen, so every room is encoded once for all arms.
        rooms: what they look like.
        train_rooms, held_out_rooms: how many; held-out ones are the same for every seed.
        views: options of the training samples, on top of those that the policy was trained with.
        held_out: the same for held-out samples.
        max_new_tokens: longest answer of a view when it is judged.
        elsewhere: other held-out rooms by name, as many as ``held_out_rooms``.
        watched_rooms: other rooms that are answered while an arm trains, for curves; 0: none.
        watch_every: steps between those, more in long arms (``lab.WATCHED_TIMES``).
        resamples: of the bootstrap in each arm's ``scores.json``.
        headroom: of each task so many held-out questions are used to measure, before any arm, what RL could gain
            (``headroom.json``); 0: not asked.
    """

    name: str
    start: str | Scratch
    rooms: RoomConfig
    train_rooms: int
    held_out_rooms: int
    views: Options
    held_out: Options
    max_new_tokens: Mapping[str, int]
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    watched_rooms: int = 0
    watch_every: int = 50
    resamples: int = 300
    headroom: int = 0


@dataclass(frozen=True)
class Arm:
    """One training stage from one policy.

    Attributes:
        name: unique in its world and not ``start``; ``models/<name>`` holds the result.
        title: for tables and the report.
        stage: what is done; its ``seed`` is added to the run's. None: nothing.
        base: the arm to start from; None: the world's start.
        back: share of the way from the base's weights back to the world's start; 0.5: half way (WiSE-FT).
        geometry: False: without the geometry branch (the paper's ablation). Only where ``base`` is None;
            others inherit it.
        options: options of a view that differ while this arm trains (rewards).
        judge: views that it is judged on.
        elsewhere: other held-out sets of the world that it is judged on too.
    """

    name: str
    title: str
    stage: SFTConfig | RFTConfig | None
    base: str | None = None
    back: float = 0.0
    geometry: bool = True
    options: Options = field(default_factory=dict)
    judge: tuple[str, ...] = ("detection", "grounding", "spatial")
    elsewhere: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name == FIRST:
            raise ValueError(f"an arm cannot be called {FIRST!r}: models/{FIRST} is the world's first policy")
        if self.back and (self.stage or not self.base):
            raise ValueError(f"arm {self.name!r} goes back, so it needs a base and no stage of its own")

    def views(self) -> list[str]:
        """The views that it trains on."""
        return [] if self.stage is None else list(self.stage.asked)


@dataclass(frozen=True)
class Claim:
    """``arm`` is better than ``against``, written down before either was run.

    Attributes:
        text: the claim in words.
        arm, against: names of arms.
        metrics: ``(view, metric)`` pairs; each gets a row and a verdict of its own.
    """

    text: str
    arm: str
    against: str
    metrics: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Experiment:
    """Arms and claims about one question.

    Attributes:
        name: the name of its file.
        question: asked before running.
        world: see :class:`World`.
        arms: in the order in which they are trained; a base stands before what starts from it.
        claims: what is decided.
        seeds: of rooms, weights and sampling.
        columns: ``(view, metric, heading)`` of the table; ``dense@detection`` is a view in the rooms ``dense``.
        baseline: the arm that the report compares the others with.
        rank: place on the page and in the queue, smallest first.
    """

    name: str
    question: str
    world: World
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    columns: tuple[tuple[str, str, str], ...] = ()
    baseline: str = ""
    rank: int = 100

    def arm(self, name: str) -> Arm:
        by_name = {arm.name: arm for arm in self.arms}
        if name not in by_name:
            raise ValueError(f"experiment {self.name!r} has no arm {name!r}; it has {list(by_name)}")
        return by_name[name]

    def chain(self, name: str) -> list[Arm]:
        """The arm and what it starts from, first one first."""
        arm = self.arm(name)
        return [*([] if arm.base is None else self.chain(arm.base)), arm]


def folder_of(out: Path, world: World, seed: int) -> Path:
    """The run folder of a world's seed."""
    return out / world.name / f"seed{seed}"


def rooms_and_view(view: str) -> tuple[str, str]:
    """The held-out set and the view of ``rooms@view``, or of a view in the standard rooms."""
    where, _, own = view.rpartition("@")
    return where or STANDARD, own


def held_out_folder(root: Path, where: str) -> Path:
    """The folder of a held-out set in a run folder."""
    return root / STANDARD if where == STANDARD else root / "ood" / where


def derived_options(views: Options) -> dict[str, Mapping[str, Any]]:
    """``views``, and ``spatial-corrupt`` (:func:`.rooms.corrupted`) where there is ``spatial-think``."""
    think = views.get("spatial-think")
    return dict(views) if think is None else {**views, "spatial-corrupt": think}
