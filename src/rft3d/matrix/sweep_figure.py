"""Metrics against tokens, rooms, group or model size: an SVG with the intervals of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from rft3d import files
from rft3d.matrix.figure import GAP, HEIGHT, TOP, WIDTH, axes, colour, legend_height, legend_of, sheet
from rft3d.matrix.numbers import Found, seeds_with, value_of
from rft3d.matrix.types import Experiment, Sweep

Points = list[tuple[float, Found]]
Panels = Mapping[str, Mapping[str, Points]]
"""Heading of a panel to the points of each line."""


def draw_sweep(sweep: Sweep, experiments: Sequence[Experiment], out: Path, file: Path) -> Path | None:
    """Draw what has run of ``sweep`` into ``file``; None while no line has two points.

    Every point of a panel is a mean over the same seeds, those that all of its arms have: seeds differ by more
    than the steps of a sweep. An arm that has not run is left out.

    Raises:
        ValueError: a point names an experiment or arm that is not there.
    """
    panels: dict[str, dict[str, Points]] = {}
    named = {title: [(value, *_arm(experiments, where)) for value, where in sorted(points)]
             for title, points in sweep.lines.items()}  # fmt: skip
    for view, metric in sweep.metrics:
        run = [seeds_with(e, out, arm, view) for points in named.values() for _, e, arm in points]
        shared = set.intersection(*filter(None, run)) if any(run) else set()
        panels[f"{view} {metric}, %"] = {
            title: [
                (value, found)
                for value, experiment, arm in points
                if (found := value_of(experiment, out, arm, view, metric, seeds=shared)) is not None
                and found.hole is None
            ]
            for title, points in named.items()
        }
    if not any(len(points) > 1 for lines in panels.values() for points in lines.values()):
        return None
    files.write_text(file, sweep_picture(sweep.axis, panels))
    return file


def _arm(experiments: Sequence[Experiment], where: str) -> tuple[Experiment, str]:
    name, _, arm = where.partition("/")
    for experiment in experiments:
        if experiment.name == name:
            return experiment, experiment.arm(arm).name
    raise ValueError(f"a sweep names experiment {name!r}; there are {', '.join(e.name for e in experiments)}")


def sweep_picture(axis: str, panels: Panels) -> str:
    """A panel a metric side by side, a colour a line, whiskers for the 95 % intervals."""
    titles = list(next(iter(panels.values())))
    legend = legend_height(titles)
    width, height = len(panels) * (WIDTH + GAP) + GAP // 2, HEIGHT + GAP + TOP + legend
    parts = sheet(width, height)
    for number, (heading, lines) in enumerate(panels.items()):
        parts += _panel(GAP + number * (WIDTH + GAP), TOP, heading, axis, list(lines.values()))
    return "\n".join([*parts, *legend_of(titles, height - legend), "</svg>\n"])


def _panel(x: float, y: float, heading: str, axis: str, lines: Sequence[Points]) -> list[str]:
    every = [point for line in lines for point in line]
    low = min((found.low for _, found in every), default=0.0)
    high = max((found.high for _, found in every), default=0.0)
    span = (high - low) or 1.0
    places = sorted({value for value, _ in every})

    def across(value: float) -> float:
        return x + WIDTH * (places.index(value) + 0.5) / len(places)

    def up(value: float) -> float:
        return y + HEIGHT * (1 - (value - low) / span)

    parts = [
        *axes(x, y, heading, low, high),
        f'<text x="{x + WIDTH / 2}" y="{y + HEIGHT + 30}" text-anchor="middle">{escape(axis)}</text>',
    ]
    for value in places:
        ticks = f'<text x="{across(value):.1f}" y="{y + HEIGHT + 14}" text-anchor="middle">{value:g}</text>'
        parts.append(ticks)
    for index, line in enumerate(lines):
        shade, aside = colour(index), 6 * (index - (len(lines) - 1) / 2)  # whiskers would hide one another
        points = [(across(value) + aside, found) for value, found in line]
        corners = " ".join(f"{at:.1f},{up(found.mean):.1f}" for at, found in points)
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{shade}" stroke-width="1.8"/>')
        for at, found in points:
            parts.append(f'<path d="M{at:.1f},{up(found.low):.1f} V{up(found.high):.1f}" stroke="{shade}"/>')
            parts.append(f'<circle cx="{at:.1f}" cy="{up(found.mean):.1f}" r="3" fill="{shade}"/>')
    return parts
