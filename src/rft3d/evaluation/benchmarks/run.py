"""Score predictions under every protocol of a benchmark, from files alone: :func:`score_benchmark`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rft3d.evaluation.benchmarks.revsi import REVSI
from rft3d.evaluation.benchmarks.scan2cap import SCAN2CAP
from rft3d.evaluation.benchmarks.scannet_detection import FOUR_FRAMES, SIX_FRAMES
from rft3d.evaluation.benchmarks.scanrefer import SCANREFER
from rft3d.evaluation.benchmarks.types import Benchmark, Inputs, Variant
from rft3d.evaluation.benchmarks.vsi_bench import VSI_BENCH, VSI_BENCH_DEBIASED
from rft3d.evaluation.outside import load_predictions
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.results import BenchmarkResult, Described, Official, Unread, VariantResult
from rft3d.evaluation.score import ScoreConfig, ScoredRun, by_sample, score_predictions, sourced, summarise
from rft3d.evaluation.stats import intervals, resample_pools
from rft3d.files import excerpt, naming
from rft3d.tasks import make_task
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample

BENCHMARKS: dict[str, Benchmark] = {
    "scannet-detection-4f": FOUR_FRAMES,
    "scannet-detection-6f": SIX_FRAMES,
    "scanrefer": SCANREFER,
    "scan2cap": SCAN2CAP,
    "vsi-bench": VSI_BENCH,
    "vsi-bench-debiased": VSI_BENCH_DEBIASED,
    "revsi": REVSI,
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called ``name``; ValueError lists the known ones."""
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {excerpt(name)}; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def score_benchmark(
    name: str, samples_path: str | Path, predictions_path: str | Path, config: ScoreConfig = ScoreConfig()
) -> BenchmarkResult:
    """Every variant of benchmark ``name``, and whether this is the whole benchmark."""
    benchmark = find_benchmark(name)
    if config.compat is not None and config.compat not in benchmark.compats:
        raise ValueError(
            f"compat: {name} is not scored by {config.compat!r}; known: {', '.join(benchmark.compats)}"
        )
    samples = list(read_samples(samples_path))
    loaded = load_predictions(predictions_path, samples, config.format)
    with naming(predictions_path):
        run, found = benchmark_runs(benchmark, samples, loaded.predictions, config)
    variants = {each.name: _variant(each, run, config) for each in found}
    summary = replace(summarise(run, replace(config, resamples=0)), headline=variants[found[0].name].headline)
    result = BenchmarkResult(
        **vars(summary),
        benchmark=Described(name, benchmark.title, config.compat, dict(benchmark.floor), benchmark.protocol),
        official=official_share(benchmark, run.samples),
        variants=variants,
    )
    return sourced(result, Path(samples_path), Path(predictions_path), loaded)


def benchmark_runs(
    benchmark: Benchmark, samples: Sequence[Sample], predictions: Sequence[Prediction], config: ScoreConfig
) -> tuple[ScoredRun, list[Variant]]:
    """The task's own scores of ``predictions``, and every variant of the benchmark's."""
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
    ordered = by_sample(samples, predictions)
    return run, benchmark.variants(Inputs(run.samples, ordered, run.scores, config.compat, config.proposals))


def official_share(benchmark: Benchmark, samples: Sequence[Sample]) -> Official:
    """Whether these samples are the whole benchmark."""
    counts = {"samples": len(samples), "scenes": len({sample.scene for sample in samples})}
    frames = tuple(sorted({len(sample.frames) for sample in samples}))
    complete = all(counts[key] == value for key, value in benchmark.official.items())
    if benchmark.frames is not None and any(frames):
        complete = complete and frames == (benchmark.frames,)
    return Official(dict(benchmark.official), counts, frames, complete)


def _variant(variant: Variant, run: ScoredRun, config: ScoreConfig) -> VariantResult:
    scenes = [sample.scene for sample in run.samples]
    how = {"resamples": config.resamples, "seed": config.seed}
    drawn = resample_pools(variant.pools, scenes, variant.finish, variant.headline, **how)
    unread = Unread.of(Counter(variant.unreadable), len(run.samples))
    return VariantResult(
        variant.note, intervals(drawn, config.level), dict(drawn.point), unread, variant.truncated
    )
