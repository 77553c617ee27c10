"""Questions with options: relative distance, relative direction, route, order of appearance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from random import Random

from rft3d.tasks.spatial.semantics import (
    DIRECTIONS,
    closest_distance_m,
    margin_deg,
    path_is_free,
    polygon_area_m2,
    turn_rad,
    turn_word,
)
from rft3d.tasks.spatial.view import Question, View, ordered_triples, shuffled

ROUTE_OPTIONS = ("Turn Back", "Turn Left", "Turn Right")


def rel_distance(view: View, rng: Random) -> Iterator[Question]:
    """Which of four is closest to a unique object; any two of the four distances differ clearly."""
    polygon = view.scene.floor_polygon
    large = polygon is not None and polygon_area_m2(polygon) > view.limits.large_room_m2
    gap = view.limits.option_gap_large_m if large else view.limits.option_gap_m
    for primary in shuffled(view.unique, rng):
        distances: dict[str, float] = {}
        # greedy in random order: takes a label when it is clearly apart from those taken before
        for label in shuffled((other for other in view.named if other != primary), rng):
            distance = closest_distance_m(view.by_label[label], view.by_label[primary])
            if all(abs(distance - taken) >= gap for taken in distances.values()):
                distances[label] = distance
            if len(distances) == 4:
                break
        else:
            continue
        options = tuple(shuffled(distances, rng))
        text = (
            f"Measuring from the closest point of each object, which of these objects ({', '.join(options)}) "
            f"is the closest to the {primary}?"
        )
        answer = min(distances, key=lambda label: distances[label])
        yield Question("object_rel_distance", text, answer, (primary, *options), options)


_DIRECTION_TEXT = {
    "easy": "is the {c} to the left or the right of the {b}?",
    "medium": (
        "is the {c} to my left, right, or back?\n"
        "An object is to my back if I would have to turn at least 135 degrees in order to face it."
    ),
    "hard": (
        "is the {c} to my front-left, front-right, back-left, or back-right?\n"
        "The directions refer to the quadrants of a Cartesian plane "
        "(if I am standing at the origin and facing along the positive y-axis)."
    ),
}


def rel_direction(level: str, view: View, rng: Random) -> Iterator[Question]:
    """Standing by A and facing B, where is C; unique objects, far enough apart, clear of every boundary."""
    meaning, answers, boundaries = DIRECTIONS[level]
    for a, b, c in ordered_triples(view.unique, rng):
        if min(view.apart_m(a, b), view.apart_m(a, c), view.apart_m(b, c)) < view.limits.min_apart_m:
            continue
        turn = turn_rad(view.one(a).box, view.one(b).box, view.one(c).box)
        if margin_deg(turn, boundaries) < view.limits.angle_margin_deg:
            continue
        text = f"If I am standing by the {a} and facing the {b}, " + _DIRECTION_TEXT[level].format(b=b, c=c)
        options = tuple(shuffled(answers, rng))
        yield Question(f"object_rel_direction_{level}", text, meaning(turn), (a, b, c), options)


def route(view: View, rng: Random) -> Iterator[Question]:
    """Two legs, A to B to C, with one turn to fill in; both legs are roughly free to walk.

    VSI-Bench's routes were drawn by people and have up to five steps; ours have one turn.
    """
    limits = view.limits
    for a, b, c in ordered_triples(view.unique, rng):
        if min(view.apart_m(a, b), view.apart_m(b, c)) < limits.min_apart_m:
            continue
        A, B, C = (view.one(label).box for label in (a, b, c))
        # arriving at B the robot looks along B - A
        turn = turn_rad(B, 2 * B[:2] - A[:2], C)
        word = turn_word(turn)
        if word is None or margin_deg(turn, (45.0, 135.0)) < limits.angle_margin_deg:
            continue
        others = [o for o in view.scene.objects if o.label not in (a, b, c)]
        floor = view.scene.floor_polygon
        # C must not stand on the first leg, nor A on the second
        first_leg = path_is_free(A, B, [*others, view.one(c)], floor)
        if not first_leg or not path_is_free(B, C, [*others, view.one(a)], floor):
            continue
        actions = f"1. Go forward until the {b} 2. [please fill in] 3. Go forward until the {c}."
        text = (
            f"You are a robot beginning at the {a} facing the {b}. You want to navigate to the {c}. "
            "You will perform the following actions (Note: for each [please fill in], choose either "
            f"'turn back,' 'turn left,' or 'turn right.'): {actions} You have reached the final destination."
        )
        yield Question("route_planning", text, word, (a, b, c), tuple(shuffled(ROUTE_OPTIONS, rng)))


def appearance_order(view: View, rng: Random) -> Iterator[Question]:
    """Order in which four labels are first seen; first frames are distinct, no glimpse came before."""
    first = {label: view.appearance(label) for label in view.named}
    groups: dict[int, list[str]] = {}
    for label, index in first.items():
        if index is not None:
            groups.setdefault(index, []).append(label)
    if len(groups) < 4:
        return
    # one question per shuffle: the number of label choices explodes with long clips
    asked: set[tuple[str, ...]] = set()
    for _ in range(20):
        frames = sorted(rng.sample(sorted(groups), 4))
        order = tuple(rng.choice(groups[index]) for index in frames)
        if order in asked:
            continue
        asked.add(order)
        wrong = rng.sample([p for p in permutations(order) if p != order], 3)
        options = tuple(shuffled((", ".join(p) for p in (order, *wrong)), rng))
        text = (
            "What will be the first-time appearance order of the following categories in the video: "
            f"{', '.join(shuffled(order, rng))}?"
        )
        yield Question("obj_appearance_order", text, ", ".join(order), order, options)


MAKERS: dict[str, Callable[[View, Random], Iterator[Question]]] = {
    "object_rel_distance": rel_distance,
    **{f"object_rel_direction_{level}": partial(rel_direction, level) for level in DIRECTIONS},
    "route_planning": route,
    "obj_appearance_order": appearance_order,
}
