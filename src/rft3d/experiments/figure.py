"""The figure of training dynamics: rewards and held-out metrics over the steps, mean over seeds (matplotlib)."""

import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.experiments.types import Experiment
from rft3d.files import write_bytes
from rft3d.report.curves import read_metrics, smooth

PANELS = (
    ("held_out/detection/f1@0.25", "held-out F1@.25"),
    ("held_out/grounding/acc@0.25", "held-out Acc@.25"),
    ("held_out/spatial/micro", "held-out VSI micro"),
    ("reward/detection", "reward, detection"),
    ("reward/grounding", "reward, grounding"),
    ("reward/spatial", "reward, spatial"),
    ("entropy", "entropy, nats a token"),
    ("completion_length/detection", "tokens of a detection answer"),
)
Line = list[tuple[float, float]]


def draw_dynamics(experiment: Experiment, roots: Mapping[int, Path], file: Path) -> Path | None:
    """Draw the arms of ``experiment`` that have run into the SVG ``file``; None when none has.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    curves: dict[str, dict[str, Line]] = {}
    for arm in experiment.arms:
        logs = [root / "stages" / arm.name / "metrics.jsonl" for root in roots.values()]
        series = [read_metrics(log).series for log in logs if log.is_file()]
        known = [key for key, _ in PANELS if series and all(key in each for each in series)]
        if known:
            curves[arm.title] = {key: mean_line([each[key] for each in series]) for key in known}
    panels = [(key, label) for key, label in PANELS if any(key in lines for lines in curves.values())]
    if not panels:
        return None
    write_bytes(file, _svg(curves, panels))
    return file


def _svg(curves: Mapping[str, Mapping[str, Line]], panels: Sequence[tuple[str, str]]) -> bytes:
    figure_class, rc_context = _matplotlib()
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    with rc_context({"svg.hashsalt": "rft3d", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3}):
        shown: dict[str, Any] = {}  # a line of each arm
        figure = figure_class(figsize=(2.6 * columns, 2.1 * rows + 0.5), layout="constrained")
        for number, (key, label) in enumerate(panels, 1):
            axes = figure.add_subplot(rows, columns, number)
            axes.set_title(label)
            for colour, (title, lines) in enumerate(curves.items()):
                if key not in lines:
                    continue
                steps, values = zip(*lines[key], strict=True)
                axes.plot(steps, values, color=f"C{colour}", alpha=0.25)
                means = smooth(list(values), len(values) / 15)
                (shown[title],) = axes.plot(steps, means, color=f"C{colour}")
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=min(4, len(shown)))
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _matplotlib() -> tuple[Any, Any]:
    """``Figure`` and ``rc_context``; an extra, so it is looked for only here."""
    package = importlib.import_module("matplotlib")
    return importlib.import_module("matplotlib.figure").Figure, package.rc_context


def mean_line(lines: Sequence[Line]) -> Line:
    """The mean over seeds at each step that all of them have."""
    tables = [dict(line) for line in lines]
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    return [(step, float(np.mean([table[step] for table in tables]))) for step in steps]
