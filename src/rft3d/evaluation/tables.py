"""Tables of scores for a terminal: what ``rft3d score``, ``compare`` and ``leaderboard`` print."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from rft3d.evaluation.benchmarks.run import find_benchmark
from rft3d.evaluation.infer import FoundBox
from rft3d.evaluation.leaderboard import COLUMNS, Entry, rows
from rft3d.evaluation.results import BenchmarkResult, TaskHeadroom, TaskResult
from rft3d.evaluation.solving.split import VERDICTS, KeyCheck, SolvedRow
from rft3d.evaluation.stats import Difference, Interval, is_rate


def percent(value: float | None, undefined: str = "-") -> str:
    """0.123 -> ``12.3``; ``undefined`` for None."""
    return undefined if value is None else f"{100 * value:.1f}"


def interval_text(found: Interval | Difference) -> str:
    """``low .. high`` in percent."""
    return "-" if found.low is None else f"{percent(found.low)} .. {percent(found.high)}"


def _table(
    title: str, left: Sequence[str], right: Sequence[str], after: Sequence[str] = (), gap: int = 0
) -> Table:
    """A table with columns of words, of numbers, and of words again; nothing in its title is markup. ``gap``:
    characters between columns of a table without a frame; 0: with one."""
    bare: dict[str, Any] = {"box": None, "padding": (0, gap, 0, 0)} if gap else {}
    table = Table(title=escape(title), **bare)
    for name in (*left, *right, *after):
        justify = "right" if name in right else "left"
        table.add_column(name, justify=justify, no_wrap=gap > 0 or name == left[0])
    return table


def answer_table(clip: str, boxes: Sequence[FoundBox]) -> Table:
    """What was found in ``clip``: where, how large, turned how far."""
    title = f"{clip}: {len(boxes)} boxes"
    table = _table(title, ["label"], ["frame", "x y z (m)", "size (m)", "yaw roll pitch"], gap=2)
    for box in boxes:
        parts = (" ".join(f"{value:.2f}" for value in box.bbox_3d[i : i + 3]) for i in (0, 3, 6))
        table.add_row(escape(box.label), str(box.frame), *parts)
    return table


def headroom_table(found: TaskHeadroom) -> Table:
    """What :func:`rft3d.evaluation.headroom.headroom` found about a task."""
    title = f"{found.task}: {found.samples} samples, {found.scenes} scenes (in %)"
    short = {"f1@0.25/micro": "F1 pooled", "precision@0.25": "P@0.25", "recall@0.25": "R@0.25"}
    table = _table(title, ["answer"], [short.get(name, name) for name in found.metrics], gap=2)
    for number, row in enumerate(found.temperatures):
        names = {"one sample": "one sample", "best of k": f"best of {found.k}", "consensus": "consensus"}
        shown = {} if number else {"greedy": row.answers["greedy"]}
        shown |= {f"{names[n]}, T {row.temperature:g}": row.answers[n] for n in names if n in row.answers}
        for name, values in shown.items():
            cells = (values[metric] for metric in found.metrics)
            ends = (f"{percent(cell.value)}\n{interval_text(cell).replace(' .. ', '-')}" for cell in cells)
            table.add_row(name, *ends)
    return table


BESIDE = {"f1@0.25/present": "f1@0.25, present classes", "f1@0.25/micro": "f1@0.25, all boxes pooled"}
"""Shown under the published mean over a fixed list of classes, in which an absent class counts 0."""


def score_table(result: TaskResult) -> Table:
    """The headline numbers of a task, or of a benchmark, a column a variant."""
    title, variants = result.task, {"value": result}
    if isinstance(result, BenchmarkResult):
        title, variants = result.benchmark.title, result.variants
    title = f"{title}: {result.samples} samples, {result.scenes} scenes (in %)"
    table = _table(title, ["metric"], [column for name in variants for column in (name, "interval")])
    for metric in dict.fromkeys(metric for each in variants.values() for metric in each.headline):
        row = [metric]
        for each in variants.values():
            found = each.headline.get(metric)
            row += ["-", "-"] if found is None else [percent(found.value), interval_text(found)]
        table.add_row(*row)
    for metric, title in BESIDE.items():
        values = [each.metrics.get(metric) for each in variants.values()]
        if any(value is not None for value in values):
            table.add_row(title, *(cell for value in values for cell in (percent(value), "-")))
    return table


def task_notes(result: TaskResult) -> list[str]:
    """What must stand under :func:`score_table`."""
    failed, missing, sun = result.parse_failures, len(result.missing), result.sun_rgbd
    lines = [
        f"unreadable {percent(failed.rate)} %, truncated {percent(result.truncated.rate)} %, missing {missing}"
        + (" (scored as empty answers)" if missing else "")
        + f", answers read: {result.protocol.get('mode', 'by default')}",
        *_reasons(failed.reasons),
    ]
    if sun is not None:
        lines.append(
            f"{sun.harness}: mAP {percent(sun.mAP)}, mAP@0.25 {percent(sun.mAP25)}, mAP@0.5 {percent(sun.mAP50)}"
        )
    return [*lines, *_detection_notes(result, result.metrics)]


def _reasons(reasons: Mapping[str, int], most: int = 8) -> list[str]:
    """Why answers could not be read; places inside an answer don't matter."""
    grouped: Counter[str] = Counter()
    for reason, count in reasons.items():
        grouped[re.sub(r"^entry \d+", "an entry", reason)] += count
    return [f"  unreadable, {count} x: {reason}" for reason, count in grouped.most_common(most)]


