"""Learning curves of a run's stages, from ``metrics.jsonl`` to one picture a stage.

matplotlib (the ``[viz]`` extra) is imported only when a picture is drawn.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rft3d.evaluation.records import write_text

_NOT_CURVES = {"step", "time", "epoch", "seconds"}
# the order in which a reader asks; other panels follow alphabetically
_FIRST = ("loss", "reward", "kl", "entropy", "completion_length", "parse_failure", "truncated", "clip_share")
_PALETTE = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#0891b2", "#be123c", "#a16207", "#475569")
_COLUMNS = 3


@dataclass(frozen=True)
class StageMetrics:
    """One stage's curves: ``series[name]`` lists ``(step, value)``; ``skipped`` counts unreadable lines."""

    stage: str
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    skipped: int = 0


def read_metrics(path: str | Path, stage: str) -> StageMetrics:
    """Numeric, finite values of a ``metrics.jsonl``; a run killed while writing may leave half a line."""
    series: dict[str, list[tuple[float, float]]] = {}
    skipped = 0
    for number, line in enumerate(Path(path).read_bytes().split(b"\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            skipped += 1
            continue
        if not isinstance(row, dict):
            skipped += 1
            continue
        step = row.get("step", number)
        if not _is_number(step):
            step = number
        for name, value in row.items():
            if name not in _NOT_CURVES and _is_number(value):
                series.setdefault(name, []).append((float(step), float(value)))
    return StageMetrics(stage, series, skipped)


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


def draw_curves(metrics: StageMetrics, path: str | Path) -> Path | None:
    """Draw every curve of a stage into an SVG file, one small panel a group; None when there is nothing.

    The thin line is the value as logged, the strong one its moving average.
    """
    groups = panels(list(metrics.series))
    if not groups:
        return None
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    rows = math.ceil(len(groups) / _COLUMNS)
    style: dict[Any, Any] = {
        "font.size": 8,
        "svg.hashsalt": "rft3d",
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with rc_context(style):
        figure = Figure(figsize=(3.6 * _COLUMNS, 2.1 * rows), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axis, (title, names) in zip(axes, groups, strict=False):
            for colour_index, name in enumerate(names):
                colour = _PALETTE[colour_index % len(_PALETTE)]
                steps, values = zip(*metrics.series[name], strict=True)
                axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.7)
                label = name.rpartition("/")[2]
                axis.plot(steps, smooth(values, len(values) / 15), color=colour, linewidth=1.4, label=label)
            axis.set_title(_plain(title), fontsize=9, loc="left", color="#334155")
            axis.grid(True, color="#e2e8f0", linewidth=0.6)
            if len(names) > 1:
                axis.legend(fontsize=7, frameon=False, ncols=2 if len(names) > 4 else 1)
        for axis in axes[len(groups) :]:
            axis.set_visible(False)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    path = Path(path)
    write_text(path, drawn.getvalue())
    return path


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # matplotlib reads $...$ as mathematics


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
