"""What an experiment consists of: a world, arms trained in it, and claims about pairs of arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rft3d.models import TinyConfig
from rft3d.pretraining.encoders import EncoderConfig
from rft3d.scenes import RoomConfig
from rft3d.training.config import RFTConfig, SFTConfig

Options = Mapping[str, Mapping[str, Any]]
"""Options by *view*: a task's name (``spatial``), or one with a suffix (``spatial-think``): the same task with
other options, and samples of its own."""

STANDARD = "eval"
"""The held-out set that every arm is judged on; others lie in ``ood/<name>``."""


@dataclass(frozen=True)
class World:
    """Rooms, encoders and questions that arms share; made once for each seed.

    Attributes:
        name: its folder's name.
        train_rooms, held_out_rooms: how many; held-out ones are the same for every seed.
        rooms: what they look like.
        tiny, encoder: the policy's sizes, and how its encoders are pre-trained.
        views: options of the training samples.
        held_out: options of the held-out samples.
        max_new_tokens: longest answer of a view when it is judged.
        elsewhere: other held-out rooms by name (out of distribution, or fresh ones), as many as
            ``held_out_rooms``.
        resamples: of the bootstrap in each arm's ``scores.json``.
    """

    name: str
    train_rooms: int
    held_out_rooms: int
    rooms: RoomConfig
    tiny: TinyConfig
    encoder: EncoderConfig
    views: Options
    held_out: Options
    max_new_tokens: Mapping[str, int]
    elsewhere: Mapping[str, RoomConfig] = field(default_factory=dict)
    resamples: int = 300


@dataclass(frozen=True)
class Arm:
    """One training stage from one checkpoint.

    Attributes:
        name: unique in its world; ``models/<name>`` holds the result.
        title: for the table.
        stage: what is done. Its ``seed`` is added to the run's; its ``steps`` are replaced when there is a
            budget.
        base: the arm to start from; None: the encoders with an untrained language model.
        geometry: with the frozen geometry prior. Only where ``base`` is None; others inherit it.
        budget: optimizer tokens, in multiples of the experiment's; 0: ``stage.steps`` as they stand.
        options: options of a view that differ while this arm trains (rewards).
        rooms: only the first so many training rooms; 0: all.
        most_objects: only training rooms with at most so many objects; 0: all.
        looks: False: trains on every room's questions with the pictures of another room, so that it learns what
            can be known without looking.
        judge: views that it is judged on.
        elsewhere: other held-out sets of the world that it is judged on too.
    """

    name: str
    title: str
    stage: SFTConfig | RFTConfig
    base: str | None = None
    geometry: bool = True
    budget: float = 1.0
    options: Options = field(default_factory=dict)
    rooms: int = 0
    most_objects: int = 0
    looks: bool = True
    judge: tuple[str, ...] = ("detection", "grounding", "spatial")
    elsewhere: tuple[str, ...] = ()

    def views(self) -> list[str]:
        """The views that it trains on."""
        counts = self.stage.per_scene if isinstance(self.stage, SFTConfig) else self.stage.prompts_per_step
        return [view for view, count in counts.items() if count]


@dataclass(frozen=True)
class Claim:
    """``arm`` is better than ``against``, said before either was run (but see ``late``).

    Attributes:
        text: the claim in words.
        arm, against: names of arms.
        metrics: ``(view, metric)`` pairs; each gets a row and a verdict of its own.
        kind: ``above``: the difference is positive. ``not below``: it is no lower than ``-margin``.
        margin: in points (of a metric in percent, or boxes); what counts as a difference worth having.
        where: held-out set.
        against_view: view that ``against`` is judged on where it is not the same: another way of asking the
            same of the same rooms.
        late: asked when numbers of these arms had been seen already; the page says so.
    """

    text: str
    arm: str
    against: str
    metrics: tuple[tuple[str, str], ...]
    kind: Literal["above", "not below"] = "above"
    margin: float = 1.0
    where: str = STANDARD
    against_view: str = ""
    late: bool = False


@dataclass(frozen=True)
class Sweep:
    """Metrics against one quantity: a figure of the page.

    Attributes:
        name: of its file.
        axis: what the quantity is, with its unit.
        lines: title to ``(value, "experiment/arm")`` points; values stand at equal distances, smallest first.
        metrics: ``(view, metric)`` pairs, a panel each.
    """

    name: str
    axis: str
    lines: Mapping[str, tuple[tuple[float, str], ...]]
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
        budget: optimizer tokens of an arm with ``budget=1``.
        seeds: of rooms, weights and sampling.
        columns: ``(view, metric, heading)`` of the table.
        dynamics: arms whose reward, entropy and length are drawn over the steps.
        sweeps: figures of metrics against a quantity.
        reading: what we make of our numbers, written after they were there: paragraphs of Markdown.
        rank: place in the runner's queue and on the page: smallest first, by name where it is the same; who says
            nothing comes last.
    """

    name: str
    question: str
    world: World
    arms: tuple[Arm, ...]
    claims: tuple[Claim, ...] = ()
    budget: int = 0
    seeds: tuple[int, ...] = (0, 1, 2)
    columns: tuple[tuple[str, str, str], ...] = ()
    dynamics: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    reading: str = ""
    rank: int = 100

    def arm(self, name: str) -> Arm:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ValueError(
            f"experiment {self.name!r} has no arm {name!r}; it has {[a.name for a in self.arms]}"
        )

    def chain(self, name: str) -> list[Arm]:
        """The arm and what it starts from, first one first."""
        arm = self.arm(name)
        return [*([] if arm.base is None else self.chain(arm.base)), arm]


def folder_of(out: Path, world: World, seed: int) -> Path:
    """The run folder of a world's seed; shaped like the demo's, so ``rft3d report`` reads it."""
    return out / world.name / f"seed{seed}"


def held_out_folder(root: Path, where: str) -> Path:
    """The folder of a held-out set in a run folder."""
    return root / STANDARD if where == STANDARD else root / "ood" / where


def task_of(view: str) -> str:
    """``spatial-think`` -> ``spatial``."""
    return view.partition("-")[0]


def seeds_of(experiments: Sequence[Experiment], wanted: Sequence[int] | None) -> list[int]:
    """Every seed that is asked for, smallest first."""
    return sorted({seed for e in experiments for seed in e.seeds if wanted is None or seed in wanted})
