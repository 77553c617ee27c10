"""``docs/results.md`` from the run folders: a figure and all claims; what they rest on is folded."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from rft3d import files
from rft3d.experiments.figure import draw_dynamics
from rft3d.experiments.numbers import (
    MARGIN,
    NOT_RUN,
    RESAMPLES,
    RULE,
    Found,
    cost_of,
    difference_of,
    value_of,
    verdict,
)
from rft3d.experiments.places import places
from rft3d.experiments.types import STANDARD, Arm, Claim, Experiment, folder_of, rooms_and_view
from rft3d.files import read_json
from rft3d.runfolder import METRICS
from rft3d.tasks import task_of

DYNAMICS = "Rewards and held-out metrics over the steps, mean over seeds"
HEAD = f"""\
What reinforcement on the metric (RFT) adds to a finished SFT policy in procedural rooms. Below: paired differences
in points, mean of the seeds [95 % interval over fresh rooms] (range of the seeds); n questions. *Holds*: all of it
above 0; *does not hold*: below {MARGIN:g} point ([rule](#how-to-read-it)).
"""
FOLDED = '<details markdown="1"><summary>Every arm: values, costs, curves; how to repeat them</summary>'
HOW = f"""\
## How to read it

Values are means over seeds with a 95 % interval: bootstrap over the held-out rooms, all seeds resampled together,
{RESAMPLES} times. A difference is paired: both arms answer the same questions about the same rooms. Tokens are
those that were sampled and those that passed forward and backward; minutes are of one core.

{RULE}

`rft3d experiment table` writes this page from the run folders; a number that is not there was not measured.
Everything again: `make results` (resumable); one arm: `rft3d experiment run --only EXPERIMENT/ARM`, its settings
are in [recipes/experiments](../recipes/experiments).
"""

Rows = list[tuple[str, ...]]  # of a table


def write_results(experiments: Sequence[Experiment], out: Path, page: Path) -> Path:
    """Write ``page`` from what is in ``out``, with the figures as SVG files in ``images`` beside it.

    What stands there about an experiment that has not begun in ``out`` stays: runs are made on many machines.
    """
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    sections = {each.partition("\n")[0]: f"## {each.rstrip()}\n" for each in before.split("\n## ")[1:]}
    claims: list[str] = []
    for each in experiments:
        rows = [line for line in before.splitlines() if f"](#{each.name}), n " in line]
        roots = {seed: folder_of(out, each.world, seed) for seed in each.seeds}
        logs = (root / "stages" / arm.name / METRICS for root in roots.values() for arm in each.arms)
        if any(map(Path.is_file, logs)):  # an arm that trains has taken a step
            sections[each.name] = _section(each, out, roots, page.parent / "images")
            rows = _claims(each, roots)
        claims += rows
    folded = [sections[each.name] for each in experiments if each.name in sections]
    drawn = [line for line in folded[0].splitlines() if line.startswith("![")] if folded else []
    lines = ["# Results", "", *(f"{figure}\n" for figure in drawn), HEAD]
    lines += [*_markdown([("claim", "difference: verdict")]), *claims, ""] if claims else []
    waiting = [f"- `{each.name}`: {each.question}" for each in experiments if each.name not in sections]
    lines += ["## Not yet run", "", *waiting, ""] if waiting else []
    files.write_text(page, "\n".join([*lines, FOLDED, "", *folded, HOW, "</details>", ""]))
    return page


def _claims(experiment: Experiment, roots: Mapping[int, Path]) -> list[str]:
    """A row for each claim, which leads to the experiment's section; claims with the same words share one."""
    rows: dict[str, Rows] = {}
    for claim in experiment.claims:
        rows.setdefault(claim.text, []).extend(rows_of(experiment, roots, claim))
    lines = []
    for text, found in rows.items():
        counts = ", ".join(dict.fromkeys(row[3] for row in found if row[3]))
        said = (f"{what} {': '.join(dict.fromkeys((by, decided)))}" for what, by, decided, _ in found)
        lines.append(_line((f"[{text}](#{experiment.name}), n {counts or 0}", "<br>".join(said))))
    return lines


def _state(experiment: Experiment, out: Path) -> str:
    """How many of its arms are done, at which commit."""
    own = places([experiment], out)
    arms = sum(len(place.arms) for place in own)
    done = arms - sum(len(place.left()) for place in own)
    found = filter(Path.is_file, (place.root / "env.json" for place in own))
    commits = sorted({str(read_json(file, dict).get("commit"))[:12] for file in found})
    at = f", commit {', '.join(commits)}" if commits else ""
    return f"{done} of {arms} arms (an arm counts once a seed) are done{at}."


def _section(experiment: Experiment, out: Path, roots: Mapping[int, Path], images: Path) -> str:
    drawn = draw_dynamics(experiment, roots, images / f"dynamics-{experiment.name}.svg")
    lines = [f"## {experiment.name}", "", f"{experiment.question} {_state(experiment, out)}", ""]
    lines += [] if drawn is None else [f"![{DYNAMICS}]({images.name}/{drawn.name})", ""]
    return "\n".join([*lines, *_markdown(arms_grid(experiment, roots)), ""])


def _markdown(table: Rows) -> list[str]:
    return list(map(_line, (table[0], ("---",) * len(table[0]), *table[1:])))


def _line(row: Sequence[str]) -> str:
    return "| " + " | ".join(row) + " |"


def rows_of(experiment: Experiment, roots: Mapping[int, Path], claim: Claim) -> Rows:
    """A row for each metric of ``claim``: heading, paired difference, verdict, number of questions; no head."""
    headings = {(task_of(view), metric): heading for view, metric, heading in experiment.columns}
    rows = []
    for view, metric in claim.metrics:
        found = difference_of(roots, claim, view, metric)
        what = headings.get((task_of(view), metric), f"{view} {metric}")
        rows.append((what, _signed(found), verdict(found), f"{found.samples}" if found else ""))
    return rows


def arms_grid(experiment: Experiment, roots: Mapping[int, Path]) -> Rows:
    """The head, then a row for each arm: its columns' values and what it cost."""
    heads = (heading for _, _, heading in experiment.columns)
    rows: Rows = [("arm", *heads, "seeds", "steps", "tokens", "minutes")]
    for arm in experiment.arms:
        numbers = [_cell(experiment, roots, arm, *column[:2]) for column in experiment.columns]
        rows.append((arm.title, *numbers, *_cost(cost_of(roots, arm.name))))
    return rows


def print_demo(experiment: Experiment, roots: Mapping[int, Path], console: Console) -> None:
    """The arms' values and the claims' differences, narrow enough for a terminal."""
    arms = arms_grid(experiment, roots)
    shown = [n for n, heading in enumerate(arms[0]) if heading not in ("seeds", "steps", "tokens")]
    title = f"{experiment.world.held_out_rooms} fresh rooms, % ± half the 95 % interval"
    tables = {title: [[row[n] for n in shown] for row in arms]}
    for claim in experiment.claims:
        pair = f"{experiment.arm(claim.arm).title} minus {experiment.arm(claim.against).title}"
        rows = ([what, by] for what, by, *_ in rows_of(experiment, roots, claim))
        tables[f"{pair}: points [95 % interval]"] = [["measure", "difference"], *rows]
    for title, (head, *rows) in tables.items():
        table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for number, heading in enumerate(head):
            side = "right" if number else "left"
            table.add_column(heading.replace("minutes", "min"), justify=side, no_wrap=True)
        for row in rows:
            table.add_row(*(cell.replace(" ± ", "\n±") for cell in row))
        console.print(table)


def _cost(cost: Mapping[str, float] | None) -> tuple[str, ...]:
    if cost is None:
        return ("0", "", "", "")
    minutes = f"{cost['training_seconds'] / 60:.1f}"
    return (f"{cost['seeds']}", f"{cost['steps']:.0f}", f"{cost['tokens'] / 1e3:.0f} k", minutes)


def _cell(experiment: Experiment, roots: Mapping[int, Path], arm: Arm, view: str, metric: str) -> str:
    where, own = rooms_and_view(view)
    views = [judged for judged in arm.judge if task_of(judged) == own] if own not in arm.judge else [own]
    if not views or where not in (STANDARD, *arm.elsewhere):
        return ""
    found = value_of(roots, arm.name, view.replace(own, views[0]), metric)
    if found is None or math.isnan(found.mean):
        return NOT_RUN if found is None else "no value"
    return f"{found.mean:.1f} ± {(found.high - found.low) / 2:.1f}"


def _signed(found: Found | None) -> str:
    if found is None or math.isnan(found.mean):
        return NOT_RUN if found is None else "no value"
    seeds = found.by_seed
    spread = f" ({min(seeds):+.1f} .. {max(seeds):+.1f})" if len(seeds) > 1 else ""
    return f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]{spread}"
