"""VSI-Bench questions worked out from a scene: ``ask(view, type, rng, most)``.

Wording follows table 4 and the released questions of VSI-Bench (arXiv 2412.14171). Every type is a generator
of unambiguous questions (:class:`.view.Limits`): first those with a number for an answer, then those with options.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice, pairwise, permutations, product
from random import Random

from rft3d.tasks.spatial import semantics
from rft3d.tasks.spatial.view import Question, View, ordered_triples, shuffled

MIN_DISTANCE_M = 0.3
"""Absolute distances below this are not asked: the relative error explodes."""
MIN_APART_M = 0.5
"""Smallest centre distance in the floor plane between objects of a direction or route."""
LARGE_ROOM_M2, OPTION_GAP_LARGE_M = 40.0, 0.30
"""VSI-Bench's gap between the options of a relative distance in larger rooms."""
TURNS = ("Turn Back", "Turn Left", "Turn Right")
ROUTES = {"TFTF": 58, "TF": 40, "FTF": 36, "TFTFTF": 17, "FTFTF": 12, "FTFTFTF": 6}
"""Routes by their steps (T: a turn, F: go forward until ...), and how many of VSI-Bench's 194 are like that; the
other 25 have 15 other shapes."""


def ask(view: View, question_type: str, rng: Random, most: int) -> list[Question]:
    """At most ``most`` questions of one type, chosen by ``rng`` among all unambiguous ones."""
    return list(islice(offer(view, question_type, rng), most))


def offer(view: View, question_type: str, rng: Random) -> Iterator[Question]:
    """All unambiguous questions of one type about ``view``, in random order."""
    if question_type not in MAKERS:
        raise ValueError(f"question type {question_type!r} is unknown; use one of {QUESTION_TYPES}")
    return MAKERS[question_type](view, rng)


def counting(view: View, rng: Random) -> Iterator[Question]:
    """Instances of a label, all of them seen."""
    for label in shuffled(view.named, rng):
        count = view.count(label)
        if count >= view.limits.min_count:
            text = f"How many {label}(s) are in this room?"
            yield Question("object_counting", (label,), text=text, answer=count)


def abs_distance(view: View, rng: Random) -> Iterator[Question]:
    """Smallest distance between the surfaces of two unique objects, metres, one decimal."""
    labels = view.unique
    pairs = [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]
    for pair in shuffled(pairs, rng):
        first, second = shuffled(pair, rng)
        distance = semantics.closest_distance_m(view.boxes[first], view.boxes[second])
        if distance < MIN_DISTANCE_M:
            continue
        text = (
            f"Measuring from the closest point of each object, what is the distance between the {first} "
            f"and the {second} (in meters)?"
        )
        yield Question("object_abs_distance", (first, second), text=text, answer=round(distance, 1))


def object_size(view: View, rng: Random) -> Iterator[Question]:
    """Longest box edge of a unique object, whole centimetres."""
    for label in shuffled(view.unique, rng):
        text = (
            "What is the length of the longest dimension (length, width, or height) of the "
            f"{label}, measured in centimeters?"
        )
        size = semantics.longest_edge_cm(view.one(label))
        if size > 0:
            yield Question("object_size_estimation", (label,), text=text, answer=size)


def room_size(view: View, rng: Random) -> Iterator[Question]:
    """Floor area, square metres, one decimal; only where it is known."""
    area = round(semantics.floor_area_m2(view.scene) or 0.0, 1)
    if area > 0:
        text = (
            "What is the size of this room (in square meters)? \n"
            "If multiple rooms are shown, estimate the size of the combined space."
        )
        yield Question("room_size_estimation", (), text=text, answer=area)


def rel_distance(view: View, rng: Random) -> Iterator[Question]:
    """Which of four is closest to a unique object; any two of the four distances differ clearly."""
    large = (semantics.floor_area_m2(view.scene) or 0.0) > LARGE_ROOM_M2
    gap = OPTION_GAP_LARGE_M if large else view.limits.option_gap_m
    for primary in shuffled(view.unique, rng):
        distances: dict[str, float] = {}
        # greedy in random order: takes a label when it is clearly apart from those taken before
        for label in shuffled((other for other in view.named if other != primary), rng):
            distance = semantics.closest_distance_m(view.boxes[label], view.boxes[primary])
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
        yield Question("object_rel_distance", (primary, *options), options, text=text, answer=answer)


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
    meaning, answers, boundaries = semantics.DIRECTIONS[level]
    for a, b, c in ordered_triples(view.unique, rng):
        if min(view.apart_m(a, b), view.apart_m(a, c), view.apart_m(b, c)) < MIN_APART_M:
            continue
        turn = semantics.turn_rad(view.one(a), view.one(b), view.one(c))
        if semantics.margin_deg(turn, boundaries) < view.limits.angle_margin_deg:
            continue
        text = f"If I am standing by the {a} and facing the {b}, " + _DIRECTION_TEXT[level].format(b=b, c=c)
        options = tuple(shuffled(answers, rng))
        kind = f"object_rel_direction_{level}"
        yield Question(kind, (a, b, c), options, text=text, answer=meaning(turn))


