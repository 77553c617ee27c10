"""How long the imports take: the bar for ``import rft3d`` is 0.3 s.

    .venv/bin/python benchmarks/import_time.py [--repeats 7]

Each row is a fresh interpreter; its bare start-up is measured too and not counted. The minimum over the
repeats is what the code costs, the median what a busy machine makes of it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

STATEMENTS = (
    "import rft3d",
    "import rft3d.geometry",
    "import rft3d.answers",
    "import rft3d.rewards",
    "import rft3d.scenes",
    "import rft3d.tasks",
    "import rft3d.evaluation.score",
    "import rft3d.cli",
)
BAR_S = {"import rft3d": 0.3}


def seconds(statement: str, repeats: int) -> list[float]:
    """Wall time of ``statement`` inside fresh interpreters, measured from within them."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    run = [sys.executable, "-c", code]
    subprocess.run(run, check=True, capture_output=True)  # byte-compiles and warms the disk cache
    return [
        float(subprocess.run(run, check=True, capture_output=True, text=True).stdout) for _ in range(repeats)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the imports in fresh interpreters.")
    parser.add_argument("--repeats", type=int, default=7, help="fresh interpreters per row")
    repeats = parser.parse_args().repeats
    missed = 0
    print(f"{'statement':32s} {'min s':>8s} {'median s':>9s}  bar")
    for statement in STATEMENTS:
        times = seconds(statement, repeats)
        bar = BAR_S.get(statement)
        met = bar is None or min(times) < bar
        missed += not met
        verdict = "" if bar is None else f"< {bar} s: {'met' if met else 'MISSED'}"
        print(f"{statement:32s} {min(times):8.3f} {statistics.median(times):9.3f}  {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
