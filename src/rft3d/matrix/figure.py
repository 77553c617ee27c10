"""The paper's figure of training dynamics, redrawn from our logs: an SVG without any package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from html import escape
from pathlib import Path

import numpy as np

from rft3d import files
from rft3d.matrix.types import Experiment, folder_of, task_of
from rft3d.report.curves import read_metrics, smooth

COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#db2777", "#4b5563")
PANELS = (
    ("reward/detection/mean_iou", "IoU reward"),
    ("reward/detection/matched_iou", "matched IoU reward"),
    ("reward/detection/f1@0.25", "F1 reward"),
    ("entropy", "entropy, nats a token"),
    ("completion_length/detection", "length of a detection answer, tokens"),
    ("reward/spatial/accuracy", "accuracy reward"),
)
WIDTH, HEIGHT, GAP, TOP = 300, 170, 48, 34
Line = list[tuple[float, float]]


def draw_dynamics(experiment: Experiment, out: Path, file: Path) -> Path | None:
    """Draw the arms of ``experiment.dynamics``, mean over seeds, into ``file``; None when none has run."""
    curves: dict[str, dict[str, Line]] = {}
    for name in experiment.dynamics:
        logs = [
            folder_of(out, experiment.world, seed) / "stages" / name / "metrics.jsonl"
            for seed in experiment.seeds
        ]
        found = [read_metrics(log, name).series for log in logs if log.is_file()]
        if found:
            series = [{_panel_of(key): line for key, line in log.items()} for log in found]
            known = [key for key, _ in PANELS if any(key in each for each in series)]
            curves[experiment.arm(name).title] = {
                key: _mean([each[key] for each in series if key in each]) for key in known
            }
    if not curves:
        return None
    files.write_text(file, picture(curves))
    return file


def _panel_of(key: str) -> str:
    """``reward/spatial-think/accuracy`` is drawn where ``reward/spatial/accuracy`` is: one task, another view."""
    return "/".join(task_of(part) for part in key.split("/"))


def picture(curves: Mapping[str, Mapping[str, Line]]) -> str:
    """``curves[title][metric]`` as one SVG: a panel a metric, a colour a title."""
    shown = [(key, label) for key, label in PANELS if any(key in lines for lines in curves.values())]
    columns = min(2, len(shown)) or 1
    rows = -(-len(shown) // columns)
    legend = legend_height(curves)
    width, height = columns * (WIDTH + GAP) + GAP // 2, rows * (HEIGHT + GAP + TOP) + legend
    parts = sheet(width, height)
    for number, (key, label) in enumerate(shown):
        x = GAP + (number % columns) * (WIDTH + GAP)
        y = TOP + (number // columns) * (HEIGHT + GAP + TOP)
        lines = [(i, c[key]) for i, c in enumerate(curves.values()) if key in c]
        parts += _panel(x, y, label, lines)
    parts += legend_of(list(curves), height - legend)
    return "\n".join([*parts, "</svg>\n"])


def sheet(width: float, height: float) -> list[str]:
    """The beginning of an SVG with a white ground; the caller adds parts and ``</svg>``."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]


def legend_height(titles: Sized) -> int:
    """Room for :func:`legend_of`."""
    return 18 * len(titles) + 12


def legend_of(titles: Sequence[str], top: float) -> list[str]:
    """A line a title, from ``top`` down."""
    parts = []
    for number, title in enumerate(titles):
        y = top + 18 * number + 8
        parts.append(f'<rect x="{GAP}" y="{y}" width="14" height="4" fill="{colour(number)}"/>')
        parts.append(f'<text x="{GAP + 22}" y="{y + 6}">{escape(title)}</text>')
    return parts


def axes(x: float, y: float, label: str, low: float, high: float) -> list[str]:
    """A panel's heading and its two axes, the upright one from ``low`` to ``high``."""
    return [
        f'<text x="{x}" y="{y - 10}" font-weight="bold">{escape(label)}</text>',
        f'<path d="M{x},{y} V{y + HEIGHT} H{x + WIDTH}" fill="none" stroke="#9ca3af"/>',
        f'<text x="{x - 4}" y="{y + 8}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{x - 4}" y="{y + HEIGHT}" text-anchor="end">{low:.3g}</text>',
    ]


def _panel(x: float, y: float, label: str, lines: Sequence[tuple[int, Line]]) -> list[str]:
    steps = [step for _, line in lines for step, _ in line]
    values = [value for _, line in lines for _, value in line]
    low, high = min(values), max(values)
    high = high if high > low else low + 1.0
    first, last = min(steps), max(max(steps), min(steps) + 1)

    def place(step: float, value: float) -> str:
        across = x + WIDTH * (step - first) / (last - first)
        return f"{across:.1f},{y + HEIGHT * (1 - (value - low) / (high - low)):.1f}"

    parts = [
        *axes(x, y, label, low, high),
        f'<text x="{x}" y="{y + HEIGHT + 14}">{first:g}</text>',
        f'<text x="{x + WIDTH}" y="{y + HEIGHT + 14}" text-anchor="end">step {last:g}</text>',
    ]
    for index, line in lines:
        means = smooth([value for _, value in line], len(line) / 15)
        faint = " ".join(place(step, value) for step, value in line)
        clear = " ".join(place(step, value) for (step, _), value in zip(line, means, strict=True))
        shade = colour(index)
        parts.append(f'<polyline points="{faint}" fill="none" stroke="{shade}" opacity="0.25"/>')
        parts.append(f'<polyline points="{clear}" fill="none" stroke="{shade}" stroke-width="1.8"/>')
    return parts


def _mean(lines: Sequence[Line]) -> Line:
    """The mean over seeds at each step that all of them have."""
    tables = [dict(line) for line in lines]
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    return [(step, float(np.mean([table[step] for table in tables]))) for step in steps]


def colour(index: int) -> str:
    """Of the line with this number."""
    return COLOURS[index % len(COLOURS)]