def route(view: View, rng: Random) -> Iterator[Question]:
    """Walks past unique objects with turns to fill in, in VSI-Bench's most frequent shapes (:data:`ROUTES`).

    Every leg is roughly free to walk, every turn clear of the boundaries. VSI-Bench's own were drawn by people.
    """
    free = cache(partial(_free, view))
    shapes = {shape: n for shape, n in ROUTES.items() if shape.count("T") <= view.limits.turns}
    shapes = {"FTF": 1} if view.limits.turns == 1 else shapes
    walks = {shape: _walks(view, shape, free, rng) for shape in shapes}
    while walks:
        (shape,) = rng.choices(list(walks), [shapes[shape] for shape in walks]) if len(shapes) > 1 else walks
        question = next(walks[shape], None)
        if question is None:
            del walks[shape]
        else:
            yield question


def _walks(view: View, shape: str, free: Callable[[str, str], bool], rng: Random) -> Iterator[Question]:
    """Routes of one shape, at most one for the same first three names."""
    behind = 2 if shape[0] == "T" else 1  # the start; and what it faces, unless it walks there first
    more = shape.count("F") + behind - 3
    for first in ordered_triples(view.unique, rng):
        path = (first[0], *first[behind:])
        if view.apart_m(*first[:2]) < MIN_APART_M or not all(free(*leg) for leg in pairwise(path)):
            continue
        others = [label for label in view.unique if label not in first]
        for rest in permutations(shuffled(others, rng), more) if more else ((),):
            goals = iter((*path[1:], *rest))
            steps = tuple(next(goals) if step == "F" else None for step in shape)
            if not all(free(*leg) for leg in pairwise((path[-1], *rest))):
                continue
            if (words := _turns(view, first, steps)) is not None:
                yield _route_question((*first, *rest), steps, words, rng)
                break


def _free(view: View, start: str, end: str) -> bool:
    """Whether a leg is long enough and roughly free; the other things of the route may stand in the way, too."""
    scene = view.scene
    others = [thing for thing in scene.objects if thing.label not in (start, end)]
    return view.apart_m(start, end) >= MIN_APART_M and semantics.path_is_free(
        view.one(start), view.one(end), others, scene.floor_polygon
    )


def _turns(view: View, start: tuple[str, ...], steps: tuple[str | None, ...]) -> list[str] | None:
    """The words of a route's turns; None where one is unclear."""
    words: list[str] = []
    for *_, turn in semantics.walk(start[0], view.one(start[1]), steps, view.one):
        word = semantics.turn_word(turn)
        if word is None or semantics.margin_deg(turn, (45.0, 135.0)) < view.limits.angle_margin_deg:
            return None
        words.append(word)
    return words


def _route_question(
    names: tuple[str, ...], steps: tuple[str | None, ...], words: list[str], rng: Random
) -> Question:
    actions = " ".join(
        f"{number}. {f'Go forward until the {step}' if step else '[please fill in]'}"
        for number, step in enumerate(steps, 1)
    )
    text = (
        f"You are a robot beginning at the {names[0]} facing the {names[1]}. You want to navigate to the "
        f"{steps[-1]}. You will perform the following actions (Note: for each [please fill in], choose either "
        f"'turn back,' 'turn left,' or 'turn right.'): {actions}. You have reached the final destination."
    )
    answer = ", ".join(words)
    options = [", ".join(each) for each in product(TURNS, repeat=len(words))]
    if len(words) > 1:
        options = [answer, *rng.sample([option for option in options if option != answer], 3)]
    shown = tuple(shuffled(options, rng))
    return Question("route_planning", names, shown, steps, text=text, answer=answer)


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
        yield Question("obj_appearance_order", order, options, text=text, answer=", ".join(order))


Maker = Callable[[View, Random], Iterator[Question]]
_NUMERIC: dict[str, Maker] = {
    "object_counting": counting,
    "object_abs_distance": abs_distance,
    "object_size_estimation": object_size,
    "room_size_estimation": room_size,
}
MAKERS: dict[str, Maker] = {
    **_NUMERIC,
    "object_rel_distance": rel_distance,
    **{f"object_rel_direction_{level}": partial(rel_direction, level) for level in semantics.DIRECTIONS},
    "route_planning": route,
    "obj_appearance_order": appearance_order,
}
QUESTION_TYPES = tuple(MAKERS)
NUMERIC_TYPES = frozenset(_NUMERIC)
