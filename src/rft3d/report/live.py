"""A run in the terminal: progress, time left, curves as sparklines, last samples, alarms. Reads files only.

The trainer needs no server and does not know who watches: everything comes from ``stages/*/stage.json``,
``metrics.jsonl``, ``rollouts.jsonl`` and ``alarms.jsonl``, read as far as they are whole.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Column, Table

from rft3d.files import read_json
from rft3d.report.curves import StageMetrics, read_metrics
from rft3d.report.embed import duration, number, one_line
from rft3d.runfolder import DONE, METRICS, ROLLOUTS, LoggedGroup, read_lines, read_records, records_of
from rft3d.typed import is_number

BARS = "▁▂▃▄▅▆▇█"
STALE_S = 90.0
"""A stage that has written nothing for so long, and for five of its steps, is probably not running."""

_SHOWN = ("loss", "reward", "kl", "entropy", "grad_norm", "completion_length", "parse_failure", "truncated",
          "zero_std", "held_out")  # fmt: skip
_TAIL_BYTES = 400_000
_LONG = 10**12  # more steps, or seconds since 1970, than any run has


@dataclass(frozen=True)
class StageState:
    """One stage as its files say. ``steps`` and ``left_s`` are None when not known."""

    name: str
    step: int
    steps: int | None
    seconds_a_step: float | None
    left_s: float | None
    quiet_s: float
    done: bool
    metrics: StageMetrics

    @property
    def status(self) -> str:
        if self.done:
            return "done"
        stale = max(STALE_S, 5 * (self.seconds_a_step or 0.0))
        return f"no news for {duration(self.quiet_s)}" if self.quiet_s > stale else "running"


def read_stages(run: str | Path, now: float | None = None) -> list[StageState]:
    """The stages of ``run`` that have begun, in the order of their last news; ValueError without any."""
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(f"no run folder at {run}")
    now = time.time() if now is None else now
    files = sorted((run / "stages").glob(f"*/{METRICS}"))
    if not files:
        raise ValueError(
            f"{run} has no stages/*/metrics.jsonl; it is not a run folder, or nothing was trained yet"
        )
    states = [(_step_times(path), path) for path in files]
    # a copied folder has lost its files' times
    states.sort(key=lambda pair: pair[0][-1][1] if pair[0] else 0.0)
    return [_stage(path, times, now) for times, path in states]


def _stage(path: Path, times: Sequence[tuple[int, float]], now: float) -> StageState:
    try:
        steps = read_json(path.with_name("stage.json")).get("steps")
    except (OSError, ValueError, AttributeError):
        steps = None
    steps = steps if type(steps) is int and 0 <= steps < _LONG else None
    step = times[-1][0] if times else 0
    taken = times[-1][0] - times[0][0] if times else 0
    pace = (times[-1][1] - times[0][1]) / taken if taken > 0 else None
    done = path.with_name(DONE).is_file()
    left = None if steps is None or pace is None or done else max(0, steps - step) * pace
    quiet = max(0.0, now - path.stat().st_mtime)
    return StageState(path.parent.name, step, steps, pace, left, quiet, done, read_metrics(path))


def _step_times(path: Path) -> list[tuple[int, float]]:
    """``(step, time)`` of the latest 20 lines: the present pace counts, not that of hours ago."""
    pairs = [(row.get("step"), row.get("time")) for row in read_records(path, _TAIL_BYTES)[0]]
    sane = [(s, t) for s, t in pairs if type(s) is int and is_number(t) and max(abs(s), abs(t)) < _LONG]
    return [(step, float(time)) for step, time in sane[-20:]]


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """``values`` as ``width`` bars between their least and their greatest; longer series are averaged."""
    if not values:
        return ""
    if len(values) > width:
        cuts = [round(i * len(values) / width) for i in range(width + 1)]
        values = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(values), max(values)
    if high - low <= 1e-12 * max(1.0, abs(high)):
        return BARS[0] * len(values)
    return "".join(BARS[min(7, int(8 * (value - low) / (high - low)))] for value in values)


def render_run(run: str | Path, now: float | None = None) -> RenderableType:
    """What ``rft3d watch`` prints: all stages in a line each, the latest one in full."""
    stages = read_stages(run, now)
    current = stages[-1]
    parts: list[RenderableType] = [_overview(stages), Rule(f"[bold]{_safe(current.name)}"), _curves(current)]
    if current.metrics.watched:
        colour = "red" if current.metrics.active else "green"
        parts += [Rule("[bold]alarms", style=colour), *_alarms(current.metrics)]
    if samples := list(_samples(Path(run) / "stages" / current.name / ROLLOUTS)):
        parts += [Rule("[bold]last samples"), *samples]
    return Group(*parts)


def watch(
    run: str | Path, *, once: bool = False, every_s: float = 2.0, console: Console | None = None
) -> None:
    """Print :func:`render_run` once, or draw it again every ``every_s`` seconds until Ctrl-C or the run's end."""
    if every_s <= 0:
        raise ValueError(f"--every must be above 0 seconds, got {every_s}")
    console = console or Console()
    if once or not console.is_terminal:
        console.print(render_run(run))
        return
    shown = Live(render_run(run), console=console, screen=True, auto_refresh=False)
    with suppress(KeyboardInterrupt), shown as live:
        while True:
            time.sleep(every_s)
            live.update(render_run(run), refresh=True)
    console.print(render_run(run))


