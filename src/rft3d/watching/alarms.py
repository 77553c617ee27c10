"""Alarms for reward hacking: a stage's metrics judged step by step by :mod:`rft3d.watching.rules`.

An alarm is raised when its rule holds for :data:`PATIENCE` steps in a row and dropped when it does not hold
for as many; *since* is the first of them::

    stages/<stage>/alarms.jsonl   {"step": 40, "alarm": "many_boxes", "task": "detection", "on": true,
                                   "since": 38, "title": ..., "saw": ..., "advice": ..., "keys": [...]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rft3d.process import is_main_process
from rft3d.runfolder import ALARMS, METRICS, SIGNALS, Alarm, append_alarms, drop_after, read_records
from rft3d.typed import is_number
from rft3d.watching.rules import RULES, Rule, Trend

PATIENCE = 3
"""Steps in a row for which a rule must hold before its alarm is raised, or not hold to drop it."""


def task_rows(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """One step's metrics as one row of measurements for each task (what a :class:`Trend` collects).

    ``content`` is the mean of the reward parts apart from ``format``; ``held_out`` the official metric.
    """
    rows: dict[str, dict[str, float]] = {}
    for task in (
        key.removeprefix("reward/") for key in metrics if key.count("/") == 1 and key[:7] == "reward/"
    ):
        parts = {key.split("/", 2)[2]: v for key, v in metrics.items() if key.startswith(f"reward/{task}/")}
        content = [value for name, value in parts.items() if name != "format"]
        found = {
            "reward": metrics.get(f"reward/{task}"),
            "format": parts.get("format"),
            "content": sum(content) / len(content) if content else None,
            "tokens": metrics.get(f"completion_length/{task}"),
            "truncated": metrics.get(f"truncated/{task}"),
            "held_out": next((v for k, v in metrics.items() if _held_out_metric(k, task)), None),
            **{name: metrics.get(f"watch/{name}/{task}") for name in SIGNALS},
        }
        rows[task] = {name: float(value) for name, value in found.items() if value is not None}
    return rows


def _held_out_metric(key: str, task: str) -> bool:
    return key.startswith(f"held_out/{task}/") and not key.endswith("/reward")


@dataclass
class AlarmState:
    """All rules over all tasks of one stage: feed it every step's metrics, in order."""

    trends: dict[str, Trend] = field(default_factory=dict)
    active: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    _streak: dict[tuple[str, str], tuple[int, int, str]] = field(default_factory=dict)

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
        count, since, _ = self._streak.get(key, (0, step, ""))
        self._streak[key] = (count + 1, since, saw or "")
        if count + 1 < PATIENCE:
            return None
        del self._streak[key]
        keys = tuple(k.format(task=task) for k in rule.keys)
        if raised is None:
            return Alarm(step, rule.name, task, True, since, rule.title, saw or "", rule.advice, keys)
        return Alarm(step, rule.name, task, False, raised.since, rule.title, raised.saw, rule.advice, keys)


class AlarmLog:
    """``alarms.jsonl`` of a stage; on resume the metrics that were kept are judged again, silently."""

    def __init__(self, folder: Path, resume_step: int = 0) -> None:
        self.path = folder / ALARMS
        self.state = AlarmState()
        if is_main_process():
            drop_after(self.path, resume_step)
        for row in read_records(folder / METRICS)[0] if resume_step else ():
            if row["step"] <= resume_step:
                known = {key: v for key, v in row.items() if isinstance(v, float) or is_number(v)}
                self.state.update(int(row["step"]), known)

    def update(self, step: int, metrics: Mapping[str, float]) -> list[Alarm]:
        """Judge one step and write down what changed."""
        events = self.state.update(step, metrics)
        append_alarms(self.path, events)
        return events
