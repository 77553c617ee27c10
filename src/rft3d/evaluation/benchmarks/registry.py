"""``BENCHMARKS``: a literal dict, so that it can be grepped."""

from __future__ import annotations

from rft3d.evaluation.benchmarks.revsi import REVSI
from rft3d.evaluation.benchmarks.scannet_detection import FOUR_FRAMES, SIX_FRAMES
from rft3d.evaluation.benchmarks.scanrefer import SCANREFER
from rft3d.evaluation.benchmarks.types import Benchmark
from rft3d.evaluation.benchmarks.vsi_bench import VSI_BENCH, VSI_BENCH_DEBIASED
from rft3d.files import excerpt

BENCHMARKS: dict[str, Benchmark] = {
    "scannet-detection-4f": FOUR_FRAMES,
    "scannet-detection-6f": SIX_FRAMES,
    "scanrefer": SCANREFER,
    "vsi-bench": VSI_BENCH,
    "vsi-bench-debiased": VSI_BENCH_DEBIASED,
    "revsi": REVSI,
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called ``name``; ValueError lists the known ones."""
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {excerpt(name)}; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]