def _overview(stages: Sequence[StageState]) -> Table:
    numbers = [Column(name, justify="right") for name in ("steps", "a step", "left")]
    table = Table.grid("stage", "", *numbers, "state", "alarms", padding=(0, 2, 0, 0))
    table.show_header = True
    for stage in stages:
        on = len(stage.metrics.active) if stage.metrics.watched else None
        total = stage.steps or stage.step or 1
        colour = {"done": "green", "running": "cyan"}.get(stage.status, "yellow")
        table.add_row(
            _safe(stage.name),
            ProgressBar(total=total, completed=total if stage.done else stage.step, width=20),
            f"{stage.step}/{'?' if stage.steps is None else stage.steps}",
            duration(stage.seconds_a_step),
            "" if stage.done else duration(stage.left_s),
            f"[{colour}]{stage.status}",
            "" if on is None else f"[red]{on} on" if on else "[green]none",
        )
    return table


def _curves(stage: StageState) -> Table:
    """One line a metric: first value, sparkline, last value."""
    first, last = (Column(justify="right") for _ in range(2))
    table = Table.grid("", first, "", last, padding=(0, 2, 0, 0))
    names = [n for n in stage.metrics.series if n.split("/")[0] in _SHOWN]
    for name in sorted(names, key=lambda n: (_SHOWN.index(n.split("/")[0]), n)):
        values = [value for _, value in stage.metrics.series[name]]
        ends = number(values[0]), number(values[-1])
        table.add_row(_safe(name), f"[dim]{ends[0]}", f"[cyan]{sparkline(values)}", f"[bold]{ends[1]}")
    return table


def _alarms(stage: StageMetrics) -> Iterator[RenderableType]:
    if not stage.spans:
        yield f"[green]none in {stage.last} steps"
    for span in stage.spans:
        alarm, on = span.alarm, span.until is None
        state = f"since step {alarm.since}" if on else f"steps {alarm.since} to {span.until}"
        title, saw = _safe(f"{alarm.task}: {alarm.title}"), _safe(f" ({state}; {alarm.saw})")
        if on:
            yield f"[bold red]● [/][bold]{title}[/]{saw}\n  [dim]{_safe(alarm.advice)}"
        else:
            yield f"[dim]○ {title}{saw}"


def _samples(path: Path) -> Iterator[RenderableType]:
    """The best and the worst answer of the latest logged group of every task."""
    groups = records_of(LoggedGroup, read_lines(path, _TAIL_BYTES))[0]
    for task, group in {group.task: group for group in groups if group.completions}.items():
        made = sorted(
            ((c.total, c.text) for c in group.completions if c.total is not None), key=lambda c: -c[0]
        )
        yield f"[bold]{_safe(f'{task}, step {group.step or 0:g}: {group.sample_id}')}"
        for name, (total, said) in zip(("best ", "worst"), made[:1] + made[1:][-1:], strict=False):
            colour = "green" if name == "best " else "yellow"
            yield f"[{colour}]  {name} {total:.2f} [/][dim]{_safe(one_line(said)[:300])}"


def _safe(text: str) -> str:
    """Untrusted text inside rich markup."""
    return escape(one_line(text))
