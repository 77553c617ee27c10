"""The demo's closing table: every model on every task, with intervals, and the paired verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rft3d.report.run_folder import title_of

COLUMNS = (
    ("detection", "f1@0.25", "F1"),
    ("detection", "precision@0.25", "P"),
    ("detection", "recall@0.25", "R"),
    ("detection", "mean_iou", "mIoU"),
    ("grounding", "acc@0.25", "Acc.25"),
    ("grounding", "acc@0.5", "Acc.5"),
    ("spatial", "macro8", "VSI"),
)


def read_scores(root: Path) -> dict[str, dict[str, Any]]:
    """``scores[model][task]`` of a run folder."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(root.glob("eval/*/*.scores.json")):
        task = file.name.removesuffix(".scores.json")
        found.setdefault(file.parent.name, {})[task] = json.loads(file.read_text(encoding="utf-8"))
    return found


def print_results(root: Path, console: Console) -> None:
    """Print the table of run ``root``; percentages with 95 % bootstrap intervals over rooms."""
    from rft3d.demo.story import MODELS

    scores = read_scores(root)
    counts = next(iter(scores.values()))
    table = Table(title="held-out rooms, % [95 % interval]")
    table.add_column("model")
    for task, _, label in COLUMNS:
        table.add_column(f"{label}\n{task}", justify="right")
    for model in MODELS:
        if model in scores:
            table.add_row(
                title_of(model), *(_cell(scores[model], task, metric) for task, metric, _ in COLUMNS)
            )
    console.print(table)
    rooms = max(entry["scenes"] for entry in counts.values())
    asked = ", ".join(f"{entry['samples']} {task}" for task, entry in counts.items())
    console.print(f"{rooms} rooms; questions: {asked}", highlight=False)


def _cell(scores: dict[str, Any], task: str, metric: str) -> str:
    entry = scores.get(task)
    if entry is None:
        return "-"
    interval = entry["headline"].get(metric)
    value = entry["metrics"].get(metric)
    if value is None:
        return "-"
    if interval is None or interval["low"] is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f}\n[{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"
