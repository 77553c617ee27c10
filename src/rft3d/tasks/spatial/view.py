"""What questions may use of a scene (:class:`View`), when one is unambiguous (:class:`Limits`), and what one asks,
worked out or read from its text (:class:`Question`, :class:`Query`)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import TypeVar

import numpy as np

from rft3d.scenes.types import Scene, SceneObject
from rft3d.settings import Checked, Count
from rft3d.tasks.spatial.semantics import Array, first_frame, floor_frame

T = TypeVar("T")


@dataclass(frozen=True)
class Limits(Checked):
    """What makes a question unambiguous. Values: ours unless a source is named.

    Attributes:
        min_visible: an object counts as seen in a frame that shows at least this share of it.
        glimpse: below this share an object counts as unseen; between the two a first appearance is ambiguous.
        min_count: smallest instance count that is asked for (VSI-Bench asks from 2).
        option_gap_m: any two options of a relative distance differ by this (VSI-Bench: 0.15).
        angle_margin_deg: a direction keeps this distance from every boundary between two answers.
        turns: most turns of a route; with 1 a route first walks straight ahead.
    """

    min_visible: float = 0.1
    glimpse: float = 0.02
    min_count: int = 2
    option_gap_m: float = 0.15
    angle_margin_deg: float = 10.0
    turns: Count = 1


@dataclass(frozen=True)
class Query:
    """What a question asks.

    Attributes:
        type: VSI-Bench's question type.
        labels: the labels it names, in the order of their roles (standing by, facing, asked for; the primary
            object first for a relative distance); lower case where they were read from a text.
        options: texts of the options without letters, as shown; empty for numbers.
        steps: routes: labels to walk to, and None for each turn to fill in.
        away: directions and routes: the second label is behind, not ahead ("with your back to the fridge").
    """

    type: str
    labels: tuple[str, ...]
    options: tuple[str, ...] = ()
    steps: tuple[str | None, ...] = ()
    away: bool = False


@dataclass(frozen=True)
class Question(Query):
    """One question with its answer, before it becomes a prompt.

    Attributes:
        text: the question without preamble and options.
        answer: a number, or the text of the right option.
    """

    text: str = field(kw_only=True)
    answer: float | str = field(kw_only=True)


@dataclass(frozen=True)
class View:
    """What questions may use of a scene: objects by label, first sights, floor positions."""

    scene: Scene
    limits: Limits

    @cached_property
    def by_label(self) -> dict[str, tuple[SceneObject, ...]]:
        """All objects of the scene by label, seen or not, labels sorted."""
        groups: dict[str, list[SceneObject]] = {}
        for thing in self.scene.objects:
            groups.setdefault(thing.label, []).append(thing)
        return {label: tuple(groups[label]) for label in sorted(groups)}

    @cached_property
    def named(self) -> tuple[str, ...]:
        """Labels whose every instance is seen in some frame: only these are named in a question."""
        return tuple(label for label, things in self.by_label.items() if all(map(self.is_seen, things)))

    @cached_property
    def unique(self) -> tuple[str, ...]:
        """Labels of exactly one object, which is seen."""
        return tuple(label for label in self.named if len(self.by_label[label]) == self.count(label) == 1)

    def count(self, label: str) -> int:
        """Instances: as the source counts them, else its boxes."""
        return self.scene.counts.get(label, len(self.by_label[label]))

    @cached_property
    def boxes(self) -> dict[str, Array]:
        """``(N, 9)`` world boxes by label."""
        return {label: np.stack([thing.box for thing in things]) for label, things in self.by_label.items()}

    def one(self, label: str) -> Array:
        """The ``(9,)`` world box of the only object with this label."""
        (box,) = self.boxes[label]
        return box

    def is_seen(self, thing: SceneObject) -> bool:
        """Whether some frame shows it; without frames everything counts as seen."""
        frames = self.scene.frames
        return not frames or first_frame(frames, [thing.id], self.limits.min_visible) is not None

    def appearance(self, label: str) -> int | None:
        """Index of the frame that first shows the label; None when never, or when a glimpse came earlier."""
        ids = [thing.id for thing in self.by_label[label]]
        clear = first_frame(self.scene.frames, ids, self.limits.min_visible)
        return clear if clear == first_frame(self.scene.frames, ids, self.limits.glimpse) else None

    @cached_property
    def T_floor_world(self) -> Array:
        return floor_frame(self.scene.frames[0].T_world_camera) if self.scene.frames else np.eye(4)

    def apart_m(self, one: str, other: str) -> float:
        """Distance of two unique objects' centres in the floor plane."""
        a, b = self.one(one), self.one(other)
        return float(np.hypot(*(a[:2] - b[:2])))


