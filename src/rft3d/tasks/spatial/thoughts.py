"""Thoughts for thought-augmented answers, worked out from boxes instead of by a larger model.

A thought notes what a person with a tape measure would: where the named objects are, the computation, the
conclusion. 3D-RFT's own thoughts (CoT-10K) came from a language model and are not public; the wording here is ours.

* :func:`think`: for our own questions. Positions are in the floor frame of the first camera (x right, y ahead,
  z up, metres).
* :func:`work_out`: for other people's questions (VLM-3R's, SpaceR's), of which there are only the words, the key,
  and the place's boxes. Positions are in the data set's own world: its metadata have no cameras. Refused where
  the boxes do not lead to the key, or cannot show the working.

Positions are printed to centimetres (or as coarsely as a small model can learn), while angles and distances come
from the exact boxes and the result is printed as in the answer: a thought never contradicts its answer.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from rft3d.geometry import box_distance, transform_points
from rft3d.geometry.rotations import Array
from rft3d.tasks.spatial import semantics
from rft3d.tasks.spatial.solve import LETTERS, Place, Solved, Unsolved, route_turns, solve
from rft3d.tasks.spatial.view import Query, Question, View

FRAME_NOTE = "From the first camera (x right, y ahead, z up, in metres):"
WORLD_NOTE = "From above (metres):"
NEAR_M = 0.05
"""Absolute distances: half of a key's last decimal. Keys that were measured between sampled points and differ
by more get no thought."""


def think(question: Question, view: View, decimals: int = 2) -> str:
    """The thought for ``question``; ends with the answer in words (and its letter when there are options).

    ``decimals``: of the metres in it.
    """
    first = {name: index for name in question.labels if (index := view.appearance(name)) is not None}
    corners = view.scene.floor_polygon
    if corners is not None:
        corners = transform_points(view.T_floor_world, np.c_[corners, np.zeros(len(corners))])[:, :2]
    writer = _Writer(
        question, Place(view.boxes, first_seen=first), f"{question.answer:g}" if not question.options else "",
        FRAME_NOTE, view.T_floor_world, decimals, corners,
    )  # fmt: skip
    thought = _WRITERS[question.type](writer)
    assert isinstance(thought, str), f"{question.type}: {thought}"
    letter = LETTERS[question.options.index(str(question.answer))] if question.options else ""
    return _concluded(thought, question.answer, letter)


def work_out(query: Query, place: Place, key: str | float) -> str | Unsolved:
    """The thought that leads from the boxes of ``place`` to ``key`` (a letter or a number), or why there is
    none.
    """
    if query.type == "obj_appearance_order":
        return Unsolved("an order of appearance needs cameras, and boxes alone have none")
    found = solve(query, place)
    if isinstance(found, Unsolved):
        return found
    if not _agree(query.type, found, key):
        return Unsolved("the boxes lead to another answer than the key")
    number = "" if isinstance(key, str) else f"{key:g}"
    thought = _WRITERS[query.type](_Writer(query, place, number, WORLD_NOTE, np.eye(4), 2))
    if isinstance(thought, Unsolved):
        return thought
    if query.options:
        return _concluded(thought, query.options[LETTERS.index(str(key))], str(key))
    return _concluded(thought, float(key))


def _concluded(thought: str, answer: str | float, letter: str = "") -> str:
    return f"{thought} So it is {answer}, option {letter}." if letter else f"{thought} So it is {answer:g}."


def _agree(kind: str, found: Solved, key: str | float) -> bool:
    if isinstance(found.answer, str) or isinstance(key, str):
        return str(found.answer) == str(key)
    return abs(found.answer - key) <= (NEAR_M if kind == "object_abs_distance" else 1e-9) + 1e-9


@dataclass(frozen=True)
class _Writer:
    """What a thought is written from.

    Attributes:
        number: the answer, where it is one.
        note: says in which frame positions are; ``T`` ``(4, 4)`` takes them there.
        decimals: of the metres.
        corners: ``(V, 2)`` of the floor in that frame, where known.
    """

    query: Query
    place: Place
    number: str
    note: str
    T: Array
    decimals: int
    corners: Array | None = None

    def metres(self, values: Iterable[float]) -> str:
        """``1.61, -0.14``; never a negative nought."""
        rounded = (round(round(float(value), 2), self.decimals) + 0.0 for value in values)
        return ", ".join(f"{value:.{self.decimals}f}" for value in rounded)

    def at(self, box: Array, axes: int = 2) -> str:
        return f"({self.metres(transform_points(self.T, box[None, :3])[0][:axes])})"

    def size(self, box: Array) -> str:
        return " x ".join(f"{edge:.{self.decimals}f}" for edge in box[3:6])

    def degrees(self, radians: float) -> int:
        """Whole degrees; to 5 where metres have one decimal."""
        step = 5 if self.decimals < 2 else 1
        return step * round(math.degrees(radians) / step)

    def turned(self, turn: float) -> str:
        """``42 degrees to the left``."""
        return f"{self.degrees(abs(turn))} degrees to the {'left' if turn > 0 else 'right'}"

    def bearing(self, origin: Array, target: Array) -> int:
        """Degrees from straight ahead (y) to ``target`` as seen from ``origin``; positive to the left."""
        x, y = (self.T[:3, :3] @ (target[:3] - origin[:3]))[:2]
        return self.degrees(math.atan2(-x, y))

    def named(self, labels: Iterable[str]) -> str:
        return ", ".join(f"{label} {self.at(self.place.boxes[label][0])}" for label in labels)


def _counting(w: _Writer) -> str | Unsolved:
    (label,) = w.query.labels
    rows = w.place.boxes.get(label, np.zeros((0, 9)))
    if len(rows) != w.place.counts.get(label, len(rows)):
        return Unsolved("the file counts more instances than it has boxes")
    return f"{w.note} {label} at {'; '.join(map(w.at, rows))}."


def _abs_distance(w: _Writer) -> str:
    ones, others = (w.place.boxes[label] for label in w.query.labels)
    pair = min(((a, b) for a in ones for b in others), key=lambda each: box_distance(*each))
    notes = (
        f"{label} centre {w.at(box, 3)}, size {w.size(box)}"
        for label, box in zip(w.query.labels, pair, strict=True)
    )
    centres = float(np.linalg.norm(pair[0][:3] - pair[1][:3]))
    return (
        f"{w.note} {'; '.join(notes)}. The centres are {centres:.{w.decimals}f} apart; between the closest points "
        f"of the two boxes {w.number} remain."
    )


def _object_size(w: _Writer) -> str:
    (label,) = w.query.labels
    box = w.place.boxes[label][0]
    longest = semantics.longest_edge_cm(box)
    return (
        f"The {label} measures {w.size(box)} metres. "
        f"Its longest edge is {longest / 100:.{w.decimals}f} metres, {longest} centimeters."
    )


def _room_size(w: _Writer) -> str | Unsolved:
    if w.corners is None:
        return _floor_box(w.place)
    note = f"{w.note} the floor's corners are {'; '.join(f'({w.metres(corner)})' for corner in w.corners)}."
    edges = np.linalg.norm(np.roll(w.corners, -1, axis=0) - w.corners, axis=1)
    if len(w.corners) == 4 and abs(edges[0] * edges[1] - semantics.polygon_area_m2(w.corners)) < 1e-6:
        sides = f"{edges[0]:.{w.decimals}f} and {edges[1]:.{w.decimals}f}"
        return f"{note} Its sides are {sides}, their product is {w.number}."
    return f"{note} The polygon's area is {w.number}."


def _floor_box(place: Place) -> str | Unsolved:
    floors = place.boxes.get("floor")
    if floors is None:
        return Unsolved("a floor area without the floor's outline has no working")
    sides = [sorted(box[3:6].tolist())[1:] for box in floors]
    if place.floor_area_m2 is not None and abs(sum(a * b for a, b in sides) - place.floor_area_m2) > 0.05:
        return Unsolved("the floor's box does not have the floor's area")
    return "The floor's sides are " + "; ".join(f"{a:.2f} and {b:.2f} metres" for a, b in sides) + "."


def _rel_distance(w: _Writer) -> str | Unsolved:
    primary, *named = w.query.labels
    boxes = w.place.boxes
    candidates = named or [option.lower() for option in w.query.options]
    missing = [label for label in candidates if label not in boxes]
    if missing:
        return Unsolved(f"no {' and no '.join(missing)}", tuple(missing))
    nearest_of = {
        label: min(boxes[label], key=lambda box: semantics.closest_distance_m(box[None], boxes[primary]))
        for label in candidates
    }
    one = boxes[primary]
    apart = {label: semantics.closest_distance_m(box[None], one) for label, box in nearest_of.items()}
    notes = (f"{label} {w.at(nearest_of[label])} {apart[label]:.{w.decimals}f}" for label in apart)
    nearest = min(apart, key=lambda label: apart[label])
    return (
        f"{w.note} {primary} {w.at(boxes[primary][0])}. Metres from it, closest points: {'; '.join(notes)}. "
        f"The {nearest} has the smallest."
    )


def _rel_direction(w: _Writer) -> str:
    one, two, three = w.query.labels
    a, b, c = (w.place.boxes[label][0] for label in w.query.labels)
    ahead = 2 * a - b if w.query.away else b
    facing = f"{'away from ' if w.query.away else ''}the {two}"
    return (
        f"{w.note} {w.named(w.query.labels)}. Bearings from the {one} (0 ahead, left counts up): "
        f"{facing} {w.bearing(a, ahead)}, the {three} {w.bearing(a, c)}. Facing {facing}, "
        f"I turn {w.turned(semantics.turn_rad(a, ahead, c))} to face the {three}."
    )


def _route(w: _Writer) -> str:
    """The same walk as :func:`.solve.solve` takes, said aloud."""
    names = dict.fromkeys((*w.query.labels[:2], *(step for step in w.query.steps if step is not None)))
    turns = route_turns(w.query, w.place)
    notes = [f"At the {here}, the {goal} is {w.turned(turn)}." for _, here, goal, turn in turns]
    return " ".join([f"{w.note} {w.named(names)}.", *notes])


def _appearance_order(w: _Writer) -> str:
    seen = w.place.first_seen or {}
    return f"First seen: {', '.join(f'{label} in frame {seen[label] + 1}' for label in w.query.labels)}."


_WRITERS: dict[str, Callable[[_Writer], str | Unsolved]] = {
    "object_counting": _counting,
    "object_abs_distance": _abs_distance,
    "object_size_estimation": _object_size,
    "room_size_estimation": _room_size,
    "object_rel_distance": _rel_distance,
    **{f"object_rel_direction_{level}": _rel_direction for level in semantics.DIRECTIONS},
    "route_planning": _route,
    "obj_appearance_order": _appearance_order,
}
