"""Alarms for reward hacking: a stage's metrics judged step by step by :mod:`rft3d.watching.rules`.

An alarm (:class:`rft3d.runfolder.Alarm`) is raised when its rule holds for :data:`PATIENCE` steps in a row and
dropped when it does not hold for as many; *since* is the first of them.

What they watch of one step's answers, apart from what those were paid, are :func:`signals`: functions of answers
that are already read, so that a synthetic policy can be tested without a model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure
from rft3d.geometry import boxes_valid
from rft3d.process import is_main_process
from rft3d.rewards import Comparison, Score, label_ious
from rft3d.runfolder import ALARMS, METRICS, SIGNALS, Alarm, append_records, drop_after, read_records
from rft3d.typed import is_number
from rft3d.watching.rules import RULES, Rule, Trend

PATIENCE = 3
"""Steps in a row for which a rule must hold before its alarm is raised, or not hold to drop it."""
SAME_BOX_IOU = 0.9
"""A prediction repeats an earlier one of its answer when it has the same label and at least this IoU."""

FEWEST_PROMPTS = 6
"""Below so many prompts a step, equal answers say nothing."""


def task_rows(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """One step's metrics as one row of measurements for each task (what a :class:`Trend` collects). ``content`` is
    the mean of the reward parts apart from ``format``; ``held_out`` the official metric."""
    rows: dict[str, dict[str, float]] = {}
    for task in [key[7:] for key in metrics if key.count("/") == 1 and key.startswith("reward/")]:
        held = f"held_out/{task}/"
        parts = {key.split("/", 2)[2]: v for key, v in metrics.items() if key.startswith(f"reward/{task}/")}
        content = [value for name, value in parts.items() if name != "format"]
        found = {
            "reward": metrics.get(f"reward/{task}"),
            "format": parts.get("format"),
            "content": sum(content) / len(content) if content else None,
            "tokens": metrics.get(f"completion_length/{task}"),
            "truncated": metrics.get(f"truncated/{task}"),
            "held_out": next(
                (v for k, v in metrics.items() if k.startswith(held) and not k.endswith("/reward")), None
            ),
            **{name: metrics.get(f"watch/{name}/{task}") for name in SIGNALS},
        }
        rows[task] = {name: float(value) for name, value in found.items() if value is not None}
    return rows


@dataclass
class AlarmState:
    """All rules over all tasks of one stage: feed it every step's metrics, in order."""

    trends: dict[str, Trend] = field(default_factory=dict)
    active: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    _streak: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    def update(self, step: int, metrics: Mapping[str, float]) -> list[Alarm]:
        """The alarms that were raised or dropped by this step."""
        # as metrics.jsonl holds them, so that a resumed stage judges by the same numbers
        rows = task_rows({key: round(float(value), 6) for key, value in metrics.items()})
        events = []
        for task, row in rows.items():
            trend = self.trends.setdefault(task, Trend())
            for name, value in row.items():
                trend.add(name, value)
            for rule in RULES:
                event = self._judge(rule, task, step, rule.judge(trend))
                if event is not None:
                    self.active[rule.name, task] = event
                    events.append(event)
                    if not event.on:
                        del self.active[rule.name, task]
        return events

    def _judge(self, rule: Rule, task: str, step: int, saw: str | None) -> Alarm | None:
        """Count the steps in a row that contradict the present state; after :data:`PATIENCE` of them it changes."""
        key = rule.name, task
        raised = self.active.get(key)
        if (saw is not None) == (raised is not None):
            self._streak.pop(key, None)
            return None
        count, since = self._streak.get(key, (0, step))
        self._streak[key] = (count + 1, since)
        if count + 1 < PATIENCE:
            return None
        del self._streak[key]
        if raised is not None:
            return replace(raised, step=step, on=False)
        keys = tuple(k.format(task=task) for k in rule.keys)
        return Alarm(step, rule.name, task, True, since, rule.title, saw or "", rule.advice, keys)


