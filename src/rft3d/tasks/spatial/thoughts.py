"""Thoughts for thought-augmented answers, worked out from the scene's geometry instead of by a larger model.

``think(question, view)`` writes what a person with a tape measure would note: where the named objects are
(floor frame of the first camera: x right, y ahead, z up, metres), the computation, the conclusion.
3D-RFT's own thoughts (CoT-10K) came from a language model and are not public;
the wording here is ours. Positions are printed to centimetres (or as coarsely as a small model can learn), while
angles and distances come from the exact boxes and the result is printed as in the answer: a thought never
contradicts its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from rft3d.geometry import transform_points
from rft3d.scenes.types import SceneObject
from rft3d.tasks.spatial.semantics import closest_distance_m, longest_edge_cm, polygon_area_m2, turn_rad, walk
from rft3d.tasks.spatial.view import Question, View
from rft3d.tasks.spatial.worked import turned

FRAME_NOTE = "From the first camera (x right, y ahead, z up, in metres):"


def think(question: Question, view: View, decimals: int = 2) -> str:
    """The thought for ``question``; ends with the answer in words (and its letter when there are options).

    ``decimals``: of the metres in it.
    """
    thought = _WRITERS[question.type](question, view, decimals)
    if question.options:
        letter = "ABCD"[question.options.index(str(question.answer))]
        return f"{thought} So it is {question.answer}, option {letter}."
    return f"{thought} So it is {_number(question)}."


def _number(question: Question) -> str:
    return f"{question.answer:g}"


def _at(view: View, thing: SceneObject, decimals: int) -> str:
    return _metres(view.position(thing)[:2], decimals)


def _metres(position: Iterable[float], decimals: int) -> str:
    """``(1.61, -0.14)``; never a negative nought."""
    return f"({', '.join(f'{round(float(value), decimals) + 0.0:.{decimals}f}' for value in position)})"


def _size(thing: SceneObject, decimals: int) -> str:
    return " x ".join(f"{edge:.{decimals}f}" for edge in thing.box[3:6])


def _counting(question: Question, view: View, decimals: int) -> str:
    (label,) = question.names
    places = "; ".join(_at(view, thing, decimals) for thing in view.by_label[label])
    return f"{FRAME_NOTE} {label} at {places}."


def _abs_distance(question: Question, view: View, decimals: int) -> str:
    notes = []
    for label in question.names:
        thing = view.one(label)
        notes.append(
            f"{label} centre {_metres(view.position(thing), decimals)}, size {_size(thing, decimals)}"
        )
    first, second = (view.one(label) for label in question.names)
    centres = f"{np.linalg.norm(first.box[:3] - second.box[:3]):.{decimals}f}"
    return (
        f"{FRAME_NOTE} {'; '.join(notes)}. The centres are {centres} apart; between the closest points "
        f"of the two boxes {_number(question)} remain."
    )


def _object_size(question: Question, view: View, decimals: int) -> str:
    (label,) = question.names
    thing = view.one(label)
    longest = longest_edge_cm(thing.box)
    return (
        f"The {label} measures {_size(thing, decimals)} metres. "
        f"Its longest edge is {longest / 100:.{decimals}f} metres, {longest} centimeters."
    )


def _room_size(question: Question, view: View, decimals: int) -> str:
    polygon = view.scene.floor_polygon
    assert polygon is not None, "a room size question needs a floor polygon"
    corners = transform_points(view.T_floor_world, np.c_[polygon, np.zeros(len(polygon))])[:, :2]
    places = "; ".join(_metres(corner, decimals) for corner in corners)
    note = f"{FRAME_NOTE} the floor's corners are {places}."
    edges = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    area = polygon_area_m2(polygon)
    if len(corners) == 4 and abs(edges[0] * edges[1] - area) < 1e-6:
        return (
            f"{note} Its sides are {edges[0]:.{decimals}f} and {edges[1]:.{decimals}f}, their product is "
            f"{_number(question)}."
        )
    return f"{note} The polygon's area is {_number(question)}."


def _rel_distance(question: Question, view: View, decimals: int) -> str:
    primary, *options = question.names
    note = "; ".join(
        f"{label} {closest_distance_m(view.by_label[label], view.by_label[primary]):.{decimals}f}"
        for label in options
    )
    return f"Metres from the {primary}, closest points: {note}. The {question.answer} has the smallest."


def _rel_direction(question: Question, view: View, decimals: int) -> str:
    a, b, c = (view.one(label) for label in question.names)
    places = ", ".join(f"{thing.label} {_at(view, thing, decimals)}" for thing in (a, b, c))
    return (
        f"{FRAME_NOTE} {places}. Standing by the {a.label} and facing the {b.label}, "
        f"I turn {turned(turn_rad(a.box, b.box, c.box))} to face the {c.label}."
    )


def _route(question: Question, view: View, decimals: int) -> str:
    start, facing = (view.one(label) for label in question.names[:2])
    places = ", ".join(f"{name} {_at(view, view.one(name), decimals)}" for name in question.names)
    turns = walk(start.label, facing.box, question.steps, lambda label: view.one(label).box)
    notes = [
        f"{f'Arriving at the {here} from' if before else 'At'} the {before or here}, the {goal} is {turned(turn)}."
        for before, here, goal, turn in turns
    ]
    return f"{FRAME_NOTE} {places}. {' '.join(notes)}"


def _appearance_order(question: Question, view: View, decimals: int) -> str:
    seen = []
    for label in question.names:
        frame = view.appearance(label)
        assert frame is not None, f"{label} was chosen because it appears"
        seen.append(f"{label} in frame {frame + 1}")
    return f"First seen: {', '.join(seen)}."


_WRITERS: dict[str, Callable[[Question, View, int], str]] = {
    "object_counting": _counting,
    "object_abs_distance": _abs_distance,
    "object_size_estimation": _object_size,
    "room_size_estimation": _room_size,
    "object_rel_distance": _rel_distance,
    "object_rel_direction_easy": _rel_direction,
    "object_rel_direction_medium": _rel_direction,
    "object_rel_direction_hard": _rel_direction,
    "route_planning": _route,
    "obj_appearance_order": _appearance_order,
}
