"""Scenes a second of the procedural rooms: 4 frames of 168 x 112 with depth, instances and expressions.

    python benchmarks/render.py [--scenes 200] [--workers 2]

Prints scenes a second for one thread and for ``--workers`` threads after warm-up (best of the repeats: what
the code costs; median: what a busy machine makes of it), plans a second (no pictures), and the bar that the
project holds itself to.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import deque
from collections.abc import Callable

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported

from rft3d.scenes import RoomConfig, iter_rooms  # noqa: E402
from rft3d.scenes.rooms._room import plan_room  # noqa: E402

BAR = 60.0
"""Scenes a second on two cores that training needs at least."""


def rate(work: Callable[[], object], count: int, repeats: int) -> tuple[float, float]:
    """(best, median) items a second of ``work``, which makes ``count`` items."""
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        rates.append(count / (time.perf_counter() - start))
    return max(rates), statistics.median(rates)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    config = RoomConfig()
    seeds = range(args.scenes)

    start = time.perf_counter()
    deque(iter_rooms(range(2), config, 1), maxlen=0)
    print(f"warm-up (compiles on the first run of a machine): {time.perf_counter() - start:.1f} s")
    plan = rate(lambda: [plan_room(seed, config) for seed in seeds], args.scenes, args.repeats)
    one = rate(lambda: deque(iter_rooms(seeds, config, 1), maxlen=0), args.scenes, args.repeats)
    many = rate(lambda: deque(iter_rooms(seeds, config, args.workers), maxlen=0), args.scenes, args.repeats)
    print(f"{'':24}{'best':>10}{'median':>10}   a second")
    for name, (best, median) in (("plans, one thread", plan), ("scenes, one thread", one)):
        print(f"{name:24}{best:10.0f}{median:10.0f}")
    verdict = "meets" if many[0] >= BAR else "MISSES"
    name = f"scenes, {args.workers} threads"
    print(f"{name:24}{many[0]:10.0f}{many[1]:10.0f}   {verdict} the bar of {BAR:.0f}")


if __name__ == "__main__":
    main()
