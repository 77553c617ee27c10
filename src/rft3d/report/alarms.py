"""Hacking alarms over time: from which step to which each was on (``stages/*/alarms.jsonl``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rft3d import runfolder
from rft3d.report.curves import StageMetrics, read_metrics
from rft3d.runfolder import Alarm


@dataclass(frozen=True)
class AlarmSpan:
    """An alarm that was raised, and until which step it was on (None: still on at the end)."""

    alarm: Alarm
    until: int | None


@dataclass(frozen=True)
class StageAlarms:
    """What one stage's files say: its alarms in the order they were raised, its metrics, its last step."""

    stage: str
    spans: tuple[AlarmSpan, ...]
    metrics: StageMetrics
    last: int
    problems: tuple[str, ...] = field(default=())

    @property
    def active(self) -> tuple[AlarmSpan, ...]:
        return tuple(span for span in self.spans if span.until is None)


def read_alarms(run: str | Path) -> list[StageAlarms]:
    """The stages of ``run`` whose rollouts were watched, by name; unreadable lines are skipped and said."""
    stages = []
    for path in sorted((Path(run) / "stages").glob(f"*/{runfolder.METRICS}")):
        metrics = read_metrics(path, path.parent.name)
        events, skipped = runfolder.read_alarms(path.with_name(runfolder.ALARMS))
        problems = (f"alarms.jsonl: {skipped} unreadable lines were skipped",) if skipped else ()
        if not events and not any(name.startswith("watch/") for name in metrics.series):
            continue
        last = max((int(points[-1][0]) for points in metrics.series.values()), default=0)
        stages.append(StageAlarms(path.parent.name, spans_of(events), metrics, last, problems))
    return stages


def spans_of(events: Iterable[Alarm]) -> tuple[AlarmSpan, ...]:
    """Raised and dropped alarms as spans."""
    done: list[AlarmSpan] = []
    raised: dict[tuple[str, str], Alarm] = {}
    for event in events:
        key = event.alarm, event.task
        if event.on:
            raised[key] = event
        elif key in raised:
            done.append(AlarmSpan(raised.pop(key), event.step))
    done += [AlarmSpan(event, None) for event in raised.values()]
    return tuple(sorted(done, key=lambda span: (span.alarm.since, span.alarm.alarm, span.alarm.task)))
