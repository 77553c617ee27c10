"""The score of an answer: named parts with a value and a reason; rewards of the format and of letters and numbers.

The paper has two R_format, in {0, 1}: JSON that holds a valid box (perception), and the think/answer structure
(reasoning). Both are here; a task picks one. Numbers earn VSI-Bench's mean relative accuracy.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from rft3d.answers import ParseFailure, Sections
from rft3d.rewards.comparison import Evidence
from rft3d.runfolder import LoggedCompletion, LoggedPart

_Kind = TypeVar("_Kind", bound=Evidence)


@dataclass(frozen=True, slots=True)
class Part:
    """One named component of a score, e.g. ``Part("f1@0.25", 0.67, "4 of 6 matched")``.

    Attributes:
        name: stable key, used in ``metrics.jsonl`` and reports.
        value: at most 1; at least 0 for every reward of this project but ``hungarian``.
        reason: one short sentence a person can check.
        weight: its factor in the total.
    """

    name: str
    value: float
    reason: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """The parts of one answer's reward; ``total`` is the weighted sum.

    ``failure`` says why the text could not be parsed (None when it could); ``evidence`` is what the parts were
    computed from: the metric is pooled from it, credit per box is made from a :class:`Comparison`.
    """

    parts: tuple[Part, ...]
    failure: ParseFailure | None = None
    truncated: bool = False
    evidence: Evidence | None = field(default=None, compare=False, repr=False)

    @property
    def scored(self) -> bool:
        """Whether there are parts; an answer that earned 0 is scored, one without parts is not."""
        return bool(self.parts)

    @property
    def maximum(self) -> float:
        """The total of a perfect answer, so that 1.8 can be read as "1.8 of 3"."""
        return float(sum(part.weight for part in self.parts))

    @property
    def total(self) -> float:
        return float(sum(part.weight * part.value for part in self.parts))

    def value(self, name: str) -> float:
        """The unweighted value of part ``name``; KeyError when the score has no such part."""
        for part in self.parts:
            if part.name == name:
                return part.value
        raise KeyError(f"no part {name!r} in {[part.name for part in self.parts]}")

    def evidence_of(self, kind: type[_Kind]) -> _Kind:
        """The evidence, which must be of this kind; TypeError for another task's score."""
        if isinstance(self.evidence, kind):
            return self.evidence
        raise TypeError(f"a {kind.__name__} is needed, but the score holds {type(self.evidence).__name__}")


def logged(
    score: Score, text: str, tokens: int | None = None, advantage: float | None = None
) -> LoggedCompletion:
    """``text`` and its ``score`` as run folders keep them, rounded to 4 decimals."""
    parts = tuple(LoggedPart(p.name, round(p.value, 4), p.weight, p.reason) for p in score.parts)
    said = f"{score.failure.reason} {score.failure.excerpt}".strip() if score.failure else None
    return LoggedCompletion(text, tokens, score.truncated, parts, round(score.total, 4), advantage, said)


def format_part(failure: ParseFailure | None) -> Part:
    """1 when the answer could be parsed (``failure`` is None), else 0 with the parser's reason."""
    if failure is None:
        return Part("format", 1.0, "the answer can be read")
    return Part("format", 0.0, failure.reason)


def think_format_part(sections: Sections) -> Part:
    """1 for exactly ``<think>…</think><answer>…</answer>`` with something in the answer, else 0."""
    if not sections.well_formed:
        return Part("think_format", 0.0, "not exactly <think>…</think><answer>…</answer>")
    if not sections.answer.strip():
        return Part("think_format", 0.0, "the answer is empty")
    return Part("think_format", 1.0, "one thought, then one answer")


def zero_parts(names: Iterable[str], reason: str) -> tuple[Part, ...]:
    """A part of value 0 for each name: what an answer earns that could not be read."""
    return tuple(Part(name, 0.0, reason) for name in names)


# ``1 - theta`` in floating point, from NumPy's linspace as every harness has it: the last is
# 0.050000000000000044, so an answer that is 5 % off (1.9 for 2) just passes the inclusive comparison.
TOLERANCES: tuple[float, ...] = tuple(float(1 - theta) for theta in np.linspace(0.5, 0.95, 10))


def exact_match(answer: str, truth: str) -> Part:
    """1 when the two texts are equal up to case and surrounding space, else 0."""
    equal = answer.strip().casefold() == truth.strip().casefold()
    return Part("exact_match", float(equal), f"{answer!r} {'is' if equal else 'is not'} {truth!r}")


def mean_relative_accuracy(answer: int | float, truth: int | float) -> Part:
    """MRA: how many of ten thresholds theta = 0.5, 0.55 … 0.95 an answer passes, as a share.

    It passes theta when ``|answer - truth| / |truth| <= 1 - theta`` (the papers print ``<``, the harnesses and
    published numbers have ``<=``). A truth of 0 is defined as all or nothing: 1 for the answer 0. A NaN or infinite
    answer earns 0; ValueError when ``truth`` itself is not finite.

    Examples:
        >>> mean_relative_accuracy(9, 10).reason
        '9 for 10, 10.0% off: 9 of 10 thresholds'
    """
    if not math.isfinite(truth):
        raise ValueError(f"mean_relative_accuracy: truth must be finite, got {truth}")
    if not math.isfinite(answer):
        return Part("mra", 0.0, f"{answer} is not a finite number")
    if truth == 0:
        return Part("mra", float(answer == 0), f"{answer:g} for 0")
    error = abs(answer - truth) / abs(truth)
    passed = sum(error <= bound for bound in TOLERANCES)
    return Part("mra", passed / 10, f"{answer:g} for {truth:g}, {error:.1%} off: {passed} of 10 thresholds")
