"""Spatial reasoning: questions about a room as in VSI-Bench, answered directly or after a thought.

Prompt layout is that of VSI-Bench in lmms-eval and VG-LLM (``docs/papers.md``). One real sample, room 1::

    prompt   <image><image><image><image>These are frames of a video.
             If I am standing by the chair and facing the pillow, is the table to my left, right, or back?
             An object is to my back if I would have to turn at least 135 degrees in order to face it.
             Options:
             A. right
             B. back
             C. left
             Answer with the option's letter from the given choices directly.
    truth    {"question_type": "object_rel_direction_medium", "answer": "A",
              "options": ["A. right", "B. back", "C. left"]}
    gold     A

and with ``answers="think"``: ``<think>From the first camera (x right, y ahead, z up, in metres): chair (1.61,
1.00), pillow (-0.14, 2.00), table (1.45, 1.70). Bearings from the chair (0 ahead, left counts up): the pillow 60,
the table 13. Facing the pillow, I turn 47 degrees to the right to face the table. So it is right, option
A.</think><answer>A</answer>``.

The prompt for thoughts is **not given in the paper** (nor is its thought data public): ``THINK`` replaces the line
that asks for a direct answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar, Literal

from rft3d.answers import ParseFailure, ParseMode, render_thought, split_sections
from rft3d.answers.scalars import parse_number, parse_option, render_number
from rft3d.prompts import IMAGE
from rft3d.rewards import Evidence, Part, Score, exact_match, format_part, mean_relative_accuracy, zero_parts
from rft3d.rewards.score import think_format_part
from rft3d.scenes.types import Scene
from rft3d.settings import Checked
from rft3d.tasks.spatial.questions import NUMERIC_TYPES, QUESTION_TYPES, ask
from rft3d.tasks.spatial.thoughts import think
from rft3d.tasks.spatial.view import Limits, Question, View
from rft3d.tasks.types import TRUNCATED, Sample, Task, checked_refs, mean

BEFORE = "These are frames of a video."
AFTER_OPTIONS = "Answer with the option's letter from the given choices directly."
AFTER_NUMBER = "Please answer the question using a single word or phrase."
THINK = (
    "Work it out step by step inside <think> and </think>, "
    "then give only {what} inside <answer> and </answer>."
)
_MODES: tuple[ParseMode, ...] = ("strict", "lenient")
_DIRECTIONS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))


def spatial_prompt(
    frames: int, question: str, options: Sequence[str], think: bool = False, number: str = AFTER_NUMBER
) -> str:
    """A question as VSI-Bench lays it out; ``options`` with their letters, ``number``: what asks for a number."""
    if think:
        after = THINK.format(what="the option's letter" if options else "the number")
    else:
        after = AFTER_OPTIONS if options else number
    lines = [BEFORE, question, *(["Options:", *options] if options else []), after]
    return IMAGE * frames + "\n".join(lines)


@dataclass(frozen=True)
class Readings(Evidence):
    """Accuracy of one answer as each mode reads it; None where that mode reads nothing."""

    values: Mapping[str, float | None]


@dataclass(frozen=True)
class Spatial(Checked, Task):
    """The spatial reasoning task.

    Attributes:
        answers: ``direct``: the letter or number alone; ``think``: a thought worked out from the
            scene's geometry before it, ``<think>…</think><answer>…</answer>``.
        types: question types to ask (``QUESTION_TYPES``).
        max_per_type: at most so many questions of a type and scene.
        limits: when a question is unambiguous enough to be asked.
        mode: how the answer is read. ``lenient``: the first letter or number in the sentence; ``strict``:
            the text up to the first space (VSI-Bench's harness). Both are counted; this one scores.
        decimals: of the metres in gold thoughts; 2 for centimetres, 1 is easier to learn for small models.
    """

    answers: Literal["direct", "think"] = "direct"
    types: tuple[str, ...] = QUESTION_TYPES
    max_per_type: int = 2
    limits: Limits = field(default_factory=Limits)
    mode: ParseMode = "lenient"
    decimals: int = 2

    name: ClassVar[str] = "spatial"
    rewards: ClassVar[tuple[str, ...]] = ("format", "accuracy")

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [kind for kind in self.types if kind not in QUESTION_TYPES]
        if unknown:
            raise ValueError(f"Spatial.types has unknown {unknown}; use some of {QUESTION_TYPES}")

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """Up to ``max_per_type`` unambiguous questions of each type, drawn by ``seed``."""
        refs = checked_refs(scene, frame_refs)
        view = View(scene, self.limits)
        made: list[Sample] = []
        for kind in self.types:
            # a generator of its own per type: leaving a type out doesn't change the others' questions
            rng = Random(f"{seed}:{scene.id}:{kind}")
            for index, question in enumerate(ask(view, kind, rng, self.max_per_type)):
                made.append(self.sample(view, refs, question, index))
        return made

    def sample(self, view: View, refs: tuple[str, ...], question: Question, index: int) -> Sample:
        """``question`` about ``view`` as this task's sample; ``index`` tells it from others of its type."""
        options = [f"{letter}. {text}" for letter, text in zip("ABCD", question.options, strict=False)]
        truth: dict[str, Any] = {"question_type": question.type, "answer": question.answer}
        if options:
            truth["answer"] = "ABCD"[question.options.index(str(question.answer))]
            truth["options"] = options
        if self.answers == "think":
            truth["thought"] = think(question, view, self.decimals)
        view_name = self.name if self.answers == "direct" else f"{self.name}-{self.answers}"
        name = f"{view.scene.id}:{view_name}:{question.type}:{index}"
        prompt = spatial_prompt(len(refs), question.text, options, self.answers == "think")
        meta = {"question_type": question.type, "labels": list(question.labels)}
        return Sample(name, self.name, view.scene.id, refs, prompt, truth, meta)

    def gold(self, sample: Sample) -> str:
        """The letter or number; behind a thought when the sample has one."""
        answer = sample.truth["answer"]
        text = answer if isinstance(answer, str) else render_number(answer)
        thought = sample.truth.get("thought")
        return text if thought is None else render_thought(thought, text)

    def parse(self, text: str, sample: Sample, mode: ParseMode | None = None) -> str | float | ParseFailure:
        """Letter or number in ``text`` (inside ``<answer>``, if any). ``mode`` None: the task's."""
        mode = mode or self.mode
        if sample.truth["question_type"] in NUMERIC_TYPES:
            return parse_number(text, mode)
        return parse_option(text, "ABCD"[: len(sample.truth["options"])], mode)

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        """Parts ``format`` and ``accuracy`` (exact match of the letter, or MRA), weight 1 each.

        Format: the strict reading succeeds and the text is laid out as this sample's prompt asks: tagged
        when the sample has a thought, bare when not. Truncated or unreadable text earns 0.
        """
        if truncated:
            unread = Readings(dict.fromkeys(_MODES))
            return Score(zero_parts(self.rewards, TRUNCATED), truncated=True, evidence=unread)
        readings = {mode: self.parse(text, sample, mode) for mode in _MODES}
        read = {mode: r for mode, r in readings.items() if not isinstance(r, ParseFailure)}
        parts = {mode: _accuracy(r, sample) for mode, r in read.items()}
        evidence = Readings({mode: parts[mode].value if mode in parts else None for mode in _MODES})
        reading = readings[self.mode]
        if isinstance(reading, ParseFailure):
            return Score(zero_parts(self.rewards, reading.reason), reading, evidence=evidence)
        return Score((_format(text, sample, readings["strict"]), parts[self.mode]), evidence=evidence)

    def pools(self, samples: Sequence[Sample], scores: Sequence[Score]) -> list[dict[str, float]]:
        """Per answer: :func:`pool_readings`."""
        read = [{"accuracy": s.value("accuracy"), **s.evidence_of(Readings).values} for s in scores]
        return [pool_readings(s.truth["question_type"], r) for s, r in zip(samples, read, strict=True)]

    def metric_from(self, totals: Mapping[str, float]) -> dict[str, float | None]:
        """VSI-Bench's averages of accuracy and MRA.

        ``macro8``: the mean of eight tasks' means, the levels of relative direction averaged first (over
        what is present: ``macro8/tasks`` says how many of the eight). ``micro``: mean over questions.
        ``accuracy/<type>``, ``count/<type>``. ``macro8/strict`` etc.: the same answers by each reading;
        ``count/strict_read``: how many that reading could read. None where there is no sample.
        """
        result: dict[str, float | None] = {}
        counts = {kind: totals.get(f"count:{kind}", 0.0) for kind in QUESTION_TYPES}
        for suffix, key in (("", "accuracy"), ("/strict", "strict"), ("/lenient", "lenient")):
            sums = {kind: totals.get(f"{key}:{kind}", 0.0) for kind in QUESTION_TYPES}
            means = {kind: sums[kind] / count if count else None for kind, count in counts.items()}
            result[f"macro8{suffix}"], tasks = macro8(means)
            count = sum(counts.values())
            result[f"micro{suffix}"] = sum(sums.values()) / count if count else None
            if key == "accuracy":
                result["macro8/tasks"] = float(tasks)
                result.update({f"accuracy/{kind}": value for kind, value in means.items()})
        result.update({f"count/{kind}": count for kind, count in counts.items()})
        for key in ("strict", "lenient"):
            result[f"count/{key}_read"] = totals.get(f"{key}_read", 0.0)
        return {**result, "count/samples": sum(counts.values())}


def pool_readings(kind: str, readings: Mapping[str, float | None]) -> dict[str, float]:
    """Sums that one answer adds: its accuracy by each reading (None: could not be read, counts 0)."""
    pooled = {f"count:{kind}": 1.0}
    for key, value in readings.items():
        pooled[f"{key}:{kind}"] = value or 0.0
        pooled[f"{key}_read"] = float(value is not None)
    return pooled


def _accuracy(reading: str | float, sample: Sample) -> Part:
    answer = sample.truth["answer"]
    if isinstance(reading, str):
        return replace(exact_match(reading, answer), name="accuracy")
    return replace(mean_relative_accuracy(reading, answer), name="accuracy")


def _format(text: str, sample: Sample, strict: str | float | ParseFailure) -> Part:
    sections = split_sections(text)
    if "thought" in sample.truth:
        part = think_format_part(sections)
        if part.value == 0:
            return replace(part, name="format")
    elif sections.tagged or sections.think is not None:
        return Part("format", 0.0, "tags around an answer that should be given directly")
    return format_part(strict if isinstance(strict, ParseFailure) else None)


def macro8(means: Mapping[str, float | None]) -> tuple[float | None, int]:
    """VSI-Bench's mean over those of its eight tasks that are present, and how many are.

    ``means`` by question type; the three levels of relative direction are averaged first, unweighted.
    """
    direction = mean(value for kind in _DIRECTIONS if (value := means[kind]) is not None)
    tasks = [direction, *(value for kind, value in means.items() if kind not in _DIRECTIONS)]
    present = [value for value in tasks if value is not None]
    return mean(present), len(present)