class AlarmLog(AlarmState):
    """``alarms.jsonl`` of a stage; on resume the metrics that were kept are judged again, silently."""

    def __init__(self, folder: Path, resume_step: int = 0) -> None:
        super().__init__()
        self.path = folder / ALARMS
        if is_main_process():
            drop_after(self.path, resume_step)
        for row in read_records(folder / METRICS)[0] if resume_step else ():
            if row["step"] <= resume_step:
                known = {key: v for key, v in row.items() if isinstance(v, float) or is_number(v)}
                super().update(int(row["step"]), known)

    def update(self, step: int, metrics: Mapping[str, float]) -> list[Alarm]:
        """Judge one step and write down what changed."""
        events = super().update(step, metrics)
        append_records(self.path, map(asdict, events))
        return events


@dataclass(frozen=True)
class Answered:
    """One completion as its task parsed it, and the gold answer parsed the same way."""

    sample_id: str
    answer: object
    gold: object
    score: Score


def signals(task: str, answers: Sequence[Answered]) -> dict[str, float]:
    """The signals of one task's answers in one step; only those that its kind of answer has.

    ``boxes_per_truth``: predicted boxes over true ones. ``duplicates``: share of predicted boxes that repeat
    an earlier one of the same answer. ``box_volume_m3``: geometric mean volume of the predicted boxes;
    ``volume_per_truth``: over that of the true ones. ``precision``, ``recall``: pooled hits at the task's
    threshold. ``same_answer``: share of the commonest frame index or option letter; ``same_truth``: share
    that this one has in the truths (each prompt counts once).
    """
    read = [a for a in answers if not isinstance(a.answer, ParseFailure)]
    lists = _list_signals([a for a in answers if isinstance(a.gold, tuple)])
    choices = _sameness([a for a in read if isinstance(a.gold, str | FrameBox)])
    found = lists | _volumes(read) | choices
    return {f"watch/{name}/{task}": value for name, value in found.items()}


def repeated_boxes(boxes: Sequence[LabelledBox]) -> int:
    """How many boxes repeat an earlier box of the list: same label, IoU of at least :data:`SAME_BOX_IOU`."""
    (iou,) = label_ious([(boxes, boxes)])
    return int((np.tril(iou, -1).max(axis=1, initial=0.0) >= SAME_BOX_IOU).sum())


def _list_signals(answers: Sequence[Answered]) -> dict[str, float]:
    """Of detection lists; an unreadable answer names nothing."""
    if not answers:
        return {}
    lists = [_boxes_of(a.answer) for a in answers]
    named, true = sum(map(len, lists)), sum(len(_boxes_of(a.gold)) for a in answers)
    out: dict[str, float] = {}
    if true:
        out["boxes_per_truth"] = named / true
    if named:
        out["duplicates"] = sum(repeated_boxes(boxes) for boxes in lists) / named
    compared = (a.score.evidence for a in answers)
    hits = [len(both.match.pairs) for both in compared if isinstance(both, Comparison)]
    if len(hits) == len(answers):
        if named:
            out["precision"] = sum(hits) / named
        if true:
            out["recall"] = sum(hits) / true
    return out


def _volumes(answers: Sequence[Answered]) -> dict[str, float]:
    predicted, true = _log_volumes([a.answer for a in answers]), _log_volumes([a.gold for a in answers])
    if not len(predicted) or not len(true):
        return {}
    return {
        "box_volume_m3": float(np.exp(predicted.mean())),
        "volume_per_truth": float(np.exp(predicted.mean() - true.mean())),
    }


def _sameness(answers: Sequence[Answered]) -> dict[str, float]:
    prompts = {a.sample_id: _choice_of(a.gold) for a in answers}
    if len(prompts) < FEWEST_PROMPTS:
        return {}
    given = Counter(_choice_of(a.answer) for a in answers)
    common, count = given.most_common(1)[0]
    return {
        "same_answer": count / len(answers),
        "same_truth": sum(choice == common for choice in prompts.values()) / len(prompts),
    }


def _choice_of(answer: object) -> object:
    return answer.frame if isinstance(answer, FrameBox) else answer


def _boxes_of(answer: object) -> tuple[LabelledBox, ...]:
    return answer if isinstance(answer, tuple) else ()


def _log_volumes(answers: Sequence[object]) -> NDArray[np.float64]:
    """Logarithms of the volumes of the valid boxes in all of ``answers``."""
    found = [(each,) if isinstance(each, FrameBox) else _boxes_of(each) for each in answers]
    array = np.array([box.box for boxes in found for box in boxes], dtype=np.float64).reshape(-1, 9)
    return np.log(array[boxes_valid(array), 3:6]).sum(axis=1)
