"""Does the geometry of this package reproduce VSI-Bench's own answer key? ``rft3d solve --check-official``.

    rft3d solve --check-official --questions VSI-Bench/test.parquet --metadata meta_info/*_meta_info_val.json

Needs the question file (huggingface.co/datasets/nyu-visionx/VSI-Bench) and the scene metadata
(github.com/vision-x-nyu/thinking-in-space, ``data/meta_info``). Expected (:data:`BARS`): size, room size,
relative direction and relative distance exactly, counting in 99 %, absolute distance within 0.2 m in 99 %
(the key measured between points sampled in the boxes, not between their surfaces). The bars are over questions
that the metadata can answer: some name a thing that their scene's metadata lack ("coat rack" in three scenes, 38
questions), and are counted and listed apart. Routes and orders of appearance are not in the metadata.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rft3d.evaluation.solving.places import scene_key
from rft3d.scenes.readers.records import QuestionRecord
from rft3d.tasks.spatial.read import read_question
from rft3d.tasks.spatial.solve import Place, Solved, Unsolved, solve

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
    """One question type: ``reproduced`` of the ``answerable`` questions agree with the key.

    Attributes:
        bar: the share that is needed.
        examples: some that differ: question id, key, ours.
        without_answer: questions about things that the metadata lack, with their reason; not in the bar.
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


def check_official(records: Iterable[QuestionRecord], places: Mapping[str, Place]) -> list[KeyCheck]:
    """Solve every question of :data:`BARS` and compare with its key.

    Raises:
        ValueError: a scene without metadata, or no question of these types at all.
    """
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    examples: dict[str, list[str]] = {kind: [] for kind in BARS}
    lacking: dict[str, list[str]] = {kind: [] for kind in BARS}
    for record in records:
        if (kind := record.question_type) not in BARS:
            continue
        place = places.get(scene_key(record.scene or ""))
        if place is None:
            raise ValueError(
                f"question {record.id!r}: no metadata of scene {record.scene!r}; give all three files"
            )
        where = f"question {record.id} ({record.scene})"
        found = _solved(record, place)
        asked[kind] += 1
        if missing := found.guessed if isinstance(found, Solved) else found.missing:
            lacking[kind].append(f"{where}: the metadata have no {', no '.join(missing)}")
        elif isinstance(found, Solved) and same_answer(kind, found.text, record.answer):
            right[kind] += 1
        else:
            ours = found.text if isinstance(found, Solved) else found.reason
            examples[kind].append(f"{where}: key {record.answer}, here {ours}")
    if not asked:
        raise ValueError("no question of a type that boxes decide; give VSI-Bench's test file")
    return [
        KeyCheck(
            kind, asked[kind], right[kind], bar, tuple(examples[kind][:MOST_EXAMPLES]), tuple(lacking[kind])
        )
        for kind, bar in BARS.items()
        if asked[kind]
    ]


def _solved(record: QuestionRecord, place: Place) -> Solved | Unsolved:
    try:
        query = read_question(record.question_type, record.question, record.options)
    except ValueError as problem:
        return Unsolved(str(problem))
    return solve(query, place)


def same_answer(question_type: str, ours: str, key: str) -> bool:
    """Whether an answer is the key's: exactly, but absolute distances within 0.2 m."""
    if ours.strip().upper() == key.strip().upper():
        return True
    try:
        apart = abs(float(ours) - float(key))
    except ValueError:
        return False
    return apart <= (NEAR_M + 1e-9 if question_type == "object_abs_distance" else 1e-9)