def shuffled(items: Iterable[T], rng: Random) -> list[T]:
    """A new list in random order."""
    items = list(items)
    rng.shuffle(items)
    return items


def ordered_triples(labels: Sequence[str], rng: Random) -> Iterator[tuple[str, str, str]]:
    """All ordered triples of distinct labels, in random order."""
    triples = [(a, b, c) for a in labels for b in labels for c in labels if len({a, b, c}) == 3]
    yield from shuffled(triples, rng)


_PATTERNS = {
    "object_counting": r"how many (?P<a>.+?)\(s\) are in th(?:is|e) room",
    "object_abs_distance": r"distance between the (?P<a>.+?) and the (?P<b>.+?) \(in meters\)",
    "object_size_estimation": (
        r"longest dimension \(length, width, or height\) of the (?P<a>.+?),? measured in"
    ),
    "room_size_estimation": r"what is the size of this room",
    "object_rel_distance": r"which of these objects \((?P<options>.+?)\) is the closest to the (?P<a>.+?)\?",
    "object_rel_direction": (
        r"standing by the (?P<a>.+?) and facing (?P<away>in the opposite direction of )?the (?P<b>.+?), "
        r"is the (?P<c>.+?) to (?:my|the) "
    ),
    "route_planning": (
        r"beginning (?:at|by) the (?P<a>.+?),?(?: and)? (?:facing|(?P<away>with your back (?:to|toward|towards)))"
        r"(?: the)? (?P<b>.+?)\. "
        r".*?'turn right\.'\):? *(?P<steps>.+)"
    ),
    "obj_appearance_order": r"following categories in the video: (?P<options>.+?)\?",
}
_COMPILED = {kind: re.compile(pattern, re.IGNORECASE | re.DOTALL) for kind, pattern in _PATTERNS.items()}
_LETTER = re.compile(r"^[A-H]\.\s*")
_STEP = re.compile(
    r"\d+\.\s*(?:\[(?P<turn>please fill in)\]|Go forward until the (?P<to>.+?))(?=\s*\d+\.|\.|$)",
    re.IGNORECASE,
)
_SIDE = re.compile(r" is on your (?:left|right)$")


def read_question(question_type: str, text: str, options: Sequence[str] = ()) -> Query:
    """What ``text`` asks.

    Understands the wording of the released questions, of the paper's table 4, of VLM-3R's and SpaceR's training
    data and of :mod:`.questions`: they differ in a word here and there ("direct distance", "and facing").

    Args:
        question_type: one of ``QUESTION_TYPES``.
        text: the question, with or without the words around it that a prompt adds.
        options: as shown, with or without letters.

    Raises:
        ValueError: the wording is not the type's.
    """
    family = "object_rel_direction" if question_type.startswith("object_rel_direction") else question_type
    if family not in _COMPILED:
        raise ValueError(f"question type {question_type!r} is unknown")
    match = _COMPILED[family].search(" ".join(text.split()))
    if match is None:
        raise ValueError(f"not the wording of a {question_type} question: {text[:120]!r}")
    groups = match.groupdict()
    named = [groups[key] for key in "abc" if groups.get(key)]
    named += (groups.get("options") or "").split(",") if groups.get("options") else []
    shown = tuple(_LETTER.sub("", option.strip()) for option in options)
    walked = _STEP.finditer(groups.get("steps") or "")
    steps = (None if step["turn"] else _SIDE.sub("", step["to"].strip()).strip().lower() for step in walked)
    labels = tuple(label.strip().lower() for label in named)
    return Query(question_type, labels, shown, tuple(steps), bool(groups.get("away")))
