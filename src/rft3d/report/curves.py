"""Learning curves of runs' stages, from ``metrics.jsonl`` to the lines that the page draws, and from which step to
which each hacking alarm was on (``alarms.jsonl``)."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rft3d.runfolder import ALARMS, SIGNALS, Alarm, read_lines, read_records, records_of
from rft3d.typed import is_number

_NOT_CURVES = {"step", "time", "epoch", "seconds", "tokens"}
# the order in which a reader asks; other panels follow alphabetically
_FIRST = ("loss", "reward", "kl", "entropy", "completion_length", "parse_failure", "truncated", "clip_share")

POINTS = 300
"""At most so many points of a line are drawn; a screen shows no more."""


@dataclass(frozen=True)
class AlarmSpan:
    """An alarm that was raised, and until which step it was on (None: still on at the end)."""

    alarm: Alarm
    until: int | None


@dataclass(frozen=True)
class StageMetrics:
    """What one stage's files say: ``series[name]`` lists ``(step, value)``; alarms in the order they were raised;
    ``problems``: lines that could not be read."""

    stage: str
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    spans: tuple[AlarmSpan, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether its rollouts were."""
        return bool(self.spans) or any(name.startswith("watch/") for name in self.series)

    @property
    def last(self) -> int:
        """Its last step."""
        return max((int(points[-1][0]) for points in self.series.values()), default=0)

    @property
    def active(self) -> tuple[AlarmSpan, ...]:
        return tuple(span for span in self.spans if span.until is None)


def read_metrics(path: Path) -> StageMetrics:
    """Numeric, finite values of a ``metrics.jsonl`` and the alarms beside it; a run killed while writing may leave
    half a line."""
    series: dict[str, list[tuple[float, float]]] = {}
    rows, skipped = read_records(path)
    for number, row in enumerate(rows):
        step = row.get("step", number)
        if not is_number(step):
            step = number
        for name, value in row.items():
            if name not in _NOT_CURVES and is_number(value):
                series.setdefault(name, []).append((float(step), float(value)))
    events, unread = records_of(Alarm, read_lines(path.with_name(ALARMS)))
    lost = {path.name: skipped, ALARMS: unread}
    problems = (f"{name}: {count} unreadable lines were skipped" for name, count in lost.items() if count)
    return StageMetrics(path.parent.name, series, spans_of(events), tuple(problems))


def panels(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Names grouped into panels, in reading order: ``a/b/c`` is in panel ``a/b``, a plain name in its own."""
    groups: dict[str, list[str]] = {}
    for name in names:
        prefix, slash, _ = name.rpartition("/")
        groups.setdefault(prefix if slash else name, []).append(name)

    def rank(title: str) -> tuple[int, str]:
        head = title.split("/")[0]
        return (_FIRST.index(head) if head in _FIRST else len(_FIRST), title)

    return [(title, sorted(groups[title])) for title in sorted(groups, key=rank)]


def smooth(values: Sequence[float], span: float) -> list[float]:
    """Exponential moving average over about ``span`` points, started without bias."""
    keep = 1.0 - 2.0 / (span + 1.0) if span > 1.0 else 0.0
    smoothed, total, weight = [], 0.0, 0.0
    for value in values:
        total = keep * total + (1.0 - keep) * value
        weight = keep * weight + (1.0 - keep)
        smoothed.append(total / weight)
    return smoothed


def curves_view(stages: Sequence[tuple[int, StageMetrics]]) -> list[dict[str, Any]]:
    """All curves for the page: a block a stage name, a panel a group of names, a line a name and run.

    ``stages``: (number of the run, its stage). A line is thinned to at most :data:`POINTS` points (means of
    neighbours), with its moving average beside it.
    """
    blocks = []
    for name in dict.fromkeys(stage.stage for _, stage in stages):
        here = [(run, stage.series) for run, stage in stages if stage.stage == name]
        names = list(dict.fromkeys(line for _, series in here for line in series))
        shown = [
            {
                "title": title,
                **_watched(title),
                "lines": [
                    {"name": line.rpartition("/")[2], "run": run, **_line(series[line])}
                    for line in members
                    for run, series in here
                    if line in series
                ],
            }
            for title, members in panels(names)
        ]
        if shown:
            blocks.append({"stage": name, "panels": shown})
    return blocks


def _watched(panel: str) -> dict[str, Any]:
    """The heading of a watched signal's panel, and where an honest policy stands, if anywhere."""
    heading, level = SIGNALS.get(panel.removeprefix("watch/"), ("", None))
    return {"heading": heading, "level": level} if heading and panel.startswith("watch/") else {}


def _line(points: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    steps, values = zip(*points, strict=True)
    means = smooth(values, len(values) / 15)
    size = -(-len(points) // POINTS)
    starts = range(0, len(points), size)

    def thin(numbers: Sequence[float]) -> list[float]:
        return [
            float(f"{math.fsum(part) / len(part):.6g}") for s in starts if (part := numbers[s : s + size])
        ]

    return {"x": thin(steps), "y": thin(values), "mean": thin(means)}


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
