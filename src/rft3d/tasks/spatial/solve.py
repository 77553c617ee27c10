"""From labelled boxes to spatial answers: :func:`solve`, by the meanings of :mod:`.semantics`.

    world = world_of(scene)                     # or Place(...) of predicted boxes
    solve(read_question(kind, text, options), world)      # Solved("B", ...) or Unsolved("no chair",
    ("chair",))

Size, counting, distances and directions are functions of the boxes. Room size needs a floor area (a box
labelled ``floor`` stands in). An order of appearance needs to know when a label was first seen: recorded
visibility, or cameras and boxes (:func:`seen_by_projection`, which knows nothing of occlusion). A route's
turns are worked out from the places of the things it walks past, as if nothing stood in between; VSI-Bench's own
were drawn by hand, and boxes do not decide them (of 192 that could be read, 9 get an answer and 5 the key's).

Where a predicted world holds a label more than once and a question is about *the* chair, the first is taken:
a model names first what it is sure of. A candidate of a relative distance that is missing is
ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np

from rft3d.answers import render_number
from rft3d.geometry import boxes_valid, invert_pose, project, transform_points
from rft3d.geometry.rotations import Array
from rft3d.scenes.types import Frame, Scene
from rft3d.tasks.spatial import semantics
from rft3d.tasks.spatial.view import Query

FLOOR = "floor"
LETTERS = "ABCDEFGH"


@dataclass(frozen=True, eq=False)
class Place:
    """What is known of a place: boxes by label in a world with z up, and what boxes don't tell.

    Attributes:
        boxes: label (lower case) -> ``(N, 9)``.
        floor_area_m2: None when unknown.
        first_seen: label -> index of the first frame that shows it; None when unknown.
        counts: instances by label, where more is known than the boxes show.
    """

    boxes: Mapping[str, Array]
    floor_area_m2: float | None = None
    first_seen: Mapping[str, int] | None = None
    counts: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Solved:
    """An answer: a number, or an option letter. ``guessed``: labels that were missing and played no part."""

    answer: float | str
    guessed: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As a model would write it."""
        return self.answer if isinstance(self.answer, str) else render_number(self.answer)


@dataclass(frozen=True)
class Unsolved:
    """Why the boxes give no answer, and which labels are missing (none: something else is)."""

    reason: str
    missing: tuple[str, ...] = ()


