"""A run folder as HTML: ``write_report(run_dir)`` writes ``report/index.html`` and one page a shown sample.

Everything is relative to the report folder and inline otherwise, so that it opens offline and can
be moved or sent as a folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rft3d import __version__
from rft3d.evaluation.score import resample_run
from rft3d.evaluation.stats import Difference, differences
from rft3d.report.curves import draw_curves
from rft3d.report.page import duration, write_page
from rft3d.report.run_folder import (
    ModelRun,
    RunFolder,
    TaskRuns,
    is_baseline,
    read_run_folder,
    table_order,
    title_of,
)
from rft3d.report.samples import write_sample_pages

_COUNTS = {"macro8/tasks"}  # how many, not how good
_STAGE_COLUMNS = ("stage", "seconds", "peak_memory_mb", "tokens", "tokens_per_s")


def write_report(
    run_dir: str | Path, out: str | Path | None = None, *, gallery: int = 16, resamples: int = 1000
) -> Path:
    """Write the report of ``run_dir`` into ``out`` (``run_dir/report`` when None); returns its index page.

    ``gallery``: samples of each task that get a page. ``resamples``: of the paired comparisons, and of
    intervals where a scores file is missing. What the folder lacks is left out and named on the page.
    Raises FileNotFoundError or ValueError when the folder holds nothing to report on.
    """
    if gallery < 0:
        raise ValueError(f"gallery must be at least 0, got {gallery}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    run = read_run_folder(run_dir, resamples)
    out = Path(out) if out is not None else run.root / "report"
    out.mkdir(parents=True, exist_ok=True)
    notes = list(run.notes)
    galleries = [made for task in run.tasks if (made := write_sample_pages(task, out, gallery)) is not None]
    context: dict[str, Any] = {
        "results": results_table(run),
        "comparisons": comparison_table(run, resamples),
        "curves": _curves(run, out, notes),
        "classes": class_tables(run),
        "cost": cost_table(run),
        "galleries": galleries,
        "facts": _facts(run),
    }
    return write_page(
        out / "index.html",
        "index.html.j2",
        title=f"rft3d run: {run.root.resolve().name}",
        lead=_lead(run),
        version=__version__,
        notes=notes,
        sections=_sections(context),
        **context,
    )


def results_table(run: RunFolder) -> dict[str, Any] | None:
    """Rows = models, columns = headline metrics of every task, each with its interval."""
    tasks = [task for task in run.tasks if task.runs]
    if not tasks:
        return None
    models = sorted({model.name for task in tasks for model in task.runs}, key=table_order)
    groups, columns = [], []
    for task in tasks:
        names = list(task.runs[0].summary["headline"])
        first = task.runs[0].summary
        groups.append(
            {"task": task.name, "names": names, "samples": first["samples"], "scenes": first["scenes"]}
        )
        columns += [(task, name) for name in names]
    rows = []
    for model in models:
        cells = [_cell(task, name, model) for task, name in columns]
        rows.append({"title": title_of(model), "cells": cells})
    for column in range(len(columns)):
        values = [row["cells"][column]["value"] for row in rows]
        best = max((value for value in values if value is not None), default=None)
        for row in rows:
            row["cells"][column]["best"] = (
                len(rows) > 1 and best is not None and row["cells"][column]["value"] == best
            )
    one = next(iter(tasks[0].runs[0].summary["headline"].values()), {})
    return {
        "groups": groups,
        "rows": rows,
        "reading": [_reading_row(task, made) for task in tasks for made in task.runs],
        "level": f"{100 * one.get('level', 0.95):g} %",
        "resamples": one.get("resamples", "no"),
    }


def _cell(task: TaskRuns, name: str, model: str) -> dict[str, Any]:
    summary = next((made.summary for made in task.runs if made.name == model), None)
    found = {} if summary is None else summary["headline"].get(name, {})
    return {"value": found.get("value"), "low": found.get("low"), "high": found.get("high"), "best": False}


def _reading_row(task: TaskRuns, made: ModelRun) -> dict[str, Any]:
    summary = made.summary
    return {
        "title": made.title,
        "task": task.name,
        "samples": summary["samples"],
        "missing": summary["missing"]["count"],
        "unreadable": summary["parse_failures"]["rate"],
        "truncated": summary["truncated"]["rate"],
        "tokens": summary.get("mean_tokens"),
        "reward": summary["reward"]["total"],
        "mode": summary["protocol"].get("mode", "by default"),
    }


def comparison_table(run: RunFolder, resamples: int) -> dict[str, Any] | None:
    """Every model against the baseline (SFT→SFT when there, else the first), paired on the same scenes."""
    tasks = [task for task in run.tasks if len(task.runs) > 1]
    models = sorted({made.name for task in tasks for made in task.runs}, key=table_order)
    if not tasks:
        return None
    baseline = next((name for name in models if is_baseline(name)), models[0])
    groups, rows = [], {name: [] for name in models if name != baseline}
    for task in tasks:
        drawn = {made.name: resample_run(made.scored, resamples) for made in task.runs}
        names = next(iter(drawn.values())).names
        groups.append({"task": task.name, "names": names})
        for model, cells in rows.items():
            if baseline not in drawn or model not in drawn:
                cells += [None] * len(names)
                continue
            found = differences(drawn[baseline], drawn[model])
            cells += [{**asdict(found[name]), "direction": _direction(found[name])} for name in names]
    return {
        "baseline": title_of(baseline),
        "groups": groups,
        "rows": [{"title": title_of(model), "cells": cells} for model, cells in rows.items()],
    }


def _direction(found: Difference) -> str:
    if found.low is None or found.high is None:
        return ""
    return "up" if found.low > 0 else "down" if found.high < 0 else ""


def class_tables(run: RunFolder) -> list[dict[str, Any]]:
    """Metrics named ``metric/group``: a table a task, a row a group (classes last), a column a model."""
    tables = []
    for task in run.tasks:
        keys = [
            key
            for made in task.runs
            for key in made.summary["metrics"]
            if "/" in key and not key.startswith("count/") and key not in _COUNTS
        ]
        columns = list(dict.fromkeys(key.partition("/")[0] for key in keys))
        groups = list(dict.fromkeys(key.partition("/")[2] for key in keys))
        groups.sort(key=lambda group: (":" in group, group if ":" in group else ""))
        if not groups:
            continue
        rows = [
            {
                "name": group.rpartition(":")[2].replace("_", " "),
                "cells": [_class_cell(made.summary["metrics"], columns, group) for made in task.runs],
            }
            for group in groups
        ]
        models = [made.title for made in task.runs]
        tables.append({"task": task.name, "models": models, "columns": columns, "rows": rows})
    return tables


def _class_cell(metrics: dict[str, float | None], columns: list[str], group: str) -> dict[str, Any]:
    first, *others = [(column, metrics.get(f"{column}/{group}")) for column in columns]
    return {"value": first[1], "others": [(name, value) for name, value in others if value is not None]}


def cost_table(run: RunFolder) -> dict[str, Any] | None:
    """Wall time, peak memory and throughput of each stage, from ``stages.json``."""
    if not run.stages:
        return None
    extra = list(dict.fromkeys(key for row in run.stages for key in row if key not in _STAGE_COLUMNS))
    rows = [
        {
            "stage": row.get("stage", "?"),
            "seconds": row.get("seconds"),
            "memory": row.get("peak_memory_mb"),
            "tokens": row.get("tokens"),
            "tokens_per_s": row.get("tokens_per_s"),
            "extra": [row.get(key) for key in extra],
        }
        for row in run.stages
    ]
    return {
        "rows": rows,
        "extra": extra,
        "seconds": sum(row["seconds"] or 0.0 for row in rows),
        "memory": max((row["memory"] for row in rows if row["memory"] is not None), default=None),
    }


def _curves(run: RunFolder, out: Path, notes: list[str]) -> list[dict[str, str]]:
    drawn = []
    for index, stage in enumerate(run.metrics):
        try:
            path = draw_curves(stage, out / "curves" / f"{index}.svg")
        except ModuleNotFoundError as error:
            notes.append(f"no learning curves: the package {error.name!r} is not installed (extra [viz])")
            return []
        if path is not None:
            drawn.append({"stage": stage.stage, "src": f"curves/{path.name}"})
    return drawn


def _facts(run: RunFolder) -> list[dict[str, str]]:
    named = (("Environment (env.json)", run.env), ("Configuration (config.json)", run.config))
    return [
        {"name": name, "text": json.dumps(value, indent=2, ensure_ascii=False)}
        for name, value in named
        if value is not None
    ]


def _lead(run: RunFolder) -> str:
    facts = []
    env = run.env if isinstance(run.env, dict) else {}
    if env.get("commit"):
        facts.append(f"commit {str(env['commit'])[:12]}")
    if run.stages:
        facts.append(f"{duration(sum(row.get('seconds') or 0.0 for row in run.stages))} of computing")
    for task in run.tasks:
        facts.append(f"{len(task.samples)} {task.name} samples")
    return " · ".join(facts)


def _sections(context: dict[str, Any]) -> list[tuple[str, str]]:
    names = (
        ("results", "Results"),
        ("comparisons", "Comparison"),
        ("curves", "Curves"),
        ("classes", "Classes"),
        ("cost", "Cost"),
    )
    found = [(anchor, name) for anchor, name in names if context[anchor]]
    found += [(gallery["anchor"], f"Samples: {gallery['task']}") for gallery in context["galleries"]]
    return [*found, ("setup", "Setup")] if context["facts"] else found
