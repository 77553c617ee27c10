"""``docs/results.md`` from the run folders: a table of arms and a table of claims for every experiment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rft3d import files
from rft3d.matrix.figure import draw_dynamics
from rft3d.matrix.numbers import COUNTED, RULE, Found, cost_of, difference_of, value_of, verdict
from rft3d.matrix.run import jobs
from rft3d.matrix.types import Arm, Experiment, folder_of

NOTHING = "not yet run"
HEAD = """# Results

The claims of the paper, and some of ours, on procedural rooms with models small enough for two cores. This page
is written by `rft3d matrix table` from the run folders; a number that is not there was not measured.

**Everything**: `make results` (resumable, one seed after another, stops after `HOURS`); one arm:
the command in its row. The settings of each experiment are its recipe in [recipes/matrix](../recipes/matrix).
"""
HOW = """## How to read it

- Values are means over seeds with a 95 % interval: bootstrap over the held-out rooms, all seeds resampled
  together, {resamples} times. A difference is paired: both arms answer the same questions about the same rooms.
  The seeds share their held-out rooms; training rooms, weights and sampling differ.
- Arms of an experiment get the same optimizer tokens (tokens that pass forward and backward; a group of
  RFT counts its prompt once) unless the recipe says otherwise. What they really used is in the table;
  sampling is on top of it and shows in the minutes.
- {rule}
"""


def write_results(
    experiments: Sequence[Experiment], out: Path, page: Path, images: Path | None = None
) -> Path:
    """Write ``page`` from what is in ``out``, with the curves as SVG files in ``images``; returns ``page``."""
    from rft3d.matrix.numbers import RESAMPLES

    images = images or page.parent / "images"
    wanted = jobs(experiments)
    done = sum(job.finished(out) for job in wanted)
    parts = [HEAD, f"State: {done} of {len(wanted)} arms (an arm counts once a seed) are done"
             f"{_commits(experiments, out)}.\n",
             HOW.format(resamples=RESAMPLES, rule=RULE.replace("\n", "\n  "))]  # fmt: skip
    parts += [_section(experiment, out, page, images) for experiment in experiments]
    files.write_text(page, "\n".join(parts))
    return page


def _commits(experiments: Sequence[Experiment], out: Path) -> str:
    found = set()
    for experiment in experiments:
        for seed in experiment.seeds:
            file = folder_of(out, experiment.world, seed) / "env.json"
            if file.is_file():
                found.add(str(json.loads(file.read_text(encoding="utf-8")).get("commit"))[:12])
    return f", commit {', '.join(sorted(found))}" if found else ""


def _section(experiment: Experiment, out: Path, page: Path, images: Path) -> str:
    lines = [f"## {experiment.name}", "", experiment.question, ""]
    lines += [*_claims(experiment, out), "", *_arms(experiment, out)]
    drawn = draw_dynamics(experiment, out, images / f"dynamics-{experiment.name}.svg")
    if drawn is not None:
        lines += [
            "",
            f"![Rewards, entropy and length over the steps, mean over seeds]({images.name}/{drawn.name})",
        ]
    elif experiment.dynamics:
        lines += ["", f"Curves of {', '.join(experiment.dynamics)}: {NOTHING}."]
    return "\n".join([*lines, ""])


def _claims(experiment: Experiment, out: Path) -> list[str]:
    if not experiment.claims:
        return []
    lines = [
        "| claim | measure | difference | n | verdict |",
        "|---|---|---|---|---|",
    ]
    for claim in experiment.claims:
        for view, metric in claim.metrics:
            found = difference_of(experiment, out, claim, view, metric)
            place = "" if claim.where == "eval" else f", {claim.where}"
            what = f"{_title(experiment, claim.arm)} minus {_title(experiment, claim.against)}"
            margin = "" if claim.margin == 1.0 else f" (margin {claim.margin:g})"
            lines.append(
                f"| {claim.text}{margin} | {view} {metric}{place}: {what} | {_signed(found)} | "
                f"{_count(found)} | {verdict(found, claim)} |"
            )
    return lines


def _arms(experiment: Experiment, out: Path) -> list[str]:
    heads = [heading for _, _, heading in experiment.columns]
    lines = [
        "| arm | " + " | ".join([*heads, "seeds", "steps", "tokens", "minutes", "command"]) + " |",
        "|---" * (len(heads) + 6) + "|",
    ]
    for arm in experiment.arms:
        cells = [arm.title, *(_cell(experiment, out, arm, *column[:2]) for column in experiment.columns)]
        cost = cost_of(experiment, out, arm.name)
        seeds = sum(
            (folder_of(out, experiment.world, seed) / "stages" / arm.name / "done.json").is_file()
            for seed in experiment.seeds
        )
        cells += [str(seeds)]
        cells += (
            ["-", "-", "-"]
            if cost is None
            else [
                f"{cost['steps']:.0f}",
                f"{cost['optimizer_tokens'] / 1e3:.0f} k",
                f"{cost['training_seconds'] / 60:.1f}",
            ]
        )
        cells.append(f"`rft3d matrix run --only {experiment.name}/{arm.name}`")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(experiment: Experiment, out: Path, arm: Arm, view: str, metric: str) -> str:
    where, _, own = view.rpartition("@")  # larger@detection: the view in the rooms called larger
    if own not in arm.judge or (where and where not in arm.elsewhere):
        return ""
    found = value_of(experiment, out, arm.name, own, metric, where or "eval")
    if found is None:
        return NOTHING
    digits = 2 if metric in COUNTED else 1
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _signed(found: Found | None) -> str:
    if found is None:
        return NOTHING
    spread = f"; seeds {found.smallest:+.1f} .. {found.largest:+.1f}" if found.seeds > 1 else ""
    return f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]{spread}"


def _count(found: Found | None) -> str:
    if found is None:
        return "-"
    return f"{found.samples} questions, {found.scenes} rooms x {found.seeds} seeds"


def _title(experiment: Experiment, name: str) -> str:
    return experiment.arm(name).title
