"""A benchmark's variants side by side: the official protocol and, with ``--compat vg-llm``, upstream's reading.

From ``<model>/<task>.scores.json`` as ``rft3d score --benchmark NAME --compat vg-llm --out`` writes it.
"""

from __future__ import annotations

from typing import Any

from rft3d.evaluation.tables import footnotes
from rft3d.report.runs import Joined
from rft3d.report.tables import NOTHING


def variant_tables(joined: Joined) -> list[dict[str, Any]]:
    """A table a benchmark: a row for each model and variant, a column for each headline metric.

    ``notes`` are numbered from 1 and say what each variant does differently, what it could not read, and
    whether the samples are the complete benchmark; a row names the ``marks`` that belong to it.
    """
    tables: dict[str, dict[str, Any]] = {}
    for task in joined.tasks:
        for column, made in zip(task.columns, task.answers, strict=True):
            summary = made.summary
            if "variants" not in summary or "benchmark" not in summary:
                continue
            title = str(summary["benchmark"]["title"])
            table = tables.setdefault(title, {"title": title, "metrics": [], "rows": [], "notes": []})
            _add(table, joined.columns[column].title, summary)
    for table in tables.values():
        for row in table["rows"]:
            row["cells"] = [row["headline"].get(name, NOTHING) for name in table["metrics"]]
    return list(tables.values())


def _add(table: dict[str, Any], model: str, summary: dict[str, Any]) -> None:
    variants: dict[str, Any] = summary["variants"]
    lines: list[str] = []
    for line in footnotes(summary):  # indented lines go on with the note before
        if line.startswith(" "):
            lines[-1] += f"; {line.strip()}"
        else:
            lines.append(line)
    own, shared = lines[: len(variants)], lines[len(variants) :]  # one a variant, then those of the file
    for (name, each), note in zip(variants.items(), own, strict=True):
        table["metrics"] += [metric for metric in each["headline"] if metric not in table["metrics"]]
        marks = [_mark(table["notes"], text) for text in (note, *shared)]
        table["rows"].append({"model": model, "variant": name, "headline": each["headline"], "marks": marks})


def _mark(notes: list[str], text: str) -> int:
    if text not in notes:
        notes.append(text)
    return notes.index(text) + 1
