"""Metrics against tokens, rooms, group or model size: an SVG with the intervals of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from rft3d import files
from rft3d.matrix.figure import GAP, HEIGHT, TOP, WIDTH, colour, legend_of, sheet
from rft3d.matrix.numbers import Found, value_of
from rft3d.matrix.types import Experiment, Sweep

Points = list[tuple[float, Found]]
Panels = Mapping[str, Mapping[str, Points]]
"""Heading of a panel to the points of each line."""


def draw_sweep(sweep: Sweep, experiments: Sequence[Experiment], out: Path, file: Path) -> Path | None:
    """Draw what has run of ``sweep`` into ``file``; None while no line has two points.

    Raises:
        ValueError: a point names an experiment or arm that is not there.
    """
    known = {experiment.name: experiment for experiment in experiments}
    panels: dict[str, dict[str, Points]] = {}
    for view, metric in sweep.metrics:
        lines: dict[str, Points] = {}
        for title, points in sweep.lines.items():
            found = [(value, _found(known, out, where, view, metric)) for value, where in sorted(points)]
            lines[title] = [(value, number) for value, number in found if number is not None]
        panels[f"{view} {metric}, %"] = lines
    if not any(len(points) > 1 for lines in panels.values() for points in lines.values()):
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(file, sweep_picture(sweep.axis, panels))
    return file


def _found(known: Mapping[str, Experiment], out: Path, where: str, view: str, metric: str) -> Found | None:
    name, _, arm = where.partition("/")
    if name not in known:
        raise ValueError(f"a sweep names experiment {name!r}; there are {', '.join(known)}")
    return value_of(known[name], out, known[name].arm(arm).name, view, metric)


def sweep_picture(axis: str, panels: Panels) -> str:
    """A panel a metric side by side, a colour a line, whiskers for the 95 % intervals."""
    titles = list(next(iter(panels.values())))
    legend = 18 * len(titles) + 12
    width, height = len(panels) * (WIDTH + GAP) + GAP // 2, HEIGHT + GAP + TOP + legend
    parts = sheet(width, height)
    for number, (heading, lines) in enumerate(panels.items()):
        parts += _panel(GAP + number * (WIDTH + GAP), TOP, heading, axis, list(lines.values()))
    return "\n".join([*parts, *legend_of(titles, height - legend), "</svg>\n"])


def _panel(x: float, y: float, heading: str, axis: str, lines: Sequence[Points]) -> list[str]:
    every = [point for line in lines for point in line]
    parts = [
        f'<text x="{x}" y="{y - 10}" font-weight="bold">{escape(heading)}</text>',
        f'<path d="M{x},{y} V{y + HEIGHT} H{x + WIDTH}" fill="none" stroke="#9ca3af"/>',
        f'<text x="{x + WIDTH / 2}" y="{y + HEIGHT + 30}" text-anchor="middle">{escape(axis)}</text>',
    ]
    if not every:
        return parts
    low, high = min(f.low for _, f in every), max(f.high for _, f in every)
    span = (high - low) or 1.0
    places = sorted({value for value, _ in every})

    def across(value: float, line: int = 0) -> float:  # lines stand a little apart: their whiskers would hide
        return x + WIDTH * (places.index(value) + 0.5) / len(places) + 6 * (line - (len(lines) - 1) / 2)

    def up(value: float) -> float:
        return y + HEIGHT * (1 - (value - low) / span)

    parts += [
        f'<text x="{x - 4}" y="{y + 8}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{x - 4}" y="{y + HEIGHT}" text-anchor="end">{low:.3g}</text>',
    ]
    middle = (len(lines) - 1) / 2
    for value in places:
        at = across(value) + 6 * middle
        parts.append(f'<text x="{at:.1f}" y="{y + HEIGHT + 14}" text-anchor="middle">{value:g}</text>')
    for index, line in enumerate(lines):
        shade = colour(index)
        corners = " ".join(f"{across(v, index):.1f},{up(f.mean):.1f}" for v, f in line)
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{shade}" stroke-width="1.8"/>')
        for value, found in line:
            at = across(value, index)
            parts.append(f'<path d="M{at:.1f},{up(found.low):.1f} V{up(found.high):.1f}" stroke="{shade}"/>')
            parts.append(f'<circle cx="{at:.1f}" cy="{up(found.mean):.1f}" r="3" fill="{shade}"/>')
    return parts
