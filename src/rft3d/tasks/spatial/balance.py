"""Balanced sets of questions: every letter as often right as any other, and every word.

A set in which "left" is right in 60 % of the questions, or the right option stands at A too often, teaches
the frequencies instead of the room. :class:`Balance` counts what was right so far, over all scenes; among the
questions that a scene offers it takes those whose answer was rarest, and puts the right option where it was
rarest. Deterministic for the same scenes in the same order.

VSI-Bench itself is not balanced in its words: 84 % of its hard directions are "front ...", 5 % of its medium ones
"back". ``Balance(OFFICIAL)`` draws its mix instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from rft3d.tasks.spatial.view import Question

LETTERS = "ABCD"
CLOSED = ("left", "right", "back", "front-left", "front-right", "back-left", "back-right",
          "Turn Back", "Turn Left", "Turn Right")  # fmt: skip
"""Answers that are words of the question, not things of the room: these can be balanced."""
OFFICIAL: dict[str, dict[str, float]] = {
    "object_rel_direction_easy": {"left": 111, "right": 106},
    "object_rel_direction_medium": {"left": 188, "right": 172, "back": 18},
    "object_rel_direction_hard": {"front-left": 160, "front-right": 152, "back-right": 32, "back-left": 29},
    "route_planning": {"Turn Right": 158, "Turn Left": 140, "Turn Back": 57},
}
"""How often each word is right in VSI-Bench's key (of a route: each turn)."""


@dataclass
class Balance:
    """Counts of what was right so far.

    Attributes:
        shares: question type -> answer -> how often it shall be right, up to a factor; without: all alike.
        letters: (question type, number of options, letter) -> times it was right.
        words: (question type, answer) -> times it was right, for answers of :data:`CLOSED` (of a route: each turn).
    """

    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Mapping[str, float]])
    letters: Counter[tuple[str, int, str]] = field(default_factory=Counter[tuple[str, int, str]])
    words: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def choose(self, offered: Iterable[Question], most: int, pool: int = 64) -> list[Question]:
        """At most ``most`` of the first ``pool`` offered, rarest answers first, options arranged."""
        waiting = list(islice(offered, pool))
        chosen: list[Question] = []
        while waiting and len(chosen) < most:
            # among answers of as many words as the first, so that routes keep their lengths; ties go to the
            # earlier one: the order in which a scene offers them is random already
            alike = [i for i, each in enumerate(waiting) if len(_words(each)) == len(_words(waiting[0]))]
            index = min(alike, key=lambda i: (self._seen(waiting[i]), i))
            chosen.append(self._arranged(waiting.pop(index)))
        return chosen

    def _seen(self, question: Question) -> float:
        """How often answers like this one were right, measured by how often they shall be."""
        words, shares = _words(question), self.shares.get(question.type, {})
        return sum(self.words[question.type, word] / shares.get(word, 1) for word in words) / max(
            1, len(words)
        )

    def _arranged(self, question: Question) -> Question:
        """``question`` counted, its right option at the letter that was right least often."""
        self.words.update((question.type, word) for word in _words(question))
        if not question.options:
            return question
        count = len(question.options)
        letters = LETTERS[:count]
        letter = min(letters, key=lambda each: (self.letters[question.type, count, each], each))
        self.letters[question.type, count, letter] += 1
        others = [option for option in question.options if option != question.answer]
        others.insert(letters.index(letter), str(question.answer))
        return replace(question, options=tuple(others))


def _words(question: Question) -> list[str]:
    words = str(question.answer).split(", ")
    return words if all(word in CLOSED for word in words) else []