def _detection_notes(result: TaskResult, metrics: Mapping[str, float | None]) -> list[str]:
    """Over how many classes the mean goes, and what duplicates cost."""
    lines = []
    classes, present = metrics.get("count/classes"), metrics.get("count/classes_present")
    if classes is not None and present is not None:
        lines.append(
            f"f1@0.25: mean over {classes:.0f} classes, {present:.0f} present"
            + (", the absent ones count 0 (as published)" if present < classes else "")
        )
    if (repeated := result.duplicates) and repeated.count:
        without = {name.removeprefix("f1@0.25").lstrip("/"): v for name, v in repeated.without.items()}
        lines.append(
            f"duplicates: {repeated.count} boxes ({percent(repeated.rate)} %) overlap an earlier one of "
            f"their label by more than {repeated.iou}; without them f1@0.25 {percent(without[''])}, "
            f"present classes {percent(without['present'])}, pooled {percent(without['micro'])}"
        )
    return lines


def categories_table(result: BenchmarkResult) -> Table:
    """Every other rate of every variant: classes, question types, wider means."""
    variants, floor = result.variants, result.benchmark.floor
    table = _table("by category (in %)", ["metric"], [*variants, *(["blind floor"] if floor else [])])
    metrics = list(dict.fromkeys(metric for each in variants.values() for metric in each.metrics))
    for metric in metrics:
        head = any(metric in each.headline for each in variants.values())
        if head or metric in BESIDE or not is_rate(metric):
            continue
        values = [each.metrics.get(metric) for each in variants.values()]
        if any(value is not None for value in values):
            table.add_row(metric, *map(percent, values), *([percent(floor.get(metric))] if floor else []))
    return table


def comparison_table(title: str, found: Mapping[str, Difference]) -> Table:
    """Of :func:`rft3d.evaluation.compare_prediction_files`; ``*`` where the interval excludes 0."""
    table = _table(title, ["metric", "category"], ["A", "B", "B - A", "interval"], [""])
    for name, row in found.items():
        metric, _, category = name.partition("/")
        numbers = (percent(value) for value in (row.a, row.b, row.difference))
        decided = "*" if row.decided else ""
        table.add_row(metric, category.removeprefix("class:"), *numbers, interval_text(row), decided)
    return table


