"""Whether a model's numbers follow the room, or only the words of the question.

Mean relative accuracy can be had with a constant that is never far off. What a constant cannot do is be larger
where the truth is larger, among questions about the *same things*. So the logs of answers and truths lose the mean
of their questions' group (type and named things), and what is left is correlated: 0 for everything that can be
said without looking, however good, 1 for answers that follow the rooms up to a scale. The logs, because the errors
that count are relative. Ours; not given in the paper nor in VSI-Bench.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rft3d.answers import ParseMode, parse_number
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.solving.split import UnreadQuestion, query_of
from rft3d.tasks.spatial import NUMERIC_TYPES
from rft3d.tasks.types import Sample

SAME_THINGS = 4
"""Questions about the same things from which on they are compared: a mean is taken out of every group."""
NO_SPREAD = 1e-9
"""Mean square of what is left of the logs below which all answers are the same; rounding leaves less."""
PREFIX = "follow"


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
    totals: Counter[str] = Counter()
    for sample in samples:
        totals.update(sums_of(sample, by_id.get(sample.id), mode))
    asked = {sample.truth["question_type"] for sample in samples}
    return {kind: found for kind, found in followed_from(totals).items() if kind in asked}


def sums_of(sample: Sample, answer: Prediction | None, mode: ParseMode = "lenient") -> dict[str, float]:
    """What one answer adds to the sums that :func:`followed_from` reads; nothing if it cannot be compared."""
    try:
        query = query_of(sample)
    except UnreadQuestion:
        return {}
    if query.type not in NUMERIC_TYPES or answer is None or answer.truncated:
        return {}
    number, truth = parse_number(answer.text, mode), float(sample.truth["answer"])
    if not isinstance(number, float) or number <= 0 or truth <= 0:
        return {}
    x, y = math.log(number), math.log(truth)
    group = f"{PREFIX}/{query.type}/{'+'.join(sorted(query.labels))}"
    sums = {"n": 1.0, "x": x, "y": y, "xx": x * x, "yy": y * y, "xy": x * y}
    return {f"{group}/{name}": value for name, value in sums.items()}


def followed_from(totals: Mapping[str, float]) -> dict[str, Followed]:
    """Every type with numbers -> :class:`Followed`, from added-up :func:`sums_of`; other keys do not matter."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for key, value in totals.items():
        if key.startswith(f"{PREFIX}/") and key.endswith("/n") and value >= SAME_THINGS:
            kinds[key.split("/")[1]].append(key.removesuffix("n"))
    return {kind: _followed(totals, kinds[kind]) for kind in sorted(NUMERIC_TYPES)}


def _followed(totals: Mapping[str, float], groups: Sequence[str]) -> Followed:
    compared, xx, yy, xy = 0.0, 0.0, 0.0, 0.0
    for group in groups:
        n, x, y = (totals[f"{group}{name}"] for name in ("n", "x", "y"))
        compared += n
        xx += totals[f"{group}xx"] - x * x / n
        yy += totals[f"{group}yy"] - y * y / n
        xy += totals[f"{group}xy"] - x * y / n
    number, free = round(compared), round(compared) - len(groups)
    if not groups or min(xx, yy) / compared < NO_SPREAD:
        return Followed(number)
    r = max(-1.0, min(1.0, xy / math.sqrt(xx * yy)))
    if free < 4 or abs(r) > 1 - 1e-12:
        return Followed(number, r)
    z, half = math.atanh(r), 1.96 / math.sqrt(free - 2)
    return Followed(number, r, math.tanh(z - half), math.tanh(z + half))
