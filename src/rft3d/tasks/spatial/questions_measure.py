"""Questions with a number for an answer: counting, absolute distance, object size, room size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from rft3d.tasks.spatial.semantics import closest_distance_m, floor_area_m2, longest_edge_cm
from rft3d.tasks.spatial.view import Question, View, shuffled


def counting(view: View, rng: Random) -> Iterator[Question]:
    """Instances of a label, all of them seen."""
    for label in shuffled(view.named, rng):
        count = view.count(label)
        if count >= view.limits.min_count:
            yield Question("object_counting", f"How many {label}(s) are in this room?", count, (label,))


def abs_distance(view: View, rng: Random) -> Iterator[Question]:
    """Smallest distance between the surfaces of two unique objects, metres, one decimal."""
    labels = view.unique
    pairs = [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]
    for pair in shuffled(pairs, rng):
        first, second = shuffled(pair, rng)
        distance = closest_distance_m(view.by_label[first], view.by_label[second])
        if distance < view.limits.min_distance_m:
            continue
        text = (
            f"Measuring from the closest point of each object, what is the distance between the {first} "
            f"and the {second} (in meters)?"
        )
        yield Question("object_abs_distance", text, round(distance, 1), (first, second))


def object_size(view: View, rng: Random) -> Iterator[Question]:
    """Longest box edge of a unique object, whole centimetres."""
    for label in shuffled(view.unique, rng):
        text = (
            "What is the length of the longest dimension (length, width, or height) of the "
            f"{label}, measured in centimeters?"
        )
        size = longest_edge_cm(view.one(label).box)
        if size > 0:
            yield Question("object_size_estimation", text, size, (label,))


def room_size(view: View, rng: Random) -> Iterator[Question]:
    """Floor area, square metres, one decimal; only where it is known."""
    area = round(floor_area_m2(view.scene) or 0.0, 1)
    if area > 0:
        text = (
            "What is the size of this room (in square meters)? \n"
            "If multiple rooms are shown, estimate the size of the combined space."
        )
        yield Question("room_size_estimation", text, area, ())


MAKERS: dict[str, Callable[[View, Random], Iterator[Question]]] = {
    "object_counting": counting,
    "object_abs_distance": abs_distance,
    "object_size_estimation": object_size,
    "room_size_estimation": room_size,
}