def footnotes(result: BenchmarkResult) -> list[str]:
    """Footnotes for a benchmark's numbers: protocol, completeness, what was not read."""
    lines = []
    for name, each in result.variants.items():
        unread = percent(each.unreadable.rate)
        lines.append(f"{name}: {each.note}; unreadable {unread} %, a truncated answer {each.truncated}")
        lines += _reasons(each.unreadable.reasons)
    origin, missing = result.predictions_format, len(result.missing)
    assert origin is not None, "only a summary lacks it"
    truncated = percent(result.truncated.rate) + " %" if origin.truncation_known else "unknown"
    lines.append(
        f"truncated {truncated}, without prediction {missing}"
        + (" (scored as empty answers)" if missing else "")
        + f"; file read as {origin.format}, matched by {origin.matched_by}"
    )
    lines += _detection_notes(result, next(iter(result.variants.values())).metrics)
    if origin.truth_mismatches:
        lines.append(f"WARNING: {origin.truth_mismatches} rows carry another right answer than the samples")
    if floor := result.benchmark.floor:
        heads = ", ".join(f"{name} {percent(floor[name])}" for name in ("macro8", "micro") if name in floor)
        lines.append(f"without looking the official questions are worth {heads} (docs/benchmarks.md)")
    official = result.official
    if not official.complete:
        lines.append(
            f"NOT the complete benchmark: {dict(official.found)} with {list(official.frames)} frames; "
            f"official {dict(official.expected)}"
        )
    return lines


def leaderboard_tables(
    benchmark: str, ours: Sequence[Entry], full: bool = False
) -> tuple[list[Table], list[str]]:
    """A table a protocol variant of one benchmark, and the footnotes that their last column numbers."""
    parts = rows(benchmark, ours)
    every = [entry for _, entries in parts for entry in entries]
    notes = list(dict.fromkeys(note for entry in every for note in entry.notes))
    shown = [COLUMNS[benchmark], *(entry.metrics for entry in every if full and not entry.ours)]
    names = list(dict.fromkeys(name for some in shown for name in some))
    short = [name.rpartition(":")[2].rpartition("/")[2] for name in names]
    tables = []
    for variant, entries in parts:
        title = find_benchmark(benchmark).title + (f", {variant}" if variant else "") + " (in %)"
        table = _table(title, ["model", "training"], short, ["notes", "source"])
        for entry in entries:
            model = ("* " if entry.ours else "") + entry.model
            numbers = ",".join(str(notes.index(note) + 1) for note in dict.fromkeys(entry.notes))
            cells = [_entry_cell(entry, name) for name in names]
            table.add_row(model, entry.training, *cells, numbers, entry.source)
        tables.append(table)
    return tables, notes


def _entry_cell(entry: Entry, name: str) -> str:
    if name not in entry.metrics:
        return "-" if entry.ours else "?"
    found = entry.intervals.get(name)
    return f"{entry.metrics[name]:.1f}" + (f" [{found[0]:.1f}, {found[1]:.1f}]" if found else "")


def solving_table(found: Mapping[str, SolvedRow], beside: bool) -> tuple[Table, list[str]]:
    """Rows of :func:`rft3d.evaluation.solving.blind.solve_questions`, and lines that explain the columns.
    ``beside``: a model's own answers were given. No frame, so that it fits into 80 columns."""
    blind = not any(row.verdicts for row in found.values())
    words: Mapping[str, str] = {**VERDICTS}
    titles = dict(zip(words, ("both", "other", "reason", "label", "off", "none"), strict=True))
    shown = [] if blind else [each for each in titles if beside or each == "undecided"]
    what = "spatial questions " + ("without looking" if blind else "from boxes")
    title = what + (" beside the model's own answers" if beside else "")
    shares = ["blind" if blind else "boxes", *(["own"] if beside else [])]
    columns = ["asked", *shares, *(titles[each] for each in shown)]
    table = _table(title, ["question type"], columns, gap=1)
    for kind, row in found.items():
        cells = [percent(row.solved), *([percent(row.own)] if beside else [])]
        table.add_row(kind, str(row.questions), *cells, *(str(row.verdicts[each]) for each in shown))
    return table, [f"{titles[each]}: {words[each]}" for each in shown]


def key_checks(checks: Sequence[KeyCheck]) -> list[str]:
    """What :func:`rft3d.evaluation.solving.split.check_official` found, a line a question type; below it each
    question without an answer, and examples of what differs."""
    lines = []
    for check in checks:
        lines.append(
            f"{'ok ' if check.passed else 'NO '} {check.type:28} {check.reproduced} of {check.answerable} "
            f"({100 * check.share:.2f} %, needed {100 * check.bar:.0f} %; {len(check.without_answer)} unanswerable)"
        )
        examples = check.without_answer + (() if check.passed else check.examples)
        lines += [f"      {line}" for line in examples]
    return lines
