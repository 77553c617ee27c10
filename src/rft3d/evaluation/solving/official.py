"""Does the geometry of this package reproduce VSI-Bench's own answer key? ``rft3d solve --check-official``.

    rft3d solve --check-official --questions VSI-Bench/test.parquet --metadata meta_info/*_meta_info_val.json

Needs the question file (huggingface.co/datasets/nyu-visionx/VSI-Bench) and the scene metadata
(github.com/vision-x-nyu/thinking-in-space, ``data/meta_info``). Expected (:data:`BARS`): size, room size,
relative direction and relative distance exactly, counting in 99 %, absolute distance within 0.2 m in 99 %
(the key measured between points sampled in the boxes, not between their surfaces). The bars are over questions
that the metadata can answer: some name a thing that their scene's metadata lack ("coat rack" in three scenes, 38
questions), and are counted and listed apart. Routes and orders of appearance are not in the metadata.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rft3d.evaluation.records import agree
from rft3d.evaluation.solving.split import solve_samples
from rft3d.tasks.spatial.solve import Place, Solved
from rft3d.tasks.types import Sample

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
