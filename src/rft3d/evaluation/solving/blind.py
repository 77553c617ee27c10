"""Spatial questions answered without looking: the floor that a model with pictures has to leave behind.

From questions with known answers (training rooms) it is learned what a question's words alone are worth. A number:
the constant that would have earned most mean relative accuracy on questions of the same type about the same
things, which is not the most frequent one. A choice: the option, by its text, that was right most often where it
was shown. Things that were asked about too seldom fall back on their question's type. VSI-Bench's *chance level,
frequency* (Yang et al., arXiv 2412.14171) is the simpler relative: the most frequent answer of a type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rft3d.evaluation.solving.split import SolvedSample, UnreadQuestion, query_of, solve_each
from rft3d.rewards import mean_relative_accuracy
from rft3d.tasks.spatial import NUMERIC_TYPES
from rft3d.tasks.spatial.read import Query
from rft3d.tasks.spatial.solve import Solved, Unsolved
from rft3d.tasks.types import Sample

ENOUGH = 20
"""Questions about the same things from which on these are asked, not the whole type."""
AT_MOST = 1000
"""Known answers that a constant is weighed against; of more, every n-th is taken."""
TRIED = 100
"""Constants that are tried: quantiles of the known answers."""
FOLDS = 5
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of a thing's own constant against its type's."""

Key = tuple[str, tuple[str, ...]]
Known = tuple[Sample, Query]


class Blind:
    """Answers questions from their text alone, learned from samples with known answers.

    Raises:
        ValueError: there is no known sample.
    """

    def __init__(self, known: Sequence[Sample]) -> None:
        if not known:
            raise ValueError("answers without looking need questions with known answers, got none")
        self._groups: dict[Key, list[Known]] = defaultdict(list)
        for sample in known:
            try:
                query = query_of(sample)
            except UnreadQuestion:
                continue  # teaches nothing
            for key in dict.fromkeys(_keys(query)):
                self._groups[key].append((sample, query))
        self._found: dict[Key, float | dict[str, float]] = {}

    def answer(self, query: Query) -> Solved | Unsolved:
        """The answer to expect."""
        narrow, wide = _keys(query)
        if wide not in self._groups:
            return Unsolved(f"no known answer to a question of the type {query.type!r}")
        key = narrow if len(self._groups.get(narrow, ())) >= ENOUGH else wide
        if key not in self._found:
            group, all_of_type = self._groups[key], self._groups[wide]
            if query.type in NUMERIC_TYPES:
                self._found[key] = _shrunk(_truths(group), _truths(all_of_type))
            else:
                self._found[key] = _shares(group)
        found = self._found[key]
        if isinstance(found, dict):
            shares = [found.get(option, 0.0) for option in query.options]
            return Solved("ABCD"[shares.index(max(shares))])
        return Solved(int(found) if float(found).is_integer() else found)


def answer_blindly(samples: Sequence[Sample], known: Sequence[Sample]) -> list[SolvedSample]:
    """Every question of ``samples`` answered from what ``known`` questions teach; see the module's text.

    Raises:
        ValueError: see :class:`Blind`; or a scene is in both, so that its answers would be known.
    """
    both = sorted({sample.scene for sample in samples} & {sample.scene for sample in known})
    if both:
        raise ValueError(
            f"{len(both)} scenes such as {both[0]!r} are in both files: their answers would be known, not guessed"
        )
    blind = Blind(known)
    return solve_each(samples, lambda _, query: blind.answer(query))


def _keys(query: Query) -> tuple[Key, Key]:
    return (query.type, query.labels), (query.type, ())


def _truths(group: Sequence[Known]) -> list[float]:
    """Known answers, at most :data:`AT_MOST`, in file order."""
    truths = [float(sample.truth["answer"]) for sample, _ in group]
    return truths[:: -(-len(truths) // AT_MOST)]


def _shrunk(own: Sequence[float], every: Sequence[float]) -> float:
    """The constant for some things, drawn towards their type's by as much as pays on answers left out.

    A few answers about a thing say less than they seem to: in counting, constants of their own earned less than
    the type's one (59.4 against 61.8 on VSI-Bench). :data:`FOLDS`-fold cross-validation over the known answers
    chooses among :data:`WEIGHTS`.
    """
    whole = _constant(every)
    if len(own) < FOLDS:
        return whole
    gained = dict.fromkeys(WEIGHTS, 0.0)
    for fold in range(FOLDS):
        mine = _constant([each for k, each in enumerate(own) if k % FOLDS != fold])
        for weight in WEIGHTS:
            gained[weight] += _earned(_between(mine, whole, weight), own[fold::FOLDS])
    best = max(WEIGHTS, key=lambda weight: (gained[weight], -weight))
    return _between(_constant(own), whole, best)


def _between(own: float, whole: float, weight: float) -> float:
    """Relative errors count: the mean is that of logs; whole numbers stay whole."""
    if weight in (0.0, 1.0) or min(own, whole) <= 0:
        return own if weight >= 0.5 else whole
    mean = own**weight * whole ** (1 - weight)
    return float(round(mean)) if own.is_integer() and whole.is_integer() else mean


def _constant(truths: Sequence[float]) -> float:
    ordered = sorted(truths)
    tried = sorted({ordered[i * (len(ordered) - 1) // (TRIED - 1)] for i in range(TRIED)})
    return max(tried, key=lambda constant: _earned(constant, ordered))


def _earned(constant: float, truths: Sequence[float]) -> float:
    return sum(mean_relative_accuracy(constant, truth).value for truth in truths)


def _shares(group: Sequence[Known]) -> dict[str, float]:
    """Option text -> its share of right answers where it was shown, Laplace-smoothed."""
    shown: dict[str, int] = defaultdict(int)
    right: dict[str, int] = defaultdict(int)
    for sample, query in group:
        for letter, option in zip("ABCD", query.options, strict=False):
            shown[option] += 1
            right[option] += letter == sample.truth["answer"]
    return {option: (right[option] + 1) / (count + 2) for option, count in shown.items()}
