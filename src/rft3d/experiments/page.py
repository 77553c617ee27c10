"""``docs/results.md`` from the run folders: the figure, then claims and arms of every experiment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from rft3d import files
from rft3d.experiments.figure import draw_dynamics
from rft3d.experiments.numbers import (
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
from rft3d.experiments.types import STANDARD, Arm, Experiment, folder_of
from rft3d.files import read_json
from rft3d.runfolder import METRICS
from rft3d.tasks import task_of

DYNAMICS = "Rewards and held-out metrics over the steps, mean over seeds"
FOLDED = '<details markdown="1"><summary>Arms and what they cost</summary>'
HEAD = """# Results

What reinforcement on the metric adds to a finished SFT policy, in procedural rooms. This page is written by
`rft3d experiment table` from the run folders, section by section; a number that is not there was not measured.
Everything again: `make results` (resumable); one arm: `rft3d experiment run --only EXPERIMENT/ARM`, its settings
are in [recipes/experiments](../recipes/experiments).
"""
HOW = f"""## How to read it

Values are means over seeds with a 95 % interval: bootstrap over the held-out rooms, all seeds resampled together,
{RESAMPLES} times. A difference is paired: both arms answer the same questions about the same rooms. Tokens are
those that were sampled and those that passed forward and backward; minutes are of one core.

{RULE}
"""


@dataclass(frozen=True)
class TextTable:
    """A table's cells, as text."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def write_results(experiments: Sequence[Experiment], out: Path, page: Path) -> Path:
    """Write ``page`` from what is in ``out``, with the figures as SVG files in ``images`` beside it.

    The section of an experiment that has not begun in ``out`` stays as it stands: runs are made on many machines.
    """
    images = page.parent / "images"
    published = _sections_of(page)
    sections = {each.name: published[each.name] for each in experiments if each.name in published}
    begun = (each for each in experiments if _begun(each, out))
    sections |= {each.name: _section(each, out, images, each is experiments[0]) for each in begun}
    parts = [HEAD, *(sections[each.name] for each in experiments if each.name in sections)]
    waiting = [f"- `{each.name}`: {each.question}" for each in experiments if each.name not in sections]
    if waiting:
        parts.append("\n".join(["## Not yet run", "", *waiting, ""]))
    parts.append(HOW)
    files.write_text(page, "\n".join(parts))
    return page


def _sections_of(page: Path) -> dict[str, str]:
    """What stands on ``page`` by heading."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    return {each.partition("\n")[0]: f"## {each.rstrip()}\n" for each in text.split("\n## ")[1:]}


def _begun(experiment: Experiment, out: Path) -> bool:
    """Whether any arm that trains has taken a step."""
    roots = _roots(experiment, out).values()
    return any((root / "stages" / arm.name / METRICS).is_file() for root in roots for arm in experiment.arms)


def _roots(experiment: Experiment, out: Path) -> dict[int, Path]:
    return {seed: folder_of(out, experiment.world, seed) for seed in experiment.seeds}


def _state(experiment: Experiment, out: Path) -> str:
    """How many of its arms are done, at which commit."""
    own = places([experiment], out)
    arms = sum(len(place.arms) for place in own)
    done = arms - sum(len(place.left()) for place in own)
    found = filter(Path.is_file, (place.root / "env.json" for place in own))
    commits = sorted({str(read_json(file, dict).get("commit"))[:12] for file in found})
    at = f", commit {', '.join(commits)}" if commits else ""
    return f"{done} of {arms} arms (an arm counts once a seed) are done{at}."


def _section(experiment: Experiment, out: Path, images: Path, first: bool) -> str:
    """Claims, and what they rest on folded: the page is read for its first figure and its claims."""
    roots = _roots(experiment, out)
    drawn = draw_dynamics(experiment, roots, images / f"dynamics-{experiment.name}.svg")
    claims, arms = (_markdown(grid(experiment, roots)) for grid in (claims_grid, arms_grid))
    figure = [] if drawn is None else [f"![{DYNAMICS}]({images.name}/{drawn.name})", ""]
    lines = [f"## {experiment.name}", "", f"{experiment.question} {_state(experiment, out)}", ""]
    lines += [
        *(figure if first else []),
        *claims,
        FOLDED,
        "",
        *arms,
        *([] if first else figure),
        "</details>",
        "",
    ]
    return "\n".join(lines)


def _markdown(grid: TextTable) -> list[str]:
    rows = [grid.head, ("---",) * len(grid.head), *grid.rows]
    return [*("| " + " | ".join(row) + " |" for row in rows), ""] if grid.rows else []


def claims_grid(experiment: Experiment, roots: Mapping[int, Path]) -> TextTable:
    """A row for each metric of each claim: the paired difference and the verdict."""
    rows = []
    for claim in experiment.claims:
        for view, metric in claim.metrics:
            found = difference_of(roots, claim, view, metric)
            what = f"{experiment.arm(claim.arm).title} minus {experiment.arm(claim.against).title}"
            rows.append(
                (claim.text, f"{view} {metric}: {what}", _signed(found), _count(found), verdict(found))
            )
    return TextTable(("claim", "measure", "difference", "n", "verdict"), tuple(rows))


def arms_grid(experiment: Experiment, roots: Mapping[int, Path]) -> TextTable:
    """A row for each arm: its columns' values and what it cost."""
    rows = []
    for arm in experiment.arms:
        numbers = [_cell(experiment, roots, arm, *column[:2]) for column in experiment.columns]
        rows.append((arm.title, *numbers, *_cost(cost_of(roots, arm.name))))
    heads = (heading for _, _, heading in experiment.columns)
    return TextTable(("arm", *heads, "seeds", "steps", "tokens", "minutes"), tuple(rows))


def print_demo(experiment: Experiment, roots: Mapping[int, Path], console: Console) -> None:
    """The arms' values and the claims' differences, narrow enough for a terminal."""
    arms, claims = arms_grid(experiment, roots), claims_grid(experiment, roots)
    shown = [n for n, heading in enumerate(arms.head) if heading not in ("seeds", "steps", "tokens")]
    title = f"{experiment.world.held_out_rooms} fresh rooms, % ± half the 95 % interval"
    tables = {title: [[row[n] for n in shown] for row in (arms.head, *arms.rows)]}
    if claims.rows:
        pair = claims.rows[0][1].partition(": ")[2]
        rows = [[row[1].partition(": ")[0], row[2]] for row in claims.rows]
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
    where, _, own = view.rpartition("@")  # dense@detection: the view in the rooms called dense
    views = [judged for judged in arm.judge if task_of(judged) == own] if own not in arm.judge else [own]
    if not views or (where and where not in arm.elsewhere):
        return ""
    found = value_of(roots, arm.name, views[0], metric, where or STANDARD)
    if found is None or math.isnan(found.mean):
        return NOT_RUN if found is None else "no value"
    return f"{found.mean:.1f} ± {(found.high - found.low) / 2:.1f}"


def _signed(found: Found | None) -> str:
    if found is None or math.isnan(found.mean):
        return NOT_RUN if found is None else "no value"
    seeds = found.by_seed
    spread = f"; seeds {min(seeds):+.1f} .. {max(seeds):+.1f}" if len(seeds) > 1 else ""
    return f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]{spread}"


def _count(found: Found | None) -> str:
    return f"{found.samples} questions, {found.scenes} rooms x {len(found.by_seed)} seeds" if found else ""