def place_of(labels: Sequence[str], boxes: Array, **known: object) -> Place:
    """A :class:`Place` of boxes ``(N, 9)`` in a world with z up; invalid boxes are left out."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 9)
    groups: dict[str, list[Array]] = {}
    for label, box, valid in zip(labels, boxes, boxes_valid(boxes), strict=True):
        if valid:
            groups.setdefault(label.strip().lower(), []).append(box)
    return Place({label: np.stack(rows) for label, rows in groups.items()}, **known)  # type: ignore[arg-type]


def world_of(scene: Scene) -> Place:
    """A :class:`Place` of all objects of an annotated scene, with its floor and what its frames show."""
    things = scene.objects
    ids: dict[str, list[int]] = {}
    for thing in things:
        ids.setdefault(thing.label.strip().lower(), []).append(thing.id)
    seen = {label: semantics.first_frame(scene.frames, group, 0.1) for label, group in ids.items()}
    known = {label: index for label, index in seen.items() if index is not None}
    return place_of(
        [thing.label for thing in things],
        np.stack([thing.box for thing in things]) if things else np.zeros((0, 9)),
        floor_area_m2=semantics.floor_area_m2(scene),
        first_seen=known if any(frame.visible for frame in scene.frames) else None,
        counts={label.lower(): count for label, count in scene.counts.items()},
    )


def seen_by_projection(boxes: Mapping[str, Array], frames: Sequence[Frame]) -> dict[str, int]:
    """Label -> first frame whose picture holds the centre of one of its boxes; occlusion is not known."""
    found: dict[str, int] = {}
    for index, frame in enumerate(frames):
        T_camera_world = invert_pose(frame.T_world_camera)
        for label, rows in boxes.items():
            if label in found:
                continue
            points = transform_points(T_camera_world, rows[:, :3])
            ahead = points[points[:, 2] > 0.05]
            if not len(ahead):
                continue
            pixels, _ = project(ahead, frame.intrinsics)
            inside = (pixels >= 0) & (pixels < np.array([frame.width, frame.height]))
            if bool(inside.all(axis=1).any()):
                found[label] = index
    return found


def solve(query: Query, place: Place) -> Solved | Unsolved:
    """The answer that ``place`` implies."""
    named = (*query.labels, *(step for step in query.steps if step is not None))
    if query.type in _NEED_ALL and (missing := _missing(named, place)):
        return Unsolved(f"no {' and no '.join(missing)}", missing)
    return _SOLVERS[query.type](query, place)


def _missing(labels: Sequence[str], place: Place) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for label in labels if label not in place.boxes))


def _counting(query: Query, place: Place) -> Solved | Unsolved:
    (label,) = query.labels
    count = place.counts.get(label, len(place.boxes.get(label, ())))
    return Solved(float(count)) if count else Unsolved(f"no {label}", (label,))


def _distance(query: Query, place: Place) -> Solved | Unsolved:
    first, second = (place.boxes[label] for label in query.labels)
    return Solved(round(semantics.closest_distance_m(first, second), 1))


def _size(query: Query, place: Place) -> Solved | Unsolved:
    return Solved(float(semantics.longest_edge_cm(place.boxes[query.labels[0]][0])))


def _room(query: Query, place: Place) -> Solved | Unsolved:
    if place.floor_area_m2 is not None:
        return Solved(round(place.floor_area_m2, 1))
    if FLOOR not in place.boxes:
        return Unsolved("no floor area is known", (FLOOR,))
    sizes = np.sort(place.boxes[FLOOR][:, 3:6], axis=1)
    return Solved(round(float((sizes[:, 1] * sizes[:, 2]).sum()), 1))


def _rel_distance(query: Query, place: Place) -> Solved | Unsolved:
    primary, *named = query.labels
    candidates = [option.lower() for option in query.options] or named
    if primary not in place.boxes:
        return Unsolved(f"no {primary}", (primary,))
    found = [label for label in candidates if label in place.boxes]
    missing = _missing(candidates, place)
    if not found:
        return Unsolved("none of the candidates", missing)
    ours = place.boxes[primary]
    distances = {each: semantics.closest_distance_m(place.boxes[each], ours) for each in found}
    return _option(query, min(distances, key=lambda label: distances[label]), missing)


def _direction(level: str, query: Query, place: Place) -> Solved | Unsolved:
    a, b, c = (place.boxes[label][0] for label in query.labels)
    meaning, _, _ = semantics.DIRECTIONS[level]
    return _option(query, meaning(semantics.turn_rad(a, 2 * a - b if query.away else b, c)))


def _route(query: Query, place: Place) -> Solved | Unsolved:
    if None not in query.steps or not any(query.steps):
        return Unsolved("no steps could be read")
    try:
        angles = [turn for *_, turn in route_turns(query, place)]
    except ValueError as problem:
        return Unsolved(str(problem))
    # a turn of less than 45 degrees is none, but the question asks for one
    words = (semantics.turn_word(a) or f"Turn {semantics.direction_easy(a).capitalize()}" for a in angles)
    return _option(query, ", ".join(words))


def route_turns(query: Query, place: Place) -> list[tuple[str, str, str, float]]:
    """The turns of a route question; see :func:`.semantics.walk`."""
    start, faced = (place.boxes[label][0, :2] for label in query.labels[:2])
    facing = 2 * start - faced if query.away else faced
    return semantics.walk(query.labels[0], facing, query.steps, lambda label: place.boxes[label][0, :2])


def _order(query: Query, place: Place) -> Solved | Unsolved:
    if place.first_seen is None:
        return Unsolved("the scene does not say when things were first seen")
    unseen = tuple(label for label in query.labels if label not in place.first_seen)
    if len(unseen) > 1:
        return Unsolved(f"never seen: {', '.join(unseen)}", unseen)
    seen = place.first_seen
    best = max(query.options, key=lambda option: _in_order(option, seen), default=None)
    return Unsolved("no options") if best is None else _option(query, best, unseen)


def _in_order(option: str, seen: Mapping[str, int]) -> int:
    """How many neighbouring pairs of an option are in the order of first sights (an unseen label is last)."""
    frames = [seen.get(label.strip().lower(), 10**9) for label in option.split(",")]
    return sum(first < second for first, second in pairwise(frames))


def _option(query: Query, answer: str, guessed: tuple[str, ...] = ()) -> Solved | Unsolved:
    for letter, option in zip(LETTERS, query.options, strict=False):
        if option.strip().lower() == answer.strip().lower():
            return Solved(letter, guessed)
    return Unsolved(f"{answer!r} is none of the options")


_SOLVERS = {
    "object_counting": _counting,
    "object_abs_distance": _distance,
    "object_size_estimation": _size,
    "room_size_estimation": _room,
    "object_rel_distance": _rel_distance,
    **{f"object_rel_direction_{level}": partial(_direction, level) for level in semantics.DIRECTIONS},
    "route_planning": _route,
    "obj_appearance_order": _order,
}
_NEED_ALL = set(_SOLVERS) - {
    "object_counting",
    "room_size_estimation",
    "object_rel_distance",
    "obj_appearance_order",
}
