"""A folder of run folders: a page for each run, and one above them that says what is where.

``rft3d experiment`` leaves ``tables.json`` and ``images`` beside its runs: claims, means over seeds and
figures, which stand on the upper page. Without it the page lists the runs and what their models scored.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rft3d.files import blaming, read_json, write_text
from rft3d.report.page import render_overview
from rft3d.report.run_folder import NothingToReport
from rft3d.report.run_report import write_report
from rft3d.runfolder import as_record

DEEPEST = 3
"""So many folders below the given one a run may lie (``OUT/<world>/seed0`` is two below)."""
LARGEST_PICTURE = 2_000_000
"""Bytes of a figure; ours have some ten thousand."""


@dataclass(frozen=True)
class Grid:
    """A table's cells, as text."""

    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Section:
    """What there is to say of one experiment. ``pictures``: ``(file name, what it shows)``."""

    name: str = ""
    question: str = ""
    claims: Grid = Grid()
    arms: Grid = Grid()
    pictures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Tables:
    """``tables.json`` in a folder of run folders, which ``rft3d experiment table`` writes."""

    state: str = ""
    sections: tuple[Section, ...] = ()


def is_run(folder: Path) -> bool:
    """Whether ``folder`` looks like one run: stages, or answers to score."""
    return (folder / "stages.json").is_file() or (folder / "stages").is_dir() or (folder / "eval").is_dir()


def runs_below(root: str | Path) -> list[Path]:
    """Run folders inside ``root`` by path, none inside another; empty when ``root`` is itself a run or none."""
    root = Path(root)
    if not root.is_dir() or is_run(root):
        return []
    return _below(root, DEEPEST)


def _below(folder: Path, depth: int) -> list[Path]:
    found: list[Path] = []
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        if is_run(inner):
            found.append(inner)
        elif depth > 1:
            found += _below(inner, depth - 1)
    return found


def write_overview(
    root: str | Path,
    runs: Sequence[Path],
    out: str | Path | None = None,
    *,
    gallery: int = 16,
    resamples: int = 1000,
    max_mb: float = 15.0,
    pictures: str | Path | None = None,
    told: Callable[[Path], None] | None = None,
) -> Path:
    """Write ``RUN/report/index.html`` for each of ``runs`` and ``root/report/index.html`` above them.

    A run that has nothing to report on yet is named with the reason. Arguments as
    :func:`rft3d.report.write_report`; ``out``: folder of the upper page; ``told`` is called with
    each page that is written.

    Raises:
        ValueError: none of ``runs`` has anything to report on, ``tables.json`` can't be read, a bad number.
    """
    root = Path(root)
    tables = Tables()
    if (file := root / "tables.json").is_file():
        with blaming(file, AttributeError, fix="write it again with rft3d experiment table"):
            tables = as_record(Tables, read_json(file))
    folder = Path(out) if out is not None else root / "report"
    rows: list[dict[str, Any]] = []
    for run in runs:
        row: dict[str, Any] = {"title": str(run.relative_to(root)), "link": None, "reason": ""}
        try:
            page = write_report(run, gallery=gallery, resamples=resamples, max_mb=max_mb, pictures=pictures)
            row["link"] = os.path.relpath(page, folder)
            if told is not None:
                told(page)
        except NothingToReport as problem:
            row["reason"] = str(problem)
        rows.append({**row, **_facts(run)})
    if all(row["link"] is None for row in rows):
        raise ValueError(f"{root}: none of its {len(rows)} run folders has anything to report on yet")
    path = folder / "index.html"
    picture = partial(_picture, root / "images")
    write_text(path, render_overview(title=root.name, runs=rows, tables=tables, picture=picture))
    return path


def _facts(run: Path) -> dict[str, Any]:
    """How many models the run has and has scored, and when and from which commit it began."""
    evaluated = {file.parent.name for file in run.glob("eval/*/*.scores.json")}
    trained = {file.parent.name for file in run.glob("models/*/config.json")}
    try:
        commit = read_json(run / "env.json").get("commit")
    except (OSError, ValueError, AttributeError):
        commit = None
    return {"models": len(trained), "scored": len(evaluated), "commit": str(commit or "")[:12]}


def _picture(folder: Path, name: str) -> str | None:
    """An SVG as base64, for an ``<img>`` (where it can run nothing); None when it is not there or far too big."""
    path = folder / Path(name).name  # only what lies in the folder
    if path.suffix != ".svg" or not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
        return None
    return base64.b64encode(path.read_bytes()).decode("ascii")
