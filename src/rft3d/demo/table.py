"""The demo's closing table: every model on every task, with intervals; the report has the paired one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

COLUMNS = (
    ("detection", "f1@0.25", "F1"),
    ("detection", "precision@0.25", "P"),
    ("detection", "recall@0.25", "R"),
    ("detection", "mean_iou", "mIoU"),
    ("grounding", "acc@0.25", "Acc.25"),
    ("grounding", "acc@0.5", "Acc.5"),
    ("spatial", "macro8", "VSI"),
    ("spatial", "micro", "micro"),
)
FEW = 30
"""A mean over tasks says little where one of them has fewer questions than this."""


SHORT = {"sft": "SFT", "sft_sft": "SFT→SFT", "rft_paper": "RFT paper", "rft_matched": "RFT matched"}
"""Models in the table's order, by names that fit a narrow terminal."""


def read_scores(root: Path) -> dict[str, dict[str, Any]]:
    """``scores[model][task]`` of a run folder."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(root.glob("eval/*/*.scores.json")):
        task = file.name.removesuffix(".scores.json")
        found.setdefault(file.parent.name, {})[task] = json.loads(file.read_text(encoding="utf-8"))
    return found


def print_results(root: Path, console: Console) -> None:
    """Print the table of run ``root``: percentages and half the width of their 95 % intervals over rooms."""
    scores = read_scores(root)
    counts = next(iter(scores.values()))
    table = Table(
        title="held-out rooms, % ± half the 95 % interval",
        box=SIMPLE_HEAD,
        padding=(0, 0),
        pad_edge=False,
    )
    table.add_column("model", no_wrap=True)
    for _, _, label in COLUMNS:
        table.add_column(label, justify="right", no_wrap=True)
    for model, short in SHORT.items():
        if model in scores:
            table.add_row(short, *(_cell(scores[model], task, metric) for task, metric, _ in COLUMNS))
    console.print(table)
    rooms = max(entry["scenes"] for entry in counts.values())
    asked = ", ".join(f"{entry['samples']} {task}" for task, entry in counts.items())
    console.print(f"{rooms} rooms; questions: {asked}", highlight=False)
    rare = rare_tasks(next(iter(scores.values())).get("spatial", {}).get("metrics", {}))
    if rare:
        named = ", ".join(f"{name} ({count})" for name, count in rare.items())
        console.print(
            f"VSI is the mean over VSI-Bench's tasks, micro the mean over questions. Few questions of: {named}; "
            "they move VSI by whole points, so compare by micro.",
            highlight=False,
        )


def rare_tasks(metrics: Mapping[str, Any]) -> dict[str, int]:
    """Spatial tasks that ``macro8`` counts although they have fewer than ``FEW`` questions, and how many."""
    counts = {k.removeprefix("count/"): int(v or 0) for k, v in metrics.items() if k.startswith("count/o")}
    easier = [name for name in counts if name.startswith("object_rel_direction_")]  # one task in three grades
    directions = sum(counts.pop(name) for name in easier)
    counts |= {"object_rel_direction": directions} if easier else {}
    return {name: count for name, count in counts.items() if 0 < count < FEW}


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
    return f"{100 * value:.1f}±{50 * (interval['high'] - interval['low']):.0f}"
