"""The report's tables: results with intervals, paired comparisons, classes, question types, cost, config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rft3d.evaluation.stats import Difference
from rft3d.report.runs import Joined, JoinedTask, Pairs, baseline_column
from rft3d.settings import differing, flatten

NOTHING: dict[str, Any] = {"value": None, "low": None, "high": None}
_COUNTS = {"macro8/tasks"}  # how many, not how good
_STAGE_COLUMNS = ("stage", "seconds", "peak_memory_mb", "tokens", "tokens_per_s")


def results_table(joined: Joined) -> dict[str, Any] | None:
    """Rows = models, columns = headline metrics of every task, each with its interval, from scores.json."""
    tasks = [task for task in joined.tasks if task.answers]
    if not tasks:
        return None
    names = {
        task.name: list(dict.fromkeys(name for made in task.answers for name in made.summary.headline))
        for task in tasks
    }
    rows = [
        {
            "title": column.title,
            "cells": [_cell(task, name, index) for task in tasks for name in names[task.name]],
        }
        for index, column in enumerate(joined.columns)
    ]
    for cells in zip(*(row["cells"] for row in rows), strict=True):
        shown = [round(cell["value"], 3) for cell in cells if cell["value"] is not None]
        best = max(shown, default=0.0)
        for cell in cells:  # of what reads alike none stands out
            alone = len(rows) > 1 and shown.count(best) == 1
            cell["best"] = alone and cell["value"] is not None and round(cell["value"], 3) == best
    one = next(iter(tasks[0].answers[0].summary.headline.values()), None)
    return {
        "groups": [{"task": t.name, "names": names[t.name], "samples": _counts(t)} for t in tasks],
        "rows": rows,
        "reading": [
            (joined.columns[column].title, task.name, made.summary)
            for task in tasks
            for column, made in zip(task.columns, task.answers, strict=True)
        ],
        "level": f"{100 * (one.level if one else 0.95):g} %",
        "resamples": one.resamples if one else "no",
    }


def _counts(task: JoinedTask) -> str:
    """``n = 320 in 320 scenes``, or a range where the columns answered different numbers."""
    counts = {(made.summary.samples, made.summary.scenes) for made in task.answers}
    if len(counts) == 1:
        samples, scenes = counts.pop()
        return f"n = {samples} in {scenes} scenes"
    return f"n = {min(counts)[0]} to {max(counts)[0]}"


def _cell(task: JoinedTask, name: str, column: int) -> dict[str, Any]:
    made = next((made for c, made in zip(task.columns, task.answers, strict=True) if c == column), None)
    found = None if made is None else made.summary.headline.get(name)
    return NOTHING | ({} if found is None else asdict(found))


def compared_view(joined: Joined, pairs: dict[str, Pairs]) -> dict[str, Any] | None:
    """Every model against the baseline (SFT→SFT when there, else the first), paired on samples of both."""
    tasks = [task for task in joined.tasks if len(task.columns) > 1]
    if not tasks:
        return None
    baseline = baseline_column(joined)
    groups = []
    rows: dict[int, list[dict[str, Any] | None]] = {
        i: [] for i in range(len(joined.columns)) if i != baseline
    }
    for task in tasks:
        names = list(task.answers[0].summary.headline)
        groups.append({"task": task.name, "names": names})
        for column, cells in rows.items():
            if baseline not in task.columns or column not in task.columns:
                cells += [None] * len(names)
                continue
            found, count = pairs[task.name].between(task.columns.index(baseline), task.columns.index(column))
            cells += [difference_view(found[name], count) if name in found else None for name in names]
    return {
        "baseline": joined.columns[baseline].title,
        "groups": groups,
        "rows": [{"title": joined.columns[column].title, "cells": cells} for column, cells in rows.items()],
    }


def difference_view(found: Difference, count: int) -> dict[str, Any]:
    """A difference as JSON values, with ``n`` and where its interval lies (``up``, ``down`` or around 0).

    ``tied``: it reads 0.0; ``still``: so do both ends of its interval.
    """
    direction = ""
    if found.low is not None and found.high is not None:
        direction = "up" if found.low > 0 else "down" if found.high < 0 else ""
    tied, *ends = (
        value is not None and abs(value) < 5e-4 for value in (found.difference, found.low, found.high)
    )
    return {**asdict(found), "direction": direction, "n": count, "tied": tied, "still": tied and all(ends)}


def class_tables(joined: Joined) -> list[dict[str, Any]]:
    """Metrics named ``metric/group``: a table a task, a row a group (classes last), a column a model."""
    tables = []
    for task in joined.tasks:
        keys = [
            key
            for made in task.answers
            for key in made.summary.metrics
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
                "cells": [_class_cell(made.summary.metrics, columns, group) for made in task.answers],
            }
            for group in groups
        ]
        rows = [row for row in rows if any(c["value"] is not None or c["others"] for c in row["cells"])]
        titles = [joined.columns[column].title for column in task.columns]
        tables.append({"task": task.name, "models": titles, "columns": columns, "rows": rows})
    return tables


def _class_cell(metrics: Mapping[str, float | None], columns: list[str], group: str) -> dict[str, Any]:
    first, *others = [(column, metrics.get(f"{column}/{group}")) for column in columns]
    return {"value": first[1], "others": [(name, value) for name, value in others if value is not None]}


def cost_tables(joined: Joined) -> list[dict[str, Any]]:
    """Stages of each run, from ``stages.json``: rows of the file, with everything else in one line of facts."""
    tables = []
    for title, run in zip(joined.titles, joined.runs, strict=True):
        if not run.stages:
            continue
        nothing = dict.fromkeys(_STAGE_COLUMNS)
        rows = [{**nothing, **row, "facts": _short_facts(row)} for row in run.stages]
        memory = max(
            (row["peak_memory_mb"] for row in rows if row["peak_memory_mb"] is not None), default=None
        )
        seconds = sum(row["seconds"] or 0.0 for row in rows)
        tables.append({"run": title, "rows": rows, "seconds": seconds, "memory": memory})
    return tables


def _short_facts(row: dict[str, Any]) -> str:
    facts = flatten({key: value for key, value in row.items() if key not in _STAGE_COLUMNS})
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in facts.items()
    )


def facts_table(joined: Joined, what: str) -> dict[str, Any] | None:
    """``config`` or ``env`` of every run by dotted name; rows on which the runs differ come first."""
    read = [getattr(run, what) for run in joined.runs]
    if all(value is None for value in read):
        return None
    flat = [flatten(value) for value in read]
    names = dict.fromkeys(name for values in flat for name in values)
    rows = []
    for name in names:
        texts = [_plain(values.get(name, "–")) for values in flat]
        rows.append({"name": name, "values": texts, "differs": len(set(texts)) > 1})
    return {
        "runs": list(joined.titles),
        "differing": [row for row in rows if row["differs"]],
        "same": [row for row in rows if not row["differs"]],
    }


def default_differences(joined: Joined) -> list[dict[str, str]] | None:
    """One run's settings that are not the defaults, ``{name, value, default}``; None where none are known."""
    if len(joined.runs) != 1 or joined.runs[0].config is None or joined.runs[0].defaults is None:
        return None
    own, usual = flatten(joined.runs[0].config), flatten(joined.runs[0].defaults)
    return [
        {"name": name, "value": _plain(own.get(name, "–")), "default": _plain(usual.get(name, "–"))}
        for name in differing(own, usual)
    ]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
