"""Answers from boxes to a samples file, a model's failures split into "didn't see" and "couldn't reason", and
whether boxes reproduce VSI-Bench's own key.

A spatial question can fail in two places. *Perception*: the boxes that a model gives do not imply the right
answer. *Reasoning*: they do, and the model answers wrongly all the same. With the model's own boxes and its
own answers each question falls into one of four:

=====================  ==========================  =========================================
                       boxes imply the answer      they don't
=====================  ==========================  =========================================
model answers rightly  saw and reasoned            right by other means (or by luck)
model answers wrongly  **couldn't reason**         **didn't see** (a label missing, or boxes off)
=====================  ==========================  =========================================

A numeric answer counts as right from a mean relative accuracy of 0.5 (20 to 25 % off at most). Questions that
boxes do not decide (no floor area, an order of appearance without cameras) are counted apart.

``rft3d solve --check-official --questions VSI-Bench/test.parquet --metadata meta_info/*_meta_info_val.json`` needs
the question file (huggingface.co/datasets/nyu-visionx/VSI-Bench) and the scene metadata
(github.com/vision-x-nyu/thinking-in-space, ``data/meta_info``). Expected (:data:`BARS`): size, room size, relative
direction and relative distance exactly, counting in 99 %, absolute distance within 0.2 m in 99 % (the key measured
between points sampled in the boxes, not between their surfaces). The bars are over questions that the metadata can
answer: some name a thing that their scene's metadata lack ("coat rack" in three scenes, 38 questions), and are
counted and listed apart. Routes and orders of appearance are not in the metadata.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rft3d.evaluation.records import Prediction, agree
from rft3d.evaluation.solving.places import scene_key
from rft3d.tasks.spatial import NUMERIC_TYPES, Spatial
from rft3d.tasks.spatial.solve import Place, Solved, Unsolved, solve
from rft3d.tasks.spatial.view import Query, read_question
from rft3d.tasks.types import Sample

RIGHT = 0.5
Verdict = Literal["both", "other_means", "could_not_reason", "label_missing", "boxes_off", "undecided"]
VERDICTS: dict[Verdict, str] = {
    "both": "saw and reasoned",
    "other_means": "right although the boxes are not",
    "could_not_reason": "couldn't reason: the boxes imply the right answer",
    "label_missing": "didn't see: a named thing has no box",
    "boxes_off": "didn't see: the boxes imply another answer",
    "undecided": "boxes don't decide this question",
}


class UnreadQuestion(ValueError):
    """A question whose wording is not known."""


@dataclass(frozen=True)
class SolvedSample:
    """One question and its answer from the boxes; ``accuracy`` is what that answer scores (0 without one)."""

    sample: Sample
    query: Query
    found: Solved | Unsolved
    accuracy: float


def query_of(sample: Sample) -> Query:
    """What a spatial sample asks, from its prompt; :class:`UnreadQuestion` when it asks in other words."""
    kind, options = sample.truth.get("question_type"), sample.truth.get("options", ())
    if kind is None:
        raise ValueError(f"sample {sample.id!r}: truth has no question_type; is it a spatial samples file?")
    if kind not in NUMERIC_TYPES and not options:
        raise ValueError(
            f"sample {sample.id!r}: truth has no options, which a {kind!r} question is answered with"
        )
    try:
        return read_question(kind, sample.prompt, options)
    except ValueError as error:
        raise UnreadQuestion(f"sample {sample.id!r}: {error}") from None


def solve_samples(samples: Sequence[Sample], places: Mapping[str, Place]) -> list[SolvedSample]:
    """Every question answered from the boxes of its scene. ValueError: no boxes of some scene."""
    missing = sorted({sample.scene for sample in samples if scene_key(sample.scene) not in places})
    if missing:
        raise ValueError(
            f"no boxes of {len(missing)} scenes such as {missing[0]!r}; known are "
            f"{len(places)} scenes such as {next(iter(places), 'none')!r}"
        )
    return solve_each(samples, lambda scene, query: solve(query, places[scene_key(scene)]))


def solve_each(
    samples: Iterable[Sample], answer: Callable[[str, Query], Solved | Unsolved]
) -> list[SolvedSample]:
    """Every question with its ``answer(scene, query)``, which does not see the truth. A question whose wording is
    not known is :class:`Unsolved`, with the reason."""
    task = Spatial(mode="strict")
    solved = []
    for sample in samples:
        try:
            query = query_of(sample)
        except UnreadQuestion as problem:
            query, found = Query(sample.truth["question_type"], ()), Unsolved(str(problem))
        else:
            found = answer(sample.scene, query)
        accuracy = task.score(found.text, sample).value("accuracy") if isinstance(found, Solved) else 0.0
        solved.append(SolvedSample(sample, query, found, accuracy))
    return solved


def as_predictions(solved: Iterable[SolvedSample]) -> list[Prediction]:
    """The answers as a predictions file holds them; a question without an answer has the text ""."""
    return [
        Prediction(each.sample.id, each.found.text if isinstance(each.found, Solved) else "")
        for each in solved
    ]


def failure_of(each: SolvedSample, answered: float) -> Verdict:
    """Where a question falls, given the accuracy that the model's own answer has."""
    if isinstance(each.found, Unsolved) and not each.found.missing:
        return "undecided"
    boxes_right, right = each.accuracy >= RIGHT, answered >= RIGHT
    if right:
        return "both" if boxes_right else "other_means"
    if boxes_right:
        return "could_not_reason"
    missing = each.found.missing if isinstance(each.found, Unsolved) else each.found.guessed
    return "label_missing" if missing else "boxes_off"


