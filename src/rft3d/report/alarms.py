"""Hacking alarms over time as one HTML fragment with inline SVG: no script, no style sheet, nothing loaded.

``alarms_fragment(run)`` reads ``stages/*/alarms.jsonl`` and the watched signals in ``metrics.jsonl``.
Colours are ``currentColor`` and mid tones, so that the fragment stands in light and dark pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from rft3d import runfolder
from rft3d.report.curves import StageMetrics, read_metrics
from rft3d.report.page import clean, number
from rft3d.runfolder import Alarm

RAISED = "#e11d48"
LINE = "#3b82f6"
_WIDTH, _HEIGHT = 250, 74


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


def alarms_fragment(run: str | Path) -> str:
    """The fragment for a report page; empty when no stage of ``run`` was watched."""
    stages = read_alarms(run)
    return "".join(_stage(stage, len(stages) > 1) for stage in stages)


def _stage(stage: StageAlarms, named: bool) -> str:
    parts = ['<div class="alarms">']
    if named:
        parts.append(f"<h3>{_text(stage.stage)}</h3>")
    if not stage.spans:
        parts.append(f"<p>No alarm in {stage.last} steps. What was watched:</p>")
    else:
        on = len(stage.active)
        state = f"{on} still on at step {stage.last}" if on else f"none is on at step {stage.last}"
        parts.append(f"<p>{len(stage.spans)} raised, {state}.</p>")
        parts += [_card(span, stage) for span in stage.spans]
    parts += [f"<p>{_text(problem)}</p>" for problem in stage.problems]
    parts.append('<div style="display:flex;flex-wrap:wrap;gap:.4rem 1.2rem;margin-top:.6rem">')
    for name, (title, reference) in runfolder.SIGNALS.items():
        for key in [k for k in stage.metrics.series if title and k.startswith(f"watch/{name}/")]:
            task = key.rpartition("/")[2]
            spans = [span for span in stage.spans if key in span.alarm.keys]
            truth = stage.metrics.series.get(f"watch/same_truth/{task}") if name == "same_answer" else None
            parts.append(_chart(f"{task}: {title}", stage, key, spans, reference, truth))
    parts.append("</div></div>")
    return "".join(parts)


def _card(span: AlarmSpan, stage: StageAlarms) -> str:
    until = "still on" if span.until is None else f"over at step {span.until}"
    colour = RAISED if span.until is None else "#94a3b8"
    return (
        f'<div style="border-left:4px solid {colour};padding:.1rem .8rem;margin:.6rem 0">'
        f"<b>{_text(span.alarm.title)}</b> "
        f"<span>({_text(span.alarm.task)}, since step {span.alarm.since}, {until})</span>"
        f"{_strip(span, stage.last, colour)}"
        f"<div>{_text(span.alarm.saw)}.</div>"
        f'<div style="opacity:.75"><i>What people do:</i> {_text(span.alarm.advice)}</div></div>'
    )


def _strip(span: AlarmSpan, last: int, colour: str) -> str:
    """When the alarm was on, over the whole stage."""
    width, end = 300.0, max(1, last)
    start = width * (span.alarm.since - 1) / end
    stop = width * (last if span.until is None else span.until) / end
    return (
        f'<svg viewBox="0 0 300 8" width="300" height="8" role="img" '
        f'style="display:block;max-width:100%;margin:.25rem 0" aria-label="on from step {span.alarm.since}">'
        '<rect y="3" width="300" height="2" fill="currentColor" opacity=".25"/>'
        f'<rect x="{start:.1f}" y="1" width="{max(2.0, stop - start):.1f}" '
        f'height="6" rx="2" fill="{colour}"/></svg>'
    )


def _chart(
    title: str,
    stage: StageAlarms,
    key: str,
    spans: Sequence[AlarmSpan],
    reference: float | None,
    beside: Sequence[tuple[float, float]] | None,
) -> str:
    """One signal over the steps; red where an alarm about it was on, dashed where an honest policy stands."""
    points = stage.metrics.series[key]
    marks = [] if reference is None else [reference]
    values = [v for _, v in points] + marks + [v for _, v in beside or ()]
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 0.02 * max(abs(high), 1e-6), 1e-6)
    low, high = low - room, high + room

    def place(step: float, value: float) -> str:
        x = _WIDTH * (step - 1) / max(1, stage.last - 1)
        return f"{x:.1f},{_HEIGHT * (high - value) / (high - low):.1f}"

    shapes = []
    for span in spans:
        a, b = span.alarm.since, stage.last if span.until is None else span.until
        x = _WIDTH * (a - 1) / max(1, stage.last - 1)
        width = max(2.0, _WIDTH * (b - a) / max(1, stage.last - 1))
        shapes.append(
            f'<rect x="{x:.1f}" width="{width:.1f}" height="{_HEIGHT}" fill="{RAISED}" opacity=".16"/>'
        )
    if reference is not None:
        (x, y) = place(1, reference).split(",")
        shapes.append(
            f'<line x1="{x}" x2="{_WIDTH}" y1="{y}" y2="{y}" stroke="currentColor" stroke-dasharray="3 3" '
            'opacity=".45"/>'
        )
    if beside:
        shapes.append(
            f'<polyline points="{" ".join(place(*p) for p in beside)}" fill="none" stroke="currentColor" '
            'stroke-dasharray="3 3" opacity=".6"/>'
        )
    line = " ".join(place(*p) for p in points)
    shapes.append(f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="1.8"/>')
    last = points[-1][1]
    return (
        f'<figure style="margin:0;width:{_WIDTH}px"><figcaption style="font-size:.78rem">{_text(title)} '
        f"<b>{number(last)}</b></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{_text(title)} over {stage.last} steps, now {number(last)}" '
        f'style="display:block;border-bottom:1px solid currentColor;overflow:visible">{"".join(shapes)}</svg>'
        f'<div style="display:flex;justify-content:space-between;font-size:.7rem;opacity:.6">'
        f"<span>step 1 · {number(points[0][1])}</span><span>{stage.last}</span></div></figure>"
    )


def _text(value: object) -> str:
    """Untrusted text as HTML text."""
    return escape(clean(value, 600), quote=True)
