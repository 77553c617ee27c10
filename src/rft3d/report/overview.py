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

from rft3d import __version__
from rft3d.files import read_json, write_json, write_text
from rft3d.report.page import render_overview
from rft3d.report.run_folder import NothingToReport
from rft3d.report.run_report import write_report

DEEPEST = 3
"""So many folders below the given one a run may lie (``OUT/<world>/seed0`` is two below)."""
LARGEST_PICTURE = 2_000_000
"""Bytes of a figure; ours have some ten thousand."""


@dataclass(frozen=True)
class Grid:
    """A table's cells, as text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """What there is to say of one experiment. ``pictures``: ``(file name, what it shows)``."""

    name: str
    question: str
    claims: Grid
    arms: Grid
    pictures: tuple[tuple[str, str], ...]


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
    tables = read_tables(root / "tables.json")
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
    state, sections = tables or ("", [])
    page = render_overview(
        title=root.name, version=__version__, runs=rows, state=state, sections=sections,
        picture=partial(_picture, root / "images"),
    )  # fmt: skip
    write_text(path, page)
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


def write_tables(root: Path, state: str, sections: Sequence[Section]) -> None:
    """Write ``root/tables.json``, for the page above ``root``'s runs."""
    write_json(root / "tables.json", {"state": state, "sections": list(sections)})


def read_tables(file: Path) -> tuple[str, list[Section]] | None:
    """What :func:`write_tables` wrote, checked in shape: it is shown as text only. None without a file."""
    if not file.is_file():
        return None
    try:
        found = read_json(file)
        sections = [
            Section(
                str(section["name"]),
                str(section["question"]),
                _grid(section["claims"]),
                _grid(section["arms"]),
                tuple((str(name), str(what)) for name, what in section["pictures"]),
            )
            for section in found["sections"]
        ]
        return str(found["state"]), sections
    except (ValueError, KeyError, TypeError) as problem:
        raise ValueError(
            f"{file}: not the tables of experiments ({type(problem).__name__}: {problem}); "
            "write it again with rft3d experiment table"
        ) from None


def _grid(found: Any) -> Grid:
    return Grid(tuple(map(str, found["head"])), tuple(tuple(map(str, row)) for row in found["rows"]))


def _picture(folder: Path, name: str) -> str | None:
    """An SVG as base64, for an ``<img>`` (where it can run nothing); None when it is not there or far too big."""
    path = folder / Path(name).name  # only what lies in the folder
    if path.suffix != ".svg" or not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
        return None
    return base64.b64encode(path.read_bytes()).decode("ascii")
