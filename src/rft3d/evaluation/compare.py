"""Two predictions files on the same samples: paired differences with intervals, overall and by category.

Both files are scored alike and resampled over the *same* scenes, so what is hard for both cancels out. With
many categories some intervals exclude 0 by luck (about one in twenty at 95 %): the table says how many were
looked at. :func:`turned` counts single answers that one file has right and the other wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rft3d.evaluation.benchmarks.run import benchmark_runs, find_benchmark
from rft3d.evaluation.benchmarks.types import Variant
from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.score import ScoreConfig, ScoredRun, pools_of, score_file
from rft3d.evaluation.stats import Difference, Finish, Totals, differences, is_rate, resample_pools
from rft3d.files import naming
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample, summed

Differences = Mapping[str, Difference]
Pooled = tuple[Sequence[Totals], Finish]


@dataclass(frozen=True, kw_only=True)
class ComparedFiles:
    """Everything that ``rft3d compare`` prints.

    ``variants``: differences by metric (``f1@0.25/class:chair``), those over everything first, for every way to
    score a benchmark; of a task also the overall ones of the samples where both answers can be read, if not all.
    """

    a: str
    b: str
    task: str
    benchmark: str | None
    samples: int
    scenes: int
    resamples: int
    level: float
    turned: Mapping[str, int]
    variants: Mapping[str, Differences]

    @property
    def first(self) -> Differences:
        """Of the first variant."""
        return next(iter(self.variants.values()))


def compare_runs(run_a: ScoredRun, run_b: ScoredRun, config: ScoreConfig = ScoreConfig()) -> Differences:
    """B minus A by metric, for every one of the task that both define, those over everything first.

    Raises:
        ValueError: the runs are not of the same samples, or the task's metric is not a sum over samples.
    """
    if [s.id for s in run_a.samples] != [s.id for s in run_b.samples]:
        raise ValueError("the two runs are not of the same samples in the same order; score them together")
    return _compared(run_a.samples, pools_of(run_a), pools_of(run_b), config)


def _compared(
    samples: Sequence[Sample],
    a: Pooled,
    b: Pooled,
    config: ScoreConfig,
    keep: Callable[[str], bool] = is_rate,
) -> Differences:
    points = [finish(summed(pools)) for pools, finish in (a, b)]
    names = [name for name in points[0] if keep(name) and None not in (each.get(name) for each in points)]
    scenes = [sample.scene for sample in samples]
    how = {"resamples": config.resamples, "seed": config.seed}
    drawn = [resample_pools(pools, scenes, finish, names, **how) for pools, finish in (a, b)]
    found = differences(drawn[0], drawn[1], config.level)
    return {name: found[name] for name in sorted(found, key=lambda name: "/" in name)}


def compare_prediction_files(
    samples_path: str | Path,
    path_a: str | Path,
    path_b: str | Path,
    *,
    task: str | None = None,
    benchmark: str | None = None,
    config: ScoreConfig = ScoreConfig(),
) -> ComparedFiles:
    """Everything that ``rft3d compare`` prints. Exactly one of ``task`` and ``benchmark`` is needed.

    Examples:
        >>> compare_prediction_files("samples.jsonl", "gold.jsonl", "gold.jsonl", task="detection").turned
        {'better': 0, 'worse': 0, 'same': 2}
    """
    if (task is None) == (benchmark is None):
        raise ValueError("give either a task or a benchmark to compare by")
    samples = list(read_samples(samples_path))
    scored: list[tuple[ScoredRun, list[Variant]]] = []
    for path in map(Path, (path_a, path_b)):
        if benchmark is not None:
            read = load_predictions(path, samples, config.format).predictions
            with naming(path):
                scored.append(benchmark_runs(find_benchmark(benchmark), samples, read, config))
        elif task is not None:
            scored.append((score_file(task, samples, path, config)[0], []))
    (run_a, all_a), (run_b, all_b) = scored
    tables = {
        a.name: _compared(run_a.samples, (a.pools, a.finish), (b.pools, b.finish), config)
        for a, b in zip(all_a, all_b, strict=True)
    }
    if not tables:
        tables["ours"] = compare_runs(run_a, run_b, config)
        pairs = enumerate(zip(run_a.scores, run_b.scores, strict=True))
        both = [i for i, (a, b) in pairs if a.failure is None and b.failure is None]
        if 0 < len(both) < len(samples):  # without the part of the difference that is only readability
            a, b = run_a.only(both), run_b.only(both)
            name = f"{len(both)} of {len(samples)} samples, where both answers can be read"
            tables[name] = _compared(a.samples, pools_of(a), pools_of(b), config, _over_everything)
    return ComparedFiles(
        a=Path(path_a).name,
        b=Path(path_b).name,
        task=run_a.task.name,
        benchmark=benchmark,
        samples=len(samples),
        scenes=len({sample.scene for sample in samples}),
        resamples=config.resamples,
        level=config.level,
        turned=turned(run_a, run_b),
        variants=tables,
    )


def _over_everything(name: str) -> bool:
    return is_rate(name) and name.partition("/")[2] in ("", "micro")


def turned(run_a: ScoredRun, run_b: ScoredRun) -> dict[str, int]:
    """How many answers earn more reward in B, less, or the same within 0.05 of the mean part."""
    counts = {"better": 0, "worse": 0, "same": 0}
    for a, b in zip(run_a.scores, run_b.scores, strict=True):
        parts = max(len(a.parts), len(b.parts), 1)
        change = (b.total - a.total) / parts
        counts["better" if change > 0.05 else "worse" if change < -0.05 else "same"] += 1
    return counts
