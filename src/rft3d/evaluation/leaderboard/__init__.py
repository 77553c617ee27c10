"""Published numbers as data, and ours beside them: ``rft3d leaderboard``.

``published.json`` holds every number with its source and the notes that a fair reading needs; all in percent,
as printed in the papers. Numbers stand in one table only when they were made by one protocol: ScanRefer's raw
and proposal-refined scores are different ``variant``s, and so are inputs of another kind.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

from rft3d.evaluation.benchmarks.run import find_benchmark
from rft3d.evaluation.results import BenchmarkResult
from rft3d.evaluation.stats import is_rate
from rft3d.files import read_json
from rft3d.typed import typed

COLUMNS: dict[str, tuple[str, ...]] = {
    "scannet-detection-4f": ("precision@0.25", "recall@0.25", "f1@0.25"),
    "scannet-detection-6f": ("precision@0.25", "recall@0.25", "f1@0.25"),
    "scanrefer": ("acc@0.25", "acc@0.5"),
    "vsi-bench": ("macro8",),
    "vsi-bench-debiased": ("macro8",),
    "revsi": ("macro8",),
    "scan2cap": ("bleu4@0.5", "rouge_l@0.5", "cider@0.5"),
}
"""Columns of the short table; every other metric that an entry has is a column of the full one."""


@dataclass(frozen=True)
class Entry:
    """One row of a leaderboard.

    Attributes:
        benchmark: key of ``BENCHMARKS``.
        model: as its paper calls it.
        training: what was done to it ("SFT, then RL").
        metrics: name as in our results -> percent.
        source: where the numbers are from.
        notes: texts that a reader needs beside them.
        variant: of the protocol ("raw", "refined"); "" where there is only one.
        ours: measured by this package.
        intervals: metric -> (low, high), percent; for ours.
    """

    benchmark: str
    model: str
    training: str
    metrics: Mapping[str, float]
    source: str
    notes: tuple[str, ...] = ()
    variant: str = ""
    ours: bool = False
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@cache
def published() -> tuple[Entry, ...]:
    """Every published entry, in the file's order."""
    data = json.loads(files(__name__).joinpath("published.json").read_text(encoding="utf-8"))
    notes: Mapping[str, str] = data["notes"]
    return tuple(
        Entry(**{**row, "notes": tuple(notes[key] for key in row["notes"])}) for row in data["entries"]
    )


def our_entries(path: str | Path) -> list[Entry]:
    """A result that ``rft3d score --benchmark ... --out`` wrote, an entry a variant; the file's stem is the
    model's name."""
    path = Path(path)
    try:
        result: BenchmarkResult = typed(BenchmarkResult, read_json(path), path.name, extra=True)
        benchmark, official = find_benchmark(result.benchmark.name), result.official
    except ValueError as error:
        fix = "write one with rft3d score --benchmark NAME --out"
        raise ValueError(f"{path}: no benchmark's result ({error}); {fix}") from None
    complete = () if official.complete else (f"NOT the complete benchmark: {dict(official.found)}",)
    source, entries = f"{path.name}, commit {str(result.commit)[:12]}", []
    for name, each in result.variants.items():
        rates = {k: 100 * value for k, value in each.metrics.items() if value is not None and is_rate(k)}
        notes, ends = (f"{name}: {each.note}", *complete), {}
        for metric, found in each.headline.items():
            if found.low is not None and found.high is not None:
                ends[metric] = (100 * found.low, 100 * found.high)
        # our variants under the published protocols: only ScanRefer has two
        raw = "refined" if name.endswith("refined") else "raw"
        variant = raw if benchmark.name == "scanrefer" else ""
        ours = Entry(benchmark.name, path.stem, "this package", rates, source, notes, variant, True, ends)
        entries.append(ours)
    return entries


def rows(benchmark: str, entries: Sequence[Entry] = ()) -> list[tuple[str, list[Entry]]]:
    """``(variant, entries)`` of one benchmark, published first, best headline number last in each part."""
    find_benchmark(benchmark)
    column = COLUMNS[benchmark][-1] if benchmark != "scanrefer" else "acc@0.25"
    every = [entry for entry in (*published(), *entries) if entry.benchmark == benchmark]
    variants = dict.fromkeys(entry.variant for entry in every)
    every.sort(key=lambda entry: (entry.ours, entry.metrics.get(column, -1.0)))
    return [(variant, [entry for entry in every if entry.variant == variant]) for variant in variants]
