"""Benchmarks under every protocol in use: ``run.BENCHMARKS[name]``, ``run.score_benchmark``.

A benchmark is one file that opens with its protocol, its source and every deviation. To add one: copy a file,
give it a :class:`Benchmark`, add a line to ``run.py``.
"""