@dataclass(frozen=True)
class SolvedRow:
    """Questions of a type: the shares that were ``solved`` and that a model's ``own`` answers have right (None:
    without a model), and how many fall under each of :data:`VERDICTS` (empty where nothing was looked at)."""

    questions: int
    solved: float
    own: float | None
    verdicts: Mapping[str, int]


def split_failures(solved: Sequence[SolvedSample], answers: Sequence[Prediction]) -> dict[str, SolvedRow]:
    """A row a question type, and ``"all"`` last; ``answers``: the model's own, a missing one counts as wrong."""
    task = Spatial(mode="lenient")
    by_id = {prediction.id: prediction for prediction in answers if not prediction.truncated}
    fates: dict[str, list[tuple[float, float, Verdict]]] = {}
    for each in solved:
        prediction = by_id.get(each.sample.id)
        right = 0.0 if prediction is None else task.score(prediction.text, each.sample).value("accuracy")
        fates.setdefault(each.query.type, []).append((each.accuracy, right, failure_of(each, right)))
    fates["all"] = [fate for group in fates.values() for fate in group]
    return {kind: _row(group) for kind, group in fates.items() if group}


def _row(fates: Sequence[tuple[float, float, Verdict]]) -> SolvedRow:
    solved, own, verdicts = zip(*fates, strict=True)
    counts = {each: verdicts.count(each) for each in VERDICTS}
    return SolvedRow(len(fates), sum(solved) / len(fates), sum(own) / len(fates), counts)


BARS: dict[str, float] = {
    "object_size_estimation": 1.0,
    "room_size_estimation": 1.0,
    "object_rel_direction_easy": 1.0,
    "object_rel_direction_medium": 1.0,
    "object_rel_direction_hard": 1.0,
    "object_rel_distance": 1.0,
    "object_counting": 0.99,
    "object_abs_distance": 0.99,
}
"""Question type -> share of its answerable questions' key that must come out."""
NEAR_M = 0.2
MOST_EXAMPLES = 5


@dataclass(frozen=True)
class KeyCheck:
    """One question type: ``reproduced`` of the ``answerable`` questions agree with the key, a share of ``bar`` is
    needed.

    ``examples``: some that differ, with key and ours. ``without_answer``: questions about things that the metadata
    lack; not in the bar.
    """

    type: str
    questions: int
    reproduced: int
    bar: float
    examples: tuple[str, ...]
    without_answer: tuple[str, ...] = ()

    @property
    def answerable(self) -> int:
        return self.questions - len(self.without_answer)

    @property
    def share(self) -> float:
        return self.reproduced / self.answerable if self.answerable else 0.0

    @property
    def passed(self) -> bool:
        return self.answerable > 0 and self.share >= self.bar


def check_official(samples: Sequence[Sample], places: Mapping[str, Place]) -> list[KeyCheck]:
    """Solve every question of :data:`BARS` and compare with its key."""
    asked = [sample for sample in samples if sample.truth["question_type"] in BARS]
    if not asked:
        raise ValueError("no question of a type that boxes decide; give VSI-Bench's test file")
    right: Counter[str] = Counter()
    examples: dict[str, list[str]] = {kind: [] for kind in BARS}
    lacking: dict[str, list[str]] = {kind: [] for kind in BARS}
    for each in solve_samples(asked, places):
        sample, found, kind = each.sample, each.found, each.sample.truth["question_type"]
        where, key = f"question {sample.id.rsplit(':', 1)[-1]} ({sample.scene})", str(sample.truth["answer"])
        ours = found.text if isinstance(found, Solved) else found.reason
        if missing := found.guessed if isinstance(found, Solved) else found.missing:
            lacking[kind].append(f"{where}: the metadata have no {', no '.join(missing)}")
        elif isinstance(found, Solved) and same_answer(kind, ours, key):
            right[kind] += 1
        else:
            examples[kind].append(f"{where}: key {key}, here {ours}")
    counts = Counter(sample.truth["question_type"] for sample in asked)
    return [
        KeyCheck(
            kind, counts[kind], right[kind], bar, tuple(examples[kind][:MOST_EXAMPLES]), tuple(lacking[kind])
        )
        for kind, bar in BARS.items()
        if counts[kind]
    ]


def same_answer(question_type: str, ours: str, key: str) -> bool:
    """Whether an answer is the key's: exactly, but absolute distances within 0.2 m."""
    return agree(ours, key, (NEAR_M if question_type == "object_abs_distance" else 0.0) + 1e-9)
