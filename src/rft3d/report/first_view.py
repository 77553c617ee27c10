"""What the report says first: a verdict in a few sentences, an alarm when answers cannot be read, the headroom."""

from collections.abc import Mapping
from pathlib import Path

from rft3d.digests import file_digest
from rft3d.evaluation.headroom import SHOWN
from rft3d.evaluation.results import Headroom, TaskHeadroom
from rft3d.evaluation.tables import percent
from rft3d.files import blaming, read_json
from rft3d.report.run_folder import RunFolder
from rft3d.report.runs import Joined, JoinedTask, Pairs, baseline_column
from rft3d.rewards import Comparison, Placement
from rft3d.rewards.grounding import HIT
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


def verdicts(joined: Joined, pairs: Mapping[str, Pairs]) -> list[str]:
    """One sentence a task: what the last model and the baseline found, and whether that is a difference. Where
    that makes fewer than three, one more about the model that came before both."""
    said, base = [], baseline_column(joined)
    titles = [column.title for column in joined.columns]
    for task in joined.tasks:
        if not task.answered:
            continue
        last = list(task.answered)[-1]
        text = f"{titles[last]} {_found(task, last)}"
        if base in task.answered and base != last:
            text += f", {titles[base]} {_found(task, base)}: {_clear(task, pairs[task.name], base, last)}"
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


def _clear(task: JoinedTask, pairs: Pairs, a: int, b: int) -> str:
    made, _ = pairs.between(a, b)
    wanted = [name for name in SHOWN.get(task.name, ()) if name in made] or list(made)
    if not wanted or made[wanted[0]].difference is None:
        return "not comparable"
    name, found = wanted[0], made[wanted[0]]
    if found.difference == 0:
        return f"the same {name}"
    assert found.difference is not None and found.low is not None and found.high is not None
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
    gap = task.best.minus_greedy["consensus"][metric]
    if not gap.difference or gap.difference <= 0 or gap.a is None:
        return []
    chance = "" if gap.low is not None and gap.low > 0 else ", which is within chance itself"
    closed = []
    for runs in run.tasks:
        files = [runs.folder / f"{runs.name}.samples.jsonl", runs.folder / f"samples.{runs.name}.jsonl"]
        asked = any(file.is_file() and file_digest(file) == task.samples_sha256 for file in files)
        for made in runs.runs if runs.name == task.task and asked else ():
            kept = [n for n, sample in enumerate(made.scored.samples) if sample.id in task.ids]
            samples, scores = made.scored.samples, made.scored.scores
            value = made.scored.task.metric([samples[n] for n in kept], [scores[n] for n in kept]).get(metric)
            if value is not None and value != gap.a:
                share = max(0.0, 100 * (value - gap.a) / gap.difference)
                of = f"the gap of {100 * gap.difference:.1f} points{chance}"
                closed.append(f"{made.title} has closed {share:.0f} % of {of}")
    return closed
