"""Whether a model's numbers follow the room, or only the words of the question.

Mean relative accuracy can be had with a constant that is never far off. What a constant cannot do is be larger
where the truth is larger, among questions about the *same things*. So the logs of answers and truths lose the mean
of their questions' group (type and named things), and what is left is correlated: 0 for everything that can be
said without looking, however good, 1 for answers that follow the rooms up to a scale. The logs, because the errors
that count are relative. Ours; not given in the paper nor in VSI-Bench.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rft3d.answers import ParseMode, parse_number
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.solving.split import UnreadQuestion, query_of
from rft3d.tasks.spatial import NUMERIC_TYPES
from rft3d.tasks.types import Sample

SAME_THINGS = 4
"""Questions about the same things from which on they are compared: a mean is taken out of every group."""
NO_SPREAD = 1e-9
"""Mean square of what is left of the logs below which all answers are the same; rounding leaves less."""


@dataclass(frozen=True)
class Followed:
    """Correlation of answers with truths among questions about the same things.

    Attributes:
        compared: questions that could be (a readable answer above 0, enough others about the same things).
        r: the correlation; None where it has no value: nothing to compare, or the same answer wherever the same
            things are asked about.
        low, high: 95 % interval of ``r`` by Fisher's z with the degrees of freedom that the groups leave, as if
            questions about one scene were independent; None without ``r``, or with fewer than four such degrees.
    """

    compared: int
    r: float | None = None
    low: float | None = None
    high: float | None = None


def follow(
    samples: Sequence[Sample], answers: Sequence[Prediction], mode: ParseMode = "lenient"
) -> dict[str, Followed]:
    """Question type -> :class:`Followed`, for types with numbers that ``samples`` ask.

    ``answers`` belong to ``samples`` by id; a missing, cut-off, unreadable or not positive one is not compared.

    Raises:
        ValueError: a sample is no spatial question (see :func:`query_of`).
    """
    by_id = {answer.id: answer for answer in answers}
    logs: dict[str, dict[tuple[str, ...], list[tuple[float, float]]]] = {}
    for sample in samples:
        try:
            query = query_of(sample)
        except UnreadQuestion:
            continue
        if query.type not in NUMERIC_TYPES:
            continue
        groups = logs.setdefault(query.type, defaultdict(list))
        answer, truth = by_id.get(sample.id), float(sample.truth["answer"])
        number = None if answer is None or answer.truncated else parse_number(answer.text, mode)
        if isinstance(number, float) and min(number, truth) > 0:
            groups[tuple(sorted(query.labels))].append((math.log(number), math.log(truth)))
    return {kind: _followed(list(logs[kind].values())) for kind in sorted(logs)}


def _followed(groups: Sequence[Sequence[tuple[float, float]]]) -> Followed:
    pairs = [np.array(group) for group in groups if len(group) >= SAME_THINGS]
    if not pairs:
        return Followed(0)
    x, y = np.concatenate([group - group.mean(axis=0) for group in pairs]).T
    compared, free = len(x), len(x) - len(pairs)
    if min(x @ x, y @ y) / compared < NO_SPREAD:
        return Followed(compared)
    r = float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1.0, 1.0))
    if free < 4 or abs(r) > 1 - 1e-12:
        return Followed(compared, r)
    z, half = math.atanh(r), 1.96 / math.sqrt(free - 2)
    return Followed(compared, r, math.tanh(z - half), math.tanh(z + half))
