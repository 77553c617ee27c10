"""VSI-Bench questions worked out from a scene: ``ask(view, type, rng, most)``.

Wording follows table 4 and the released questions of VSI-Bench (arXiv 2412.14171). Every type is a generator
of unambiguous questions (:class:`.view.Limits`): measured answers in :mod:`.questions_measure`, multiple
choice in :mod:`.questions_choice`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

from rft3d.tasks.spatial import questions_choice, questions_measure
from rft3d.tasks.spatial.view import Question, View

MAKERS: dict[str, Callable[[View, Random], Iterator[Question]]] = {
    **questions_measure.MAKERS,
    **questions_choice.MAKERS,
}
QUESTION_TYPES = tuple(MAKERS)
NUMERIC_TYPES = frozenset(questions_measure.MAKERS)


def ask(view: View, question_type: str, rng: Random, most: int) -> list[Question]:
    """At most ``most`` questions of one type, chosen by ``rng`` among all unambiguous ones."""
    return list(islice(offer(view, question_type, rng), most))


def offer(view: View, question_type: str, rng: Random) -> Iterator[Question]:
    """All unambiguous questions of one type about ``view``, in random order."""
    if question_type not in MAKERS:
        raise ValueError(f"question type {question_type!r} is unknown; use one of {QUESTION_TYPES}")
    return MAKERS[question_type](view, rng)
