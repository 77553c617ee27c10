"""Score predictions under every protocol of a benchmark, from files alone: :func:`score_benchmark`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rft3d.answers.types import ParseMode
from rft3d.evaluation.benchmarks.registry import find_benchmark
from rft3d.evaluation.benchmarks.types import Benchmark, Compat, Inputs, Variant
from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.outside_formats import PredictionFormat
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.score import (
    ScoreConfig,
    ScoredRun,
    extra_findings,
    provenance,
    score_predictions,
    summarise,
)
from rft3d.evaluation.stats import Difference, differences, intervals, resample_pools
from rft3d.tasks import make_task
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample


@dataclass(frozen=True, slots=True)
class BenchmarkConfig:
    """How a benchmark is scored; all of it is stated in the result."""

    compat: Compat | None = None
    """also score as this code base does: its parsing, its class lists"""
    proposals: Path | None = None
    """ScanRefer: JSON file of proposals, to score the refined protocol too"""
    format: PredictionFormat = "auto"
    """of the predictions file"""
    mode: ParseMode | None = None
    """how the task's own reward reads answers; the variants of the benchmark don't depend on it"""
    allow_missing: bool = False
    """score a sample without prediction as an empty answer, instead of refusing the file"""
    resamples: int = 1000
    """bootstrap resamples of the scenes; 0: no intervals"""
    seed: int = 0
    """seed of the resampling"""
    level: float = 0.95
    """coverage of the intervals"""


def score_benchmark(
    name: str,
    samples_path: str | Path,
    predictions_path: str | Path,
    config: BenchmarkConfig | None = None,
) -> dict[str, Any]:
    """Every variant of benchmark ``name`` as JSON values.

    Keys beside those of :func:`rft3d.evaluation.summarise`: ``benchmark`` (name, title, protocol),
    ``official`` (is this the whole benchmark?), ``variants`` (name -> note, headline intervals, all metrics,
    counts of what could not be read), ``predictions_format``.
    """
    config = config or BenchmarkConfig()
    benchmark = find_benchmark(name)
    if config.compat is not None and config.compat not in benchmark.compats:
        raise ValueError(
            f"compat: {name} is not scored by {config.compat!r}; known: {', '.join(benchmark.compats)}"
        )
    samples = list(read_samples(samples_path))
    loaded = load_predictions(predictions_path, samples, config.format)
    run, found = benchmark_runs(benchmark, samples, loaded.predictions, config)
    plain = ScoreConfig(config.mode, config.allow_missing, 0, config.seed, config.level)
    variants = {each.name: _variant(each, run, config) for each in found}
    return {
        **summarise(run, plain),
        **extra_findings(run),
        "headline": variants[found[0].name]["headline"],
        "benchmark": {
            "name": benchmark.name,
            "title": benchmark.title,
            "compat": config.compat,
            "floor": dict(benchmark.floor),
            "protocol": asdict(benchmark.protocol),
        },
        "official": official_share(benchmark, run.samples),
        "variants": variants,
        "predictions_format": asdict(loaded.origin),
        **provenance(Path(samples_path), Path(predictions_path), loaded.predictions),
    }


def benchmark_runs(
    benchmark: Benchmark,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    config: BenchmarkConfig,
) -> tuple[ScoredRun, list[Variant]]:
    """The task's own scores of ``predictions``, and every variant of the benchmark's.

    Raises:
        ValueError: no sample belongs to the benchmark; otherwise as :func:`score_predictions`.
    """
    if benchmark.keeps is not None:
        gone = {sample.id for sample in samples if not benchmark.keeps(sample)}
        samples = [sample for sample in samples if sample.id not in gone]
        predictions = [each for each in predictions if each.id not in gone]
        if not samples:
            raise ValueError(
                f"no sample belongs to {benchmark.name}; was the samples file made from its questions?"
            )
    task = make_task(benchmark.task, config.mode, benchmark.task_options)
    run = score_predictions(task, samples, predictions, config.allow_missing)
    by_id = {prediction.id: prediction for prediction in predictions}
    ordered = [by_id.get(sample.id, Prediction(sample.id, "")) for sample in samples]
    inputs = Inputs(run.samples, ordered, run.scores, config.compat, config.proposals)
    return run, benchmark.variants(inputs)


def compare_benchmark(
    variant_a: Variant, variant_b: Variant, samples: Sequence[Sample], config: BenchmarkConfig
) -> dict[str, Difference]:
    """B minus A for every metric that both define, on the same resampled scenes."""
    scenes = [sample.scene for sample in samples]
    names = [
        name
        for name, value in variant_a.finish(_sum(variant_a)).items()
        if value is not None
        and variant_b.finish(_sum(variant_b)).get(name) is not None
        and not name.startswith("count/")
        and not name.endswith("/tasks")
    ]
    runs = [
        resample_pools(each.pools, scenes, each.finish, names, resamples=config.resamples, seed=config.seed)
        for each in (variant_a, variant_b)
    ]
    return differences(runs[0], runs[1], config.level)


def official_share(benchmark: Benchmark, samples: Sequence[Sample]) -> dict[str, Any]:
    """Whether these samples are the whole benchmark: its official counts, theirs, and the frames shown."""
    counts = {"samples": len(samples), "scenes": len({sample.scene for sample in samples})}
    frames = sorted({len(sample.frames) for sample in samples})
    complete = all(counts[key] == value for key, value in benchmark.official.items())
    if benchmark.frames is not None and any(frames):
        complete = complete and frames == [benchmark.frames]
    return {"expected": dict(benchmark.official), "found": counts, "frames": frames, "complete": complete}


def _sum(variant: Variant) -> dict[str, float]:
    totals: dict[str, float] = {}
    for pool in variant.pools:
        for key, value in pool.items():
            totals[key] = totals.get(key, 0.0) + value
    return totals


def _headline(variant: Variant, samples: Sequence[Sample], config: BenchmarkConfig) -> dict[str, Any]:
    if not config.resamples:
        metrics = variant.finish(_sum(variant))
        return {name: {"value": metrics[name], "low": None, "high": None} for name in variant.headline}
    drawn = resample_pools(
        variant.pools,
        [sample.scene for sample in samples],
        variant.finish,
        variant.headline,
        resamples=config.resamples,
        seed=config.seed,
    )
    return {name: asdict(interval) for name, interval in intervals(drawn, config.level).items()}


def _variant(variant: Variant, run: ScoredRun, config: BenchmarkConfig) -> dict[str, Any]:
    unread = sum(variant.unreadable.values())
    return {
        "note": variant.note,
        "headline": _headline(variant, run.samples, config),
        "metrics": dict(variant.finish(_sum(variant))),
        "unreadable": {
            "count": unread,
            "rate": unread / len(run.samples),
            "reasons": dict(sorted(variant.unreadable.items(), key=lambda item: -item[1])[:10]),
        },
        "truncated": variant.truncated,
    }
