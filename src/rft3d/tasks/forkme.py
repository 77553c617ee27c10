"""The smallest complete task, to copy: in how many frames can a chair be seen?

Make it yours in four steps: copy this file, change ``name``, ``samples`` and ``gold``; read the answer with a
parser of :mod:`rft3d.answers` (never by hand); score it with functions of :mod:`rft3d.rewards`; add a line to
``TASKS`` in ``registry.py``. The contract tests pick it up from there. One real sample::

    Sample(
        id="rooms-1:forkme:0", task="forkme", scene="rooms-1",
        frames=("rooms:1/0", "rooms:1/1", "rooms:1/2", "rooms:1/3"),
        prompt="<image><image><image><image>In how many of these frames can a chair be seen? Answer ...",
        truth={"answer": 2},
    )
    gold: "2"
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rft3d.answers import ParseFailure, ParseMode, parse_number
from rft3d.prompts import IMAGE
from rft3d.rewards import Part, Score, format_part
from rft3d.scenes.types import Scene
from rft3d.tasks.types import Sample, Task


@dataclass(frozen=True)
class CountFrames(Task):
    """Config of the task: whatever a run may want to change, with a default and a sentence.

    Attributes:
        label: what to look for.
        min_visible: a frame shows an object when it shows at least this share of it.
    """

    label: str = "chair"
    min_visible: float = 0.1

    name: ClassVar[str] = "forkme"
    rewards: ClassVar[tuple[str, ...]] = ("format", "exact")

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """One sample; none where no frame shows the label."""
        ids = {thing.id for thing in scene.objects if thing.label == self.label}
        shown = sum(any(frame.visible.get(i, 0.0) >= self.min_visible for i in ids) for frame in scene.frames)
        question = f"In how many of these frames can a {self.label} be seen? Answer with a number."
        sample = Sample(
            id=f"{scene.id}:{self.name}:0",
            task=self.name,
            scene=scene.id,
            frames=tuple(frame_refs),
            prompt=IMAGE * len(frame_refs) + question,
            truth={"answer": shown},
        )
        return [sample] if shown else []

    def gold(self, sample: Sample) -> str:
        return str(sample.truth["answer"])

    def parse(self, text: str, sample: Sample, mode: ParseMode | None = None) -> float | ParseFailure:
        return parse_number(text, mode or "lenient")

    def judge(self, answer: float, text: str, sample: Sample) -> Score:
        """Parts ``format`` and ``exact``; what is cut off or can't be read never comes here."""
        truth = sample.truth["answer"]
        return Score((format_part(None), Part("exact", float(answer == truth), f"{answer:g} for {truth}")))

    def pools(self, samples: Sequence[Sample], scores: Sequence[Score]) -> list[dict[str, float]]:
        return [{"samples": 1.0, "right": score.value("exact")} for score in scores]

    def metric_from(self, totals: Mapping[str, float]) -> dict[str, float | None]:
        """The share of right answers; None of nothing."""
        return {"accuracy": totals["right"] / totals["samples"] if totals else None}
