"""Two predictions files on the same samples: paired differences with intervals, overall and by category.

Both files are scored alike and resampled over the *same* scenes, so what is hard for both cancels out. With
many categories some intervals exclude 0 by luck (about one in twenty at 95 %): the table says how many were
looked at. :func:`turned` counts single answers that one file has right and the other wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rft3d.evaluation.benchmarks.run import benchmark_runs, find_benchmark
from rft3d.evaluation.benchmarks.types import Variant
from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.score import ScoreConfig, ScoredRun, pools_of, score_predictions
from rft3d.evaluation.stats import Difference, Finish, Totals, differences, is_rate, resample_pools
from rft3d.files import naming
from rft3d.tasks import make_task
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample, summed


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Difference):
    """One line of a comparison table.

    ``category``: "" for a number over everything; ``decided``: the interval of the difference leaves 0 out.
    """

    metric: str
    category: str
    decided: bool


@dataclass(frozen=True, kw_only=True)
class ComparedFiles:
    """Everything that ``rft3d compare`` prints.

    ``variants``: the rows of every way to score a benchmark; of a task also the overall ones of the samples where
    both answers can be read, if not all. ``rows``: of the first variant, ``decided`` of them decided.
    """

    a: str
    b: str
    task: str
    benchmark: str | None
    samples: int
    scenes: int
    resamples: int
    level: float
    rows: Sequence[Compared]
    decided: int
    turned: Mapping[str, int]
    variants: Mapping[str, Sequence[Compared]]


def compare_runs(run_a: ScoredRun, run_b: ScoredRun, config: ScoreConfig | None = None) -> list[Compared]:
    """B minus A for every metric of the task that both define, headline numbers first, then categories.

    Raises:
        ValueError: the runs are not of the same samples, or the task's metric is not a sum over samples.
    """
    config = config or ScoreConfig()
    if [s.id for s in run_a.samples] != [s.id for s in run_b.samples]:
        raise ValueError("the two runs are not of the same samples in the same order; score them together")
    return _compared(run_a.samples, pools_of(run_a), pools_of(run_b), config)


Pooled = tuple[Sequence[Totals], Finish]


def _compared(
    samples: Sequence[Sample],
    a: Pooled,
    b: Pooled,
    config: ScoreConfig,
    keep: Callable[[str], bool] = is_rate,
) -> list[Compared]:
    """The rows of two lists of pools of the same samples, those over everything first."""
    points = [finish(summed(pools)) for pools, finish in (a, b)]
    names = [name for name in points[0] if keep(name) and None not in (each.get(name) for each in points)]
    scenes = [sample.scene for sample in samples]
    how = {"resamples": config.resamples, "seed": config.seed}
    drawn = [resample_pools(pools, scenes, finish, names, **how) for pools, finish in (a, b)]
    found = differences(drawn[0], drawn[1], config.level)
    return sorted((_row(*each) for each in found.items()), key=lambda row: row.category != "")


def compare_prediction_files(
    samples_path: str | Path,
    path_a: str | Path,
    path_b: str | Path,
    *,
    task: str | None = None,
    benchmark: str | None = None,
    config: ScoreConfig | None = None,
) -> ComparedFiles:
    """Everything that ``rft3d compare`` prints. Exactly one of ``task`` and ``benchmark`` is needed.

    Examples:
        >>> compare_prediction_files("samples.jsonl", "gold.jsonl", "gold.jsonl", task="detection").turned
        {'better': 0, 'worse': 0, 'same': 2}
    """
    if (task is None) == (benchmark is None):
        raise ValueError("give either a task or a benchmark to compare by")
    config = config or ScoreConfig()
    samples = list(read_samples(samples_path))
    loaded = [load_predictions(path, samples, config.format).predictions for path in (path_a, path_b)]
    known = None if benchmark is None else find_benchmark(benchmark)
    made = None if task is None else make_task(task, config.mode)
    scored: list[tuple[ScoredRun, list[Variant]]] = []
    for path, read in zip((path_a, path_b), loaded, strict=True):
        with naming(path):
            if known is not None:
                scored.append(benchmark_runs(known, samples, read, config))
            elif made is not None:
                scored.append((score_predictions(made, samples, read, config.allow_missing), []))
    (run_a, all_a), (run_b, all_b) = scored
    tables = {} if benchmark is not None else {"ours": compare_runs(run_a, run_b, config)}
    pairs = enumerate(zip(run_a.scores, run_b.scores, strict=True))
    both = [i for i, (a, b) in pairs if a.failure is None and b.failure is None]
    if tables and 0 < len(both) < len(samples):  # without the part of the difference that is only readability
        name = f"{len(both)} of {len(samples)} samples, where both answers can be read"
        a, b = _only(run_a, both), _only(run_b, both)
        tables[name] = _compared(a.samples, pools_of(a), pools_of(b), config, _over_everything)
    for variant_a, variant_b in zip(all_a, all_b, strict=True):
        a, b = ((each.pools, each.finish) for each in (variant_a, variant_b))
        tables[variant_a.name] = _compared(run_a.samples, a, b, config)
    first = next(iter(tables.values()))
    return ComparedFiles(
        a=Path(path_a).name,
        b=Path(path_b).name,
        task=run_a.task.name,
        benchmark=benchmark,
        samples=len(samples),
        scenes=len({sample.scene for sample in samples}),
        resamples=config.resamples,
        level=config.level,
        rows=first,
        decided=sum(row.decided for row in first),
        turned=turned(run_a, run_b),
        variants=tables,
    )


def _over_everything(name: str) -> bool:
    return is_rate(name) and split_category(name)[1] in ("", "micro")


def _only(run: ScoredRun, places: Sequence[int]) -> ScoredRun:
    samples, scores = (tuple(of[i] for i in places) for of in (run.samples, run.scores))
    return replace(run, samples=samples, scores=scores)


def turned(run_a: ScoredRun, run_b: ScoredRun, margin: float = 0.05) -> dict[str, int]:
    """How many answers earn more reward in B, less, or the same within ``margin`` (of the mean part)."""
    counts = {"better": 0, "worse": 0, "same": 0}
    for a, b in zip(run_a.scores, run_b.scores, strict=True):
        parts = max(len(a.parts), len(b.parts), 1)
        change = (b.total - a.total) / parts
        counts["better" if change > margin else "worse" if change < -margin else "same"] += 1
    return counts


def split_category(name: str) -> tuple[str, str]:
    """``"f1@0.25/class:chair"`` -> (``"f1@0.25"``, ``"chair"``); a metric over everything has category ""."""
    metric, _, category = name.partition("/")
    return metric, category.removeprefix("class:")


def _row(name: str, found: Difference) -> Compared:
    metric, category = split_category(name)
    decided = found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)
    return Compared(metric=metric, category=category, decided=decided, **asdict(found))
