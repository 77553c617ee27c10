"""Training questions about annotated scenes: ``rft3d questions``.

All eight kinds of VSI-Bench in the official wording, from any reader of ``SOURCES``. What is asked is
unambiguous (:class:`rft3d.tasks.spatial.Limits`: near-ties, angles near a boundary and short distances are
left out); the right option stands at every letter equally often, and left is right as often as right is, or as
often as in VSI-Bench (:class:`Balance`). Scenes of an exclude list are skipped, all scans of
their room with them. About a source without pictures (VSI-Bench's scene metadata) everything is asked but the order
of appearance, and the samples name no frames.

Two kinds need more than boxes. A route knows of furniture and, where the floor polygon is known, of walls. An
order of appearance needs recorded visibility down to the first glimpse; :data:`NEEDS` says so in the summary.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Literal

from rft3d.evaluation.records import with_cameras
from rft3d.evaluation.solving.places import scene_key
from rft3d.scenes.sources import frame_refs
from rft3d.scenes.types import Scene
from rft3d.scenes.windows import select_frames, spread_frames
from rft3d.settings import Checked, Count, Natural
from rft3d.tasks.samples import read_samples, write_samples
from rft3d.tasks.spatial import QUESTION_TYPES, Limits, Spatial, View
from rft3d.tasks.spatial.questions import offer
from rft3d.tasks.spatial.view import Question
from rft3d.tasks.types import Sample

LETTERS = "ABCD"
CLOSED = ("left", "right", "back", "front-left", "front-right", "back-left", "back-right",
          "Turn Back", "Turn Left", "Turn Right")  # fmt: skip
"""Answers that are words, not things of the room: these can be balanced."""
OFFICIAL: dict[str, dict[str, float]] = {
    "object_rel_direction_easy": {"left": 111, "right": 106},
    "object_rel_direction_medium": {"left": 188, "right": 172, "back": 18},
    "object_rel_direction_hard": {"front-left": 160, "front-right": 152, "back-right": 32, "back-left": 29},
    "route_planning": {"Turn Right": 158, "Turn Left": 140, "Turn Back": 57},
}
"""How often each word is right in VSI-Bench's key (of a route: each turn)."""


@dataclass
class Balance:
    """Counts of what was right so far, so that every letter is as often right as any other, and every word.

    A set in which "left" is right in 60 % of the questions teaches the frequencies instead of the room. Among the
    questions that a scene offers those are taken whose answer was rarest. ``Balance(OFFICIAL)`` draws VSI-Bench's
    mix instead (84 % of its hard directions are "front ..."). The same for the same scenes in the same order.

    ``shares``: question type -> answer -> how often it shall be right, up to a factor; without: all alike.
    ``letters`` and ``words``: how often each was right, by question type (and number of options); of a route each
    turn counts.
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


NEEDS = {
    "route_planning": "routes know only the walls of a floor polygon and the furniture that is labelled",
    "obj_appearance_order": "orders of appearance are as exact as the recorded visibility",
}


@dataclass(frozen=True)
class QuestionConfig(Checked):
    """What is asked.

    Attributes:
        types: question types.
        per_type: at most so many questions of a type and scene.
        frames: of every question, spread over the scene's (official: 32); 0: all.
        answers: ``think``: with a thought worked out from the geometry.
        turns: most turns of a route.
        seed: which questions are drawn.
        distribution: ``official``: words are right as often as in VSI-Bench (84 % of hard directions "front ...").
    """

    types: tuple[str, ...] = QUESTION_TYPES
    per_type: Count = 4
    frames: Natural = 32
    answers: Literal["direct", "think"] = "direct"
    turns: Count = 3
    seed: int = 0
    distribution: Literal["balanced", "official"] = "balanced"

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [kind for kind in self.types if kind not in QUESTION_TYPES]
        if unknown:
            raise ValueError(f"unknown question types {unknown}; use some of {QUESTION_TYPES}")


@dataclass
class Made:
    """What became of the scenes: filled while the questions are written."""

    scenes: int = 0
    excluded: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    """scenes about which nothing unambiguous can be asked"""
    by_type: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    """of a question file: why a record was left out -> how many"""
    balance: Balance = field(default_factory=Balance)


def write_questions(
    scenes: Iterable[Scene],
    out: str | Path,
    config: QuestionConfig = QuestionConfig(),
    excluded: Callable[[str], bool] | None = None,
) -> Made:
    """Write a spatial samples file about ``scenes``, read one at a time, and say what became of them.

    Frames are named relative to the file's folder (or as ``rooms:<seed>/<index>``). ``excluded``: scene ids that
    must not be asked about, e.g. :func:`exclude_list`. ValueError: two scenes of one id, a frame that is not a
    file, or thoughts about a scene without frames.
    """
    made = Made(balance=Balance(OFFICIAL if config.distribution == "official" else {}))
    write_samples(out, _samples(scenes, Path(out), config, excluded, made))
    return made


def exclude_list(
    paths: Sequence[str | Path], room_of: Callable[[str], str] = lambda scan: scan
) -> Callable[[str], bool]:
    """Whether a scene is on one of the lists: text files with a scene id a line (``#`` starts a comment), or
    samples files, whose scenes count. Scans with the same ``room_of`` are one room and excluded together."""
    rooms: set[str] = set()
    for path in map(Path, paths):
        rooms |= {room_of(scene_key(scene)) for scene in _listed(path)}
    return lambda scene: room_of(scene_key(scene)) in rooms


def _listed(path: Path) -> Iterator[str]:
    if path.suffix == ".jsonl":
        return (sample.scene for sample in read_samples(path))
    return filter(None, (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()))


def _samples(
    scenes: Iterable[Scene],
    out: Path,
    config: QuestionConfig,
    excluded: Callable[[str], bool] | None,
    made: Made,
) -> Iterator[Sample]:
    limits = Limits(turns=config.turns)
    task = Spatial(config.answers, types=config.types, max_per_type=config.per_type, limits=limits)
    for scene in scenes:
        if excluded is not None and excluded(scene.id):
            made.excluded.append(scene.id)
            continue
        if config.answers == "think" and not scene.frames:
            raise ValueError(
                f"scene {scene.id!r} has no frames, and thoughts begin at the first camera; ask without, "
                "or let rft3d data prepare vsi --answers think work thoughts out from metadata"
            )
        made.scenes += 1
        cut = scene
        if config.frames and len(scene.frames) > config.frames:
            cut = select_frames(scene, spread_frames(scene, config.frames))
        refs = frame_refs(scene, out.parent.resolve())
        by_name = {frame.name: ref for frame, ref in zip(scene.frames, refs, strict=True)}
        own = tuple(by_name[frame.name] for frame in cut.frames)
        view, before = View(cut, limits), made.by_type.total()
        for kind in config.types:
            rng = Random(f"{config.seed}:{scene.id}:{kind}")
            chosen = made.balance.choose(offer(view, kind, rng), config.per_type)
            for index, question in enumerate(chosen):
                made.by_type[kind] += 1
                yield with_cameras(task.sample(view, own, question, index), cut, own)
        if made.by_type.total() == before:
            made.silent.append(scene.id)
