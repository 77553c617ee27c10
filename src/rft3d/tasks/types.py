"""The contract of a task: it owns prompt, gold text, parse, score and metric.

A task never sees a model, a model never sees a task: they meet in a :class:`Sample`'s prompt and
in plain text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from rft3d.answers import ParseFailure, ParseMode
from rft3d.prompts import Prompt
from rft3d.rewards import Score, format_part, zero_parts
from rft3d.scenes.types import Scene, SceneObject
from rft3d.typed import Text

TRUNCATED = "truncated"
"""Reason of every part of a text that was cut off: it is not read at all."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One question about one scene; JSON-able, so that scoring needs neither scene nor model.

    Attributes:
        id: unique in its file.
        task: key of ``TASKS``.
        scene: scene id.
        frames: paths of the pictures (relative to the samples file), or frame references
            ``"rooms:<seed>/<index>"`` of procedural rooms, in the order of the prompt.
        prompt: the user's text with one ``<image>`` per frame.
        truth: what the task needs to score an answer; plain JSON values only.
        meta: facts for reports (question type, class counts); never read by a score.
    """

    id: Text
    task: Text
    scene: Text
    frames: tuple[Text, ...]
    prompt: Text
    truth: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict[str, Any])

    def turns(self) -> Prompt:
        """The prompt as a policy takes it."""
        return Prompt(self.prompt, len(self.frames))


class Task(Protocol):
    """All that other code uses of a task. See ``tasks/forkme.py`` for the smallest complete example.

    A task that derives from this gets :meth:`score`, :meth:`score_many` and :meth:`metric`; any object with these
    members is one.
    """

    name: ClassVar[str]
    """Key of ``TASKS``."""
    rewards: ClassVar[tuple[str, ...]]
    """Names of the parts that its scores can have."""

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """Samples of this task from ``scene``, deterministic in ``seed``.

        ``frame_refs[i]`` names ``scene.frames[i]`` for the samples file; every sample uses all the
        scene's frames in order unless the task says otherwise. May be empty.
        """
        ...

    def gold(self, sample: Sample) -> str:
        """The text that earns full marks: the SFT target."""
        ...

    def exact(self) -> "Task":
        """This task with gold texts that say where things are, not where rounding puts them; by default itself."""
        return self

    def parse(self, text: str, sample: Sample, mode: ParseMode | None = None) -> Any:
        """The typed answer in ``text`` or a ``ParseFailure``. Never raises on text. ``mode`` None: the task's."""
        ...

    def parts(self) -> tuple[str, ...]:
        """Of ``rewards`` those that its scores have."""
        return self.rewards

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        """Reward parts of ``text``. Never raises on text; truncated text earns 0 in every part, unread."""
        if truncated:
            return Score(zero_parts(self.parts(), TRUNCATED), truncated=True)
        answer = self.parse(text, sample)
        if isinstance(answer, ParseFailure):
            return Score(zero_parts(self.parts(), answer.reason), answer)
        return self.judge(answer, text, sample)

    def judge(self, answer: Any, text: str, sample: Sample) -> Score:
        """The score of a whole text that was read as ``answer``; by default only that it could be read counts."""
        return Score((format_part(None),))

    def score_many(
        self, texts: Sequence[str], samples: Sequence[Sample], truncated: Sequence[bool]
    ) -> list[Score]:
        """:meth:`score` of every text; a task may be faster at all of them together."""
        return [self.score(*each) for each in zip(texts, samples, truncated, strict=True)]

    def pools(self, samples: Sequence[Sample], scores: Sequence[Score]) -> list[dict[str, float]]:
        """What each answer adds to the sums that :meth:`metric_from` reads."""
        ...

    def metric_from(self, totals: Mapping[str, float]) -> dict[str, float | None]:
        """The official numbers of sums over a data set; None = undefined."""
        ...

    def metric(self, samples: Sequence[Sample], scores: Sequence[Score]) -> dict[str, float | None]:
        """The official numbers of a data set, pooled from the scores."""
        return self.metric_from(summed(self.pools(samples, scores)))


def checked_refs(scene: Scene, frame_refs: Sequence[str]) -> tuple[str, ...]:
    """``frame_refs`` as a tuple; ValueError unless there is one for each frame of ``scene``."""
    if len(frame_refs) != len(scene.frames):
        raise ValueError(
            f"scene {scene.id!r} has {len(scene.frames)} frames but frame_refs has {len(frame_refs)} "
            "entries; give one reference a frame"
        )
    return tuple(frame_refs)


def first_seen(scene: Scene, min_visible: float) -> list[SceneObject]:
    """Objects of which some frame shows at least ``min_visible``: by first such frame, then by id."""
    first: dict[int, int] = {}
    for index, frame in enumerate(scene.frames):
        for identity, share in frame.visible.items():
            if share >= min_visible:
                first.setdefault(identity, index)
    things = [thing for thing in scene.objects if thing.id in first]
    return sorted(things, key=lambda thing: (first[thing.id], thing.id))


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    values = list(values)
    return sum(values) / len(values) if values else None


def summed(pools: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Key by key sums: the pools of many samples as one."""
    totals: dict[str, float] = {}
    for pool in pools:
        for key, value in pool.items():
            totals[key] = totals.get(key, 0.0) + value
    return totals


def reward_parts(
    task: str, reward: str, presets: Mapping[str, tuple[str, ...]], known: Sequence[str]
) -> tuple[str, ...]:
    """The parts that an option ``reward`` names: a preset, or names of parts joined by ``+`` (format is added):
    ``f1@0.25+hungarian`` is ``("format", "f1@0.25", "hungarian")``. ValueError: a name that is neither."""
    if reward in presets:
        return presets[reward]
    names = [name for name in reward.split("+") if name != "format"]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"{task}.reward: {', '.join(map(repr, unknown))} is neither one of {', '.join(presets)} nor of "
            f"the parts {', '.join(known)}, which can be joined by '+'"
        )
    return ("format", *names)
