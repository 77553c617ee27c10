"""Benchmarks under every protocol in use: ``BENCHMARKS[name]``, :func:`score_benchmark`.

A benchmark is one file that opens with its protocol, its source and every deviation. To add one: copy a file,
give it a :class:`Benchmark`, add a line to ``registry.py``.
"""

from __future__ import annotations

from rft3d.evaluation.benchmarks.registry import BENCHMARKS, find_benchmark
from rft3d.evaluation.benchmarks.run import benchmark_runs, score_benchmark
from rft3d.evaluation.benchmarks.types import Benchmark, Inputs, Protocol, Variant

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Inputs",
    "Protocol",
    "Variant",
    "benchmark_runs",
    "find_benchmark",
    "score_benchmark",
]
