"""Balanced sets of questions: every letter as often right as any other, and every word.

A set in which "left" is right in 60 % of the questions, or the right option stands at A too often, teaches
the frequencies instead of the room. :class:`Balance` counts what was right so far, over all scenes; among the
questions that a scene offers it takes those whose answer was rarest, and puts the right option where it was
rarest. Deterministic for the same scenes in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from rft3d.tasks.spatial.view import Question

LETTERS = "ABCD"
CLOSED = ("left", "right", "back", "front-left", "front-right", "back-left", "back-right",
          "Turn Back", "Turn Left", "Turn Right")  # fmt: skip
"""Answers that are words of the question, not things of the room: these can be balanced."""


@dataclass
class Balance:
    """Counts of what was right so far.

    Attributes:
        letters: (question type, number of options, letter) -> times it was right.
        words: (question type, answer) -> times it was right, for answers of :data:`CLOSED`.
    """

    letters: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    words: Counter[tuple[str, str]] = field(default_factory=Counter)

    def choose(self, offered: Iterable[Question], most: int, pool: int = 64) -> list[Question]:
        """At most ``most`` of the first ``pool`` offered, rarest answers first, options arranged."""
        waiting = list(islice(offered, pool))
        chosen: list[Question] = []
        while waiting and len(chosen) < most:
            # ties go to the earlier one: the order in which a scene offers them is random already
            index = min(range(len(waiting)), key=lambda i: (self._seen(waiting[i]), i))
            chosen.append(self._arranged(waiting.pop(index)))
        return chosen

    def _seen(self, question: Question) -> int:
        return self.words[question.type, str(question.answer)]

    def _arranged(self, question: Question) -> Question:
        """``question`` counted, its right option at the letter that was right least often."""
        if question.answer in CLOSED:
            self.words[question.type, str(question.answer)] += 1
        if not question.options:
            return question
        count = len(question.options)
        letters = LETTERS[:count]
        letter = min(letters, key=lambda each: (self.letters[question.type, count, each], each))
        self.letters[question.type, count, letter] += 1
        others = [option for option in question.options if option != question.answer]
        others.insert(letters.index(letter), str(question.answer))
        return replace(question, options=tuple(others))
