"""The contract of a task: it owns prompt, gold text, parse, score and metric.

A task never sees a model, a model never sees a task: they meet in a :class:`Sample`'s prompt and
in plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rft3d.answers.types import ParseFailure, ParseMode
from rft3d.prompts import Prompt
from rft3d.rewards.score import Score
from rft3d.scenes.types import Scene


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

    id: str
    task: str
    scene: str
    frames: tuple[str, ...]
    prompt: str
    truth: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)

    def turns(self) -> Prompt:
        return Prompt(self.prompt, len(self.frames))


class Task(Protocol):
    """See ``tasks/forkme.py`` for the smallest complete example."""

    @property
    def name(self) -> str:
        """Key of ``TASKS``; a class attribute in practice."""
        ...

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """Samples of this task from ``scene``, deterministic in ``seed``.

        ``frame_refs[i]`` names ``scene.frames[i]`` for the samples file; every sample uses all the
        scene's frames in order unless the task says otherwise. May be empty.
        """
        ...

    def gold(self, sample: Sample) -> str:
        """The text that earns full marks: the SFT target."""
        ...

    def parse(self, text: str, sample: Sample, mode: ParseMode = "lenient") -> Any | ParseFailure:
        """The typed answer in ``text``. Never raises on text."""
        ...

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        """Reward parts of ``text``. Never raises on text; truncated text earns 0 in every part, unread."""
        ...

    def metric(self, samples: Sequence[Sample], scores: Sequence[Score]) -> dict[str, float | None]:
        """The official numbers over a data set: pooled from ``Score.details``. None = undefined."""
        ...
