"""``docs/results.md`` from the run folders: a table of arms and a table of claims for every experiment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rft3d import files
from rft3d.matrix.figure import draw_dynamics
from rft3d.matrix.numbers import (
    COUNTED,
    FAILS,
    HOLDS,
    NOT_RUN,
    RESAMPLES,
    RULE,
    Found,
    cost_of,
    difference_of,
    value_of,
    verdict,
)
from rft3d.matrix.run import jobs
from rft3d.matrix.sweep_figure import draw_sweep
from rft3d.matrix.types import Arm, Experiment, folder_of

DYNAMICS = "Rewards, entropy and length over the steps, mean over seeds"
SWEEP = "Means over seeds with 95 % intervals, against"
READING = "What we make of it."
HEAD = """# Results

The claims of the paper, and some of ours, on procedural rooms with models small enough for two cores. This page
is written by `rft3d matrix table` from the run folders; a number that is not there was not measured.

**Everything**: `make results` (resumable, `AT_ONCE` seeds side by side, stops after `HOURS`); one arm: the
command in its row. The settings of each experiment are its recipe in [recipes/matrix](../recipes/matrix).
"""
CONTENTS = """## What was asked

How many rows of claims hold, by [the rule](#how-to-read-it); a claim has a row for each metric that it is about.
"""
OPEN = "undecided or not run"
HOW = """## How to read it

- Values are means over seeds with a 95 % interval: bootstrap over the held-out rooms, all seeds resampled
  together, {resamples} times. A difference is paired: both arms answer the same questions about the same rooms.
  The seeds share their held-out rooms; training rooms, weights and sampling differ.
- Arms of an experiment get the same optimizer tokens (tokens that pass forward and backward; a group of
  RFT counts its prompt once) unless the recipe says otherwise. What they really used is in the table;
  sampling is on top of it and shows in the minutes.
- {rule}
- *What we make of it* was written by hand after the numbers.
"""


@dataclass(frozen=True)
class Grid:
    """A table's cells, as text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """What the page says of one experiment.

    ``dynamics``: the arms whose curves are drawn; ``pictures``: ``(file name, what it shows)`` of every figure
    that has something to show.
    """

    name: str
    question: str
    claims: Grid
    arms: Grid
    reading: str
    dynamics: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...]


def write_results(
    experiments: Sequence[Experiment], out: Path, page: Path, images: Path | None = None
) -> Path:
    """Write ``page`` from what is in ``out``, with the figures as SVG files in ``images``; returns ``page``.

    The same tables and figures go to ``out/tables.json`` and ``out/images``, for ``rft3d report OUT``.
    """
    images = images or page.parent / "images"
    wanted = jobs(experiments)
    done = sum(job.finished(out) for job in wanted)
    state = f"{done} of {len(wanted)} arms (an arm counts once a seed) are done{_commits(experiments, out)}."
    sections = [_section(experiment, experiments, out, images) for experiment in experiments]
    parts = [HEAD, f"State: {state}\n", _contents(sections),
             HOW.format(resamples=RESAMPLES, rule=RULE.replace("\n", "\n  "))]  # fmt: skip
    parts += [_markdown(section, images.name) for section in sections]
    files.write_text(page, "\n".join(parts))
    if out.is_dir():
        for name in (name for section in sections for name, _ in section.pictures):
            files.write_text(out / "images" / name, (images / name).read_text(encoding="utf-8"))
        files.write_json(out / "tables.json", {"state": state, "sections": [asdict(s) for s in sections]})
    return page


def _commits(experiments: Sequence[Experiment], out: Path) -> str:
    found = set()
    for experiment in experiments:
        for seed in experiment.seeds:
            file = folder_of(out, experiment.world, seed) / "env.json"
            if file.is_file():
                found.add(str(json.loads(file.read_text(encoding="utf-8")).get("commit"))[:12])
    return f", commit {', '.join(sorted(found))}" if found else ""


def _section(experiment: Experiment, every: Sequence[Experiment], out: Path, images: Path) -> Section:
    drawn = [
        (draw_dynamics(experiment, out, images / f"dynamics-{experiment.name}.svg"), DYNAMICS),
        *(
            (draw_sweep(sweep, every, out, images / f"sweep-{sweep.name}.svg"), f"{SWEEP} {sweep.axis}")
            for sweep in experiment.sweeps
        ),
    ]
    return Section(
        experiment.name,
        experiment.question,
        _claims(experiment, out),
        _arms(experiment, out),
        experiment.reading.strip(),
        experiment.dynamics,
        tuple((file.name, what) for file, what in drawn if file is not None),
    )


def _contents(sections: Sequence[Section]) -> str:
    """What was asked, where it stands, and how many rows of claims came out which way."""
    outcomes = (HOLDS, FAILS, OPEN)
    rows = []
    for section in sections:
        verdicts = [row[-1] for row in section.claims.rows]
        counts = Counter(next((o for o in outcomes if said.startswith(o)), OPEN) for said in verdicts)
        numbers = (str(counts[outcome]) for outcome in outcomes)
        rows.append((f"[{section.name}](#{section.name})", section.question, *numbers))
    head = ("section", "question", *(outcome.strip("*") for outcome in outcomes))
    return "\n".join([CONTENTS, *_table(Grid(head, tuple(rows))), ""])


def _markdown(section: Section, images: str) -> str:
    lines = [f"## {section.name}", "", section.question, ""]
    if section.claims.rows:
        lines += [*_table(section.claims), ""]
    if section.reading:
        lines += [f"**{READING}** {section.reading}", ""]
    lines += _table(section.arms)
    for name, what in section.pictures:
        lines += ["", f"![{what}]({images}/{name})"]
    if section.dynamics and not any(what == DYNAMICS for _, what in section.pictures):
        lines += ["", f"Curves of {', '.join(section.dynamics)}: {NOT_RUN}."]
    return "\n".join([*lines, ""])


def _table(grid: Grid) -> list[str]:
    return [
        "| " + " | ".join(grid.head) + " |",
        "|---" * len(grid.head) + "|",
        *("| " + " | ".join(row) + " |" for row in grid.rows),
    ]


def _claims(experiment: Experiment, out: Path) -> Grid:
    rows = []
    for claim in experiment.claims:
        for view, metric in claim.metrics:
            found = difference_of(experiment, out, claim, view, metric)
            place = "" if claim.where == "eval" else f", {claim.where}"
            other = f" ({claim.against_view})" if claim.against_view else ""
            what = f"{_title(experiment, claim.arm)} minus {_title(experiment, claim.against)}{other}"
            margin = "" if claim.margin == 1.0 else f" (margin {claim.margin:g})"
            late = " (asked after the first numbers)" if claim.late else ""
            measure = f"{view} {metric}{place}: {what}"
            text = f"{claim.text}{margin}{late}"
            rows.append((text, measure, _signed(found), _count(found), verdict(found, claim)))
    return Grid(("claim", "measure", "difference", "n", "verdict"), tuple(rows))


def _arms(experiment: Experiment, out: Path) -> Grid:
    heads = [heading for _, _, heading in experiment.columns]
    rows = []
    for arm in experiment.arms:
        numbers = (_cell(experiment, out, arm, *column[:2]) for column in experiment.columns)
        command = f"`rft3d matrix run --only {experiment.name}/{arm.name}`"
        rows.append((arm.title, *numbers, *_cost(experiment, out, arm), command))
    return Grid(("arm", *heads, "seeds", "steps", "tokens", "minutes", "command"), tuple(rows))


def _cost(experiment: Experiment, out: Path, arm: Arm) -> tuple[str, str, str, str]:
    """Seeds that are trained, and their mean steps, optimizer tokens and minutes."""
    cost = cost_of(experiment, out, arm.name)
    seeds = sum(
        (folder_of(out, experiment.world, seed) / "stages" / arm.name / "done.json").is_file()
        for seed in experiment.seeds
    )
    if cost is None:
        return str(seeds), "-", "-", "-"
    tokens, minutes = cost["optimizer_tokens"] / 1e3, cost["training_seconds"] / 60
    return str(seeds), f"{cost['steps']:.0f}", f"{tokens:.0f} k", f"{minutes:.1f}"


def _cell(experiment: Experiment, out: Path, arm: Arm, view: str, metric: str) -> str:
    where, _, own = view.rpartition("@")  # larger@detection: the view in the rooms called larger
    if own not in arm.judge or (where and where not in arm.elsewhere):
        return ""
    found = value_of(experiment, out, arm.name, own, metric, where or "eval")
    if found is None:
        return NOT_RUN
    if found.hole is not None:
        return found.hole
    digits = 2 if metric in COUNTED else 1
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _signed(found: Found | None) -> str:
    if found is None:
        return NOT_RUN
    if found.hole is not None:
        return found.hole
    spread = f"; seeds {min(found.by_seed):+.1f} .. {max(found.by_seed):+.1f}" if found.seeds > 1 else ""
    return f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]{spread}"


def _count(found: Found | None) -> str:
    if found is None:
        return "-"
    return f"{found.samples} questions, {found.scenes} rooms x {found.seeds} seeds"


def _title(experiment: Experiment, name: str) -> str:
    return experiment.arm(name).title
