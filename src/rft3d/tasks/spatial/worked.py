"""A reasoning text for an existing question, computed from the scene's boxes: :func:`work_out`.

:mod:`.thoughts` does this for our own questions, which hold all that they were made from. Here there are only
the words of a question (VLM-3R's, SpaceR's), its key, and what is known of the place, such as VSI-Bench's or
VLM-3R's scene metadata. A thought is only written where the boxes lead to the key: a working that ends in
another answer would teach to contradict itself. Types that the place's data cannot show the working of are
refused with the reason; nothing is made up.

Positions are the data set's own world (metres, z up): metadata have no cameras.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rft3d.geometry import box_distance
from rft3d.tasks.spatial.read import Query
from rft3d.tasks.spatial.semantics import Array, longest_edge_cm, turn_rad
from rft3d.tasks.spatial.solve import LETTERS, Place, Solved, Unsolved, route_turns, solve

NOTE = "From above (metres):"
NEAR_M = 0.05
"""Absolute distances: half of a key's last decimal. Keys that were measured between sampled points and differ
by more get no thought."""


def work_out(query: Query, place: Place, key: str | float) -> str | Unsolved:
    """The thought that leads from the boxes of ``place`` to ``key`` (a letter or a number), or why there is
    none.
    """
    writer = _WRITERS.get(query.type)
    if writer is None:
        return Unsolved("an order of appearance needs cameras, and boxes alone have none")
    found = solve(query, place)
    if isinstance(found, Unsolved):
        return found
    if not _agree(query.type, found, key):
        return Unsolved("the boxes lead to another answer than the key")
    thought = writer(query, place)
    if isinstance(thought, Unsolved):
        return thought
    if query.options:
        option = query.options[LETTERS.index(str(key))]
        return f"{thought} So it is {option}, option {key}."
    return f"{thought} So it is {float(key):g}."


def _agree(kind: str, found: Solved, key: str | float) -> bool:
    if isinstance(found.answer, str) or isinstance(key, str):
        return str(found.answer) == str(key)
    return abs(found.answer - key) <= (NEAR_M if kind == "object_abs_distance" else 1e-9) + 1e-9


def _at(box: Array) -> str:
    return f"({box[0]:.2f}, {box[1]:.2f})"


def _size(box: Array) -> str:
    return " x ".join(f"{length:.2f}" for length in box[3:6])


def _counting(query: Query, place: Place) -> str | Unsolved:
    (label,) = query.labels
    rows = place.boxes.get(label, np.zeros((0, 9)))
    if len(rows) != place.counts.get(label, len(rows)):
        return Unsolved("the file counts more instances than it has boxes")
    return f"{NOTE} {label} at {'; '.join(map(_at, rows))}."


def _abs_distance(query: Query, place: Place) -> str | Unsolved:
    ones, others = (place.boxes[label] for label in query.labels)
    a, b = min(((a, b) for a in ones for b in others), key=lambda pair: box_distance(*pair))
    notes = (
        f"{label} centre ({box[0]:.2f}, {box[1]:.2f}, {box[2]:.2f}), size {_size(box)}"
        for label, box in zip(query.labels, (a, b), strict=True)
    )
    centres = float(np.linalg.norm(a[:3] - b[:3]))
    return (
        f"{NOTE} {'; '.join(notes)}. The centres are {centres:.2f} apart; between the closest points of the "
        f"two boxes {box_distance(a, b):.2f} remain."
    )


def _object_size(query: Query, place: Place) -> str | Unsolved:
    (label,) = query.labels
    box = place.boxes[label][0]
    longest = longest_edge_cm(box)
    return (
        f"The {label} measures {_size(box)} metres. Its longest edge is {longest / 100:.2f} metres, "
        f"{longest} centimeters."
    )


def _room_size(query: Query, place: Place) -> str | Unsolved:
    floors = place.boxes.get("floor")
    if floors is None:
        return Unsolved("a floor area without the floor's outline has no working")
    sides = [sorted(box[3:6].tolist())[1:] for box in floors]
    if place.floor_area_m2 is not None and abs(sum(a * b for a, b in sides) - place.floor_area_m2) > 0.05:
        return Unsolved("the floor's box does not have the floor's area")
    return "The floor's sides are " + "; ".join(f"{a:.2f} and {b:.2f} metres" for a, b in sides) + "."


def _rel_distance(query: Query, place: Place) -> str | Unsolved:
    primary, *named = query.labels
    candidates = [option.lower() for option in query.options] or named
    missing = [label for label in candidates if label not in place.boxes]
    if missing:
        return Unsolved(f"no {' and no '.join(missing)}", tuple(missing))
    apart = {
        label: min(box_distance(a, b) for a in place.boxes[label] for b in place.boxes[primary])
        for label in candidates
    }
    note = "; ".join(f"{label} {metres:.2f}" for label, metres in apart.items())
    nearest = min(apart, key=lambda label: apart[label])
    return f"Metres from the {primary}, closest points: {note}. The {nearest} has the smallest."


def turned(turn: float) -> str:
    """``42 degrees to the left``."""
    degrees = math.degrees(turn)
    return f"{abs(degrees):.0f} degrees to the {'left' if degrees > 0 else 'right'}"


def _rel_direction(query: Query, place: Place) -> str | Unsolved:
    a, b, c = (place.boxes[label][0] for label in query.labels)
    one, two, three = query.labels
    places = ", ".join(f"{name} {_at(box)}" for name, box in zip(query.labels, (a, b, c), strict=True))
    return (
        f"{NOTE} {places}. Standing by the {one} and facing the {two}, "
        f"I turn {turned(turn_rad(a, b, c))} to face the {three}."
    )


def _route(query: Query, place: Place) -> str | Unsolved:
    """The same walk as :func:`.solve.solve` takes, said aloud."""
    names = dict.fromkeys((*query.labels[:2], *(step for step in query.steps if step is not None)))
    notes = [f"{NOTE} {', '.join(f'{name} {_at(place.boxes[name][0])}' for name in names)}."]
    notes += [
        f"At the {here}, the {goal} is {turned(turn)}." for _, here, goal, turn in route_turns(query, place)
    ]
    return " ".join(notes)


_WRITERS: dict[str, Callable[[Query, Place], str | Unsolved]] = {
    "object_counting": _counting,
    "object_abs_distance": _abs_distance,
    "object_size_estimation": _object_size,
    "room_size_estimation": _room_size,
    "object_rel_distance": _rel_distance,
    "object_rel_direction_easy": _rel_direction,
    "object_rel_direction_medium": _rel_direction,
    "object_rel_direction_hard": _rel_direction,
    "route_planning": _route,
}
