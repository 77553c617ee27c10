"""Spatial questions answered without looking: the floor that a model with pictures has to leave behind.

From questions with known answers (training rooms) it is learned what a question's words alone are worth. A number:
the constant that would have earned most mean relative accuracy on questions of the same type about the same
things, which is not the most frequent one, drawn towards the type's constant. A choice: the option, by its text,
that was right most often where it was shown. Things that were asked about too seldom fall back on their
question's type. VSI-Bench's *chance level, frequency* (Yang et al., arXiv 2412.14171) is the simpler relative: the
most frequent answer of a type.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.solving.places import Places
from rft3d.evaluation.solving.split import (
    SolvedRow,
    SolvedSample,
    UnreadQuestion,
    as_predictions,
    query_of,
    solve_each,
    solve_samples,
    split_failures,
)
from rft3d.rewards.score import TOLERANCES
from rft3d.tasks.spatial import NUMERIC_TYPES
from rft3d.tasks.spatial.solve import LETTERS, Solved, Unsolved
from rft3d.tasks.spatial.view import Query
from rft3d.tasks.types import Sample

ENOUGH = 20
"""Choices: questions about the same things from which on these are asked, not the whole type."""
AT_MOST = 1000
"""Known answers that a constant is weighed against; of more, every n-th is taken."""
TRIED = 100
"""Constants that are tried: quantiles of the known answers."""
FOLDS = 5
"""Of the cross-validation; things with fewer known answers have no constant of their own."""
PRIORS = (0.0, 5.0, 20.0, 80.0, math.inf)
"""How many answers about a thing the constant of its type may count for."""

Array = NDArray[np.float64]
Key = tuple[str, tuple[str, ...]]
Known = tuple[Sample, Query]


class Blind:
    """Answers questions from their text alone, learned from samples with known answers."""

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
        self._priors: dict[str, float] = {}

    def answer(self, query: Query) -> Solved | Unsolved:
        """The answer to expect."""
        narrow, wide = _keys(query)
        if wide not in self._groups:
            return Unsolved(f"no known answer to a question of the type {query.type!r}")
        enough = FOLDS if query.type in NUMERIC_TYPES else ENOUGH
        key = narrow if len(self._groups.get(narrow, ())) >= enough else wide
        if key not in self._found:
            numeric = query.type in NUMERIC_TYPES
            self._found[key] = self._constant(key) if numeric else _shares(self._groups[key])
        found = self._found[key]
        if isinstance(found, dict):
            shares = [found.get(option, 0.0) for option in query.options]
            return Solved(LETTERS[shares.index(max(shares))])
        return Solved(int(found) if float(found).is_integer() else found)

    def _constant(self, key: Key) -> float:
        truths = _truths(self._groups[key])
        if not key[1]:
            return _best(truths)
        whole = self._found.setdefault((key[0], ()), _best(_truths(self._groups[key[0], ()])))
        assert isinstance(whole, float)
        if key[0] not in self._priors:
            about = [
                _truths(group) for (kind, named), group in self._groups.items() if named and kind == key[0]
            ]
            self._priors[key[0]] = prior_of([each for each in about if len(each) >= FOLDS], whole)
        return _between(_best(truths), whole, len(truths), self._priors[key[0]])


def answer_blindly(samples: Sequence[Sample], known: Sequence[Sample]) -> list[SolvedSample]:
    """Every question of ``samples`` answered from what ``known`` questions teach; see the module's text.
    ValueError: a scene is in both, so that its answers would be known."""
    both = sorted({sample.scene for sample in samples} & {sample.scene for sample in known})
    if both:
        raise ValueError(
            f"{len(both)} scenes such as {both[0]!r} are in both files: their answers would be known, not guessed"
        )
    blind = Blind(known)
    return solve_each(samples, lambda _, query: blind.answer(query))


def answer_by_folds(samples: Sequence[Sample], folds: int = 10) -> list[SolvedSample]:
    """Every question answered from what the questions about other rooms teach: rooms dealt into ``folds``."""
    scenes = sorted({sample.scene for sample in samples})
    if len(scenes) < folds:
        raise ValueError(f"{folds} folds need as many scenes, and the questions are about {len(scenes)}")
    Random(0).shuffle(scenes)
    found: dict[str, SolvedSample] = {}
    for fold in range(folds):
        asked = set(scenes[fold::folds])
        others = [sample for sample in samples if sample.scene not in asked]
        mine = answer_blindly([sample for sample in samples if sample.scene in asked], others)
        found |= {each.sample.id: each for each in mine}
    return [found[sample.id] for sample in samples]


def solve_questions(
    samples: Sequence[Sample], places: Places | None, known: Sequence[Sample] = (), own: Path | None = None
) -> tuple[list[SolvedSample], dict[str, SolvedRow]]:
    """Answers to the questions, and their accuracy by question type (and ``"all"``).

    ``places``: the scenes' boxes; None: answers without looking, learned from the ``known`` answers; where these
    are ``samples`` themselves, ten-fold by room. ``own``: a model's predictions, whose failures are split from
    boxes.
    """
    if places is not None:
        solved = solve_samples(samples, places)
    else:
        solved = answer_by_folds(samples) if known is samples else answer_blindly(samples, known)
    told = None if own is None else load_predictions(own, samples).predictions
    rows = split_failures(solved, as_predictions(solved) if told is None else told)
    if told is None:
        rows = {kind: replace(row, own=None) for kind, row in rows.items()}
    return solved, rows if places is not None else {k: replace(row, verdicts={}) for k, row in rows.items()}


def prior_of(groups: Sequence[Array], whole: float) -> float:
    """Which of :data:`PRIORS` earns most on answers left out, :data:`FOLDS`-fold, over all things of one type.

    A few answers about a thing say less than they seem to: the type's constant ``whole`` stays unless another
    earns more by a standard error. ``groups``: the known answers about each thing.
    """
    gained: dict[float, list[float]] = {prior: [] for prior in PRIORS}
    for truths in groups:
        for fold in range(FOLDS):
            kept = np.arange(len(truths)) % FOLDS != fold
            own = _best(truths[kept])
            for prior in PRIORS:
                drawn = _between(own, whole, int(kept.sum()), prior)
                gained[prior] += [float(_earned(np.array([drawn]), each)[0]) for each in truths[~kept, None]]
    best = max(PRIORS, key=lambda prior: (sum(gained[prior]), prior))
    more = np.subtract(gained[best], gained[math.inf])
    return best if more.sum() > more.std() * math.sqrt(len(more)) else math.inf


def _keys(query: Query) -> tuple[Key, Key]:
    return (query.type, query.labels), (query.type, ())


def _truths(group: Sequence[Known]) -> Array:
    """Known answers, at most :data:`AT_MOST`, in file order."""
    truths = np.array([float(sample.truth["answer"]) for sample, _ in group])
    return truths[:: -(-len(truths) // AT_MOST)]


def _between(own: float, whole: float, count: int, prior: float) -> float:
    """Relative errors count: the mean is that of logs; whole numbers stay whole."""
    weight = 0.0 if math.isinf(prior) else count / (count + prior)
    if weight in (0.0, 1.0) or min(own, whole) <= 0:
        return own if weight >= 0.5 else whole
    mean = own**weight * whole ** (1 - weight)
    return float(round(mean)) if own.is_integer() and whole.is_integer() else mean


def _best(truths: Array) -> float:
    tried = np.unique(np.quantile(truths, np.linspace(0, 1, TRIED), method="lower"))
    return float(tried[_earned(tried, truths).argmax()])


def _earned(constants: Array, truths: Array) -> Array:
    """``(C,)`` mean relative accuracy that each constant earns on ``truths``, summed."""
    errors = np.abs(constants[:, None] - truths) / np.maximum(np.abs(truths), np.finfo(np.float64).tiny)
    return (errors[:, :, None] <= np.array(TOLERANCES)).mean(2).sum(1)


def _shares(group: Sequence[Known]) -> dict[str, float]:
    """Option text -> its share of right answers where it was shown, Laplace-smoothed."""
    shown: dict[str, int] = defaultdict(int)
    right: dict[str, int] = defaultdict(int)
    for sample, query in group:
        for letter, option in zip(LETTERS, query.options, strict=False):
            shown[option] += 1
            right[option] += letter == sample.truth["answer"]
    return {option: (right[option] + 1) / (count + 2) for option, count in shown.items()}
