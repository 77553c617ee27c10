"""The report's tables: results with intervals, paired comparisons, classes, question types, cost, config."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rft3d.evaluation.stats import Difference
from rft3d.report.runs import Joined, JoinedTask, Pairs, baseline_column
from rft3d.settings import flatten

NOTHING: dict[str, Any] = {"value": None, "low": None, "high": None}
_COUNTS = {"macro8/tasks"}  # how many, not how good
_STAGE_COLUMNS = ("stage", "seconds", "peak_memory_mb", "tokens", "tokens_per_s")


def results_table(joined: Joined) -> dict[str, Any] | None:
    """Rows = models, columns = headline metrics of every task, each with its interval, from scores.json."""
    tasks = [task for task in joined.tasks if task.answered]
    if not tasks:
        return None
    names = {
        t.name: list(
            dict.fromkeys(name for made in t.answered.values() for name in made.run.summary.headline)
        )
        for t in tasks
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
    one = next(iter(next(iter(tasks[0].answered.values())).run.summary.headline.values()), None)
    return {
        "groups": [{"task": t.name, "names": names[t.name], "samples": _counts(t)} for t in tasks],
        "rows": rows,
        "reading": [
            (joined.columns[column].title, task.name, made.run.summary)
            for task in tasks
            for column, made in task.answered.items()
        ],
        "level": f"{100 * (one.level if one else 0.95):g} %",
        "resamples": one.resamples if one else "no",
    }


def _counts(task: JoinedTask) -> str:
    """``n = 320 in 320 scenes``, or a range where the columns answered different numbers."""
    counts = {(made.run.summary.samples, made.run.summary.scenes) for made in task.answered.values()}
    if len(counts) == 1:
        samples, scenes = counts.pop()
        return f"n = {samples} in {scenes} scenes"
    return f"n = {min(counts)[0]} to {max(counts)[0]}"


def _cell(task: JoinedTask, name: str, column: int) -> dict[str, Any]:
    made = task.answered.get(column)
    found = None if made is None else made.run.summary.headline.get(name)
    return NOTHING | ({} if found is None else asdict(found))


def compared_view(joined: Joined, pairs: dict[str, Pairs]) -> dict[str, Any] | None:
    """Every model against the baseline (SFT→SFT when there, else the first), paired on samples of both."""
    tasks = [task for task in joined.tasks if len(task.answered) > 1]
    if not tasks:
        return None
    baseline = baseline_column(joined)
    groups = []
    rows: dict[int, list[dict[str, Any] | None]] = {
        i: [] for i in range(len(joined.columns)) if i != baseline
    }
    for task in tasks:
        names = list(next(iter(task.answered.values())).run.summary.headline)
        groups.append({"task": task.name, "names": names})
        for column, cells in rows.items():
            if baseline not in task.answered or column not in task.answered:
                cells += [None] * len(names)
                continue
            found, count = pairs[task.name].between(baseline, column)
            cells += [difference_view(found[name], count) if name in found else None for name in names]
    return {
        "baseline": joined.columns[baseline].title,
        "groups": groups,
        "rows": [{"title": joined.columns[column].title, "cells": cells} for column, cells in rows.items()],
    }


def difference_view(found: Difference, count: int) -> dict[str, Any]:
    """A difference as JSON values, with ``n`` and where its interval lies (``up``, ``down`` or around 0).
    ``tied``: it reads 0.0; ``still``: so do both ends of its interval."""
    direction = "" if not found.decided else "up" if (found.low or 0) > 0 else "down"
    tied, *ends = (
        value is not None and abs(value) < 5e-4 for value in (found.difference, found.low, found.high)
    )
    return {**asdict(found), "direction": direction, "n": count, "tied": tied, "still": tied and all(ends)}


def class_tables(joined: Joined) -> list[dict[str, Any]]:
    """Metrics named ``metric/group``: a table a task, a row a group (classes last), a column a model."""
    tables = []
    for task in joined.tasks:
        read = [made.run.summary.metrics for made in task.answered.values()]
        keys = [
            key
            for metrics in read
            for key in metrics
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
                "cells": [_class_cell(metrics, columns, group) for metrics in read],
            }
            for group in groups
        ]
        rows = [row for row in rows if any(c["value"] is not None or c["others"] for c in row["cells"])]
        titles = [joined.columns[column].title for column in task.answered]
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


def facts_table(titles: Sequence[str], read: Sequence[Any]) -> dict[str, Any] | None:
    """Settings side by side by dotted name, those that differ apart; None where nothing is known."""
    if all(value is None for value in read):
        return None
    flat = [flatten(value) for value in read]
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for name in dict.fromkeys(name for values in flat for name in values):
        texts = [_plain(values.get(name, "–")) for values in flat]
        rows[len(set(texts)) > 1].append({"name": name, "values": texts})
    return {"runs": list(titles), "differing": rows[True], "same": rows[False]}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
