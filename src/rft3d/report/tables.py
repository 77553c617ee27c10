"""What the page says as text: the verdict, alarms of reading, the headroom; differences, classes, config."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rft3d.digests import file_digest
from rft3d.evaluation.headroom import SHOWN
from rft3d.evaluation.results import Headroom, TaskHeadroom
from rft3d.evaluation.stats import Difference, is_rate
from rft3d.evaluation.tables import percent
from rft3d.files import blaming, read_json
from rft3d.report.run_folder import STAGE_COLUMNS, RunFolder
from rft3d.report.runs import Joined, JoinedTask
from rft3d.rewards import Comparison, Placement
from rft3d.rewards.grounding import HIT
from rft3d.settings import flatten
from rft3d.typed import typed

UNREADABLE = 0.2
"""From this share of unreadable or truncated answers on, no other number of a model means much."""


def alarms_of_reading(joined: Joined) -> list[str]:
    """A sentence for each model and task of whose answers more than a fifth could not be read."""
    found = []
    for task in joined.tasks:
        for column, made in task.answered.items():
            summary = made.run.summary
            rate = summary.parse_failures.rate + summary.truncated.rate
            if rate > UNREADABLE:
                found.append(
                    f"{joined.columns[column].title}: {percent(rate)} % of its {task.name} answers cannot be read, "
                    "so its numbers there say nothing about what it sees"
                )
    return found


def verdicts(joined: Joined) -> list[str]:
    """One sentence a task: what the last model and the baseline found, and whether that is a difference. Where
    that makes fewer than three, one more about the model that came before both."""
    said, base = [], joined.baseline
    titles = [column.title for column in joined.columns]
    for task in joined.tasks:
        if not task.answered:
            continue
        last = list(task.answered)[-1]
        text = f"{titles[last]} {_found(task, last)}"
        if base in task.answered and base != last:
            text += f", {titles[base]} {_found(task, base)}: {_clear(task, base, last)}"
        said.append(text + ".")
    before = [_found(task, 0) for task in joined.tasks if 0 in task.answered and len(task.answered) > 2]
    if before and base and len(said) < 3:
        said.append(f"{titles[0]} {' and '.join(before)}.")
    return said


def _found(task: JoinedTask, column: int) -> str:
    run = task.answered[column].run
    evidence = [score.evidence for score in run.scored.scores]
    if lists := [each for each in evidence if isinstance(each, Comparison)]:
        hits = sum(len(each.match.pairs) for each in lists)
        return f"found {hits} of {sum(len(each.truth) for each in lists)} objects"
    if task.name == "grounding":
        found = sum(isinstance(each, Placement) and each.iou >= HIT for each in evidence)
        return f"found {found} of {len(evidence)} described objects"
    value = run.summary.metrics.get("micro", run.summary.metrics.get(next(iter(run.summary.headline))))
    return f"has {percent(value)} % of {len(evidence)} {task.name} questions"


def _clear(task: JoinedTask, a: int, b: int) -> str:
    made, _ = task.between(a, b)
    name = next((name for name in (*SHOWN.get(task.name, ()), *made) if name in made), None)
    found = None if name is None else made[name]
    if found is None or found.difference is None:
        return "not comparable"
    if found.difference == 0:
        return f"the same {name}"
    assert found.low is not None and found.high is not None
    apart = "beyond chance" if found.decided else "within chance"
    ends = f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
    return f"{100 * found.difference:+.1f} points of {name} {ends}, {apart}"


def headroom_view(joined: Joined) -> list[tuple[str, list[str]]]:
    """What ``rft3d headroom --out RUN/headroom.json`` says of each task, and what of the gap each model has closed.

    The share is (model - greedy) / (consensus - greedy) on the questions that headroom was measured on, where the
    model answered the same samples file.
    """
    found = []
    for run in joined.runs:
        path = Path(run.root) / "headroom.json"
        if path.is_file():
            with blaming(path, LookupError, ValueError, fix="run rft3d headroom again"):
                read: Headroom = typed(Headroom, read_json(path), path.name, extra=True)
                found += [(task.sentence, _closed(run, task)) for task in read.tasks]
    return found


def _closed(run: RunFolder, task: TaskHeadroom) -> list[str]:
    metric = task.metrics[0]
    gap = task.best.minus_greedy[task.reach][metric]
    if task.reach != "consensus" or not gap.difference or gap.difference <= 0 or gap.a is None:
        return []
    chance = "" if gap.low is not None and gap.low > 0 else ", which is within chance itself"
    closed = []
    for runs in run.tasks:
        asked = file_digest(runs.file) == task.samples_sha256
        for made in runs.runs if runs.name == task.task and asked else ():
            kept = (n for n, sample in enumerate(made.scored.samples) if sample.id in task.ids)
            value = made.scored.only(kept).metrics.get(metric)
            if value is not None and value != gap.a:
                share = max(0.0, 100 * (value - gap.a) / gap.difference)
                of = f"the gap of {100 * gap.difference:.1f} points{chance}"
                closed.append(f"{made.title} has closed {share:.0f} % of {of}")
    return closed


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
            key.partition("/")
            for metrics in read
            for key, value in metrics.items()
            if value is not None and "/" in key and is_rate(key)
        ]
        groups = list(dict.fromkeys(group for _, _, group in keys))
        groups.sort(key=lambda group: (":" in group, group if ":" in group else ""))
        if groups:
            models = [joined.columns[column].title for column in task.answered]
            columns = list(dict.fromkeys(column for column, _, _ in keys))
            table = {"models": models, "columns": columns, "groups": groups, "read": read}
            tables.append({"task": task.name, **table})
    return tables


def short_facts(row: dict[str, Any]) -> str:
    """What ``stages.json`` says of a stage beside the cost table's own columns, on one line."""
    facts = flatten({key: value for key, value in row.items() if key not in STAGE_COLUMNS})
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
        texts = [
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for value in (values.get(name, "–") for values in flat)
        ]
        rows[len(set(texts)) > 1].append({"name": name, "values": texts})
    return {"runs": list(titles), "differing": rows[True], "same": rows[False]}
