"""Pairs a second of ``box_iou`` on one thread.

    python benchmarks/iou.py [--repeats 7] [--peers]

Workloads, each a list of calls as a reward would make them:

* general: 16 x 16 boxes with three random angles, nearly every pair overlaps (mean IoU 0.22).
* room: 20 x 20 upright boxes spread over a room, about one pair in six overlaps.
* group: 8 answers of 20 boxes in one call against 20 truths, same room.

Prints the best (what the code costs) and the median (what a busy machine makes of it) of the repeats, and the
bar that the project holds itself to. ``--peers`` adds shapely (upright boxes only) if it is installed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from rft3d.geometry import box_iou  # noqa: E402

Boxes = NDArray[np.float64]
Call = tuple[Boxes, Boxes]

BAR = {
    ("ours", "general"): 1.2e6,
    ("ours", "room"): 7e6,
}


def general_boxes(rng: np.random.Generator, n: int) -> Boxes:
    columns = (
        rng.uniform(-0.35, 0.35, (n, 3)),
        rng.uniform(0.5, 1.5, (n, 3)),
        rng.uniform(-np.pi, np.pi, (n, 3)),
    )
    return np.concatenate(columns, axis=1)


def room_boxes(rng: np.random.Generator, n: int) -> Boxes:
    centre = rng.uniform((0, 0, 0), (4, 4, 1.6), (n, 3))
    angles = np.zeros((n, 3))
    angles[:, 0] = rng.uniform(-np.pi, np.pi, n)
    return np.concatenate([centre, rng.uniform(0.2, 1.8, (n, 3)), angles], axis=1)


def workloads(calls: int) -> dict[str, list[Call]]:
    rng = np.random.default_rng(0)
    return {
        "general": [(general_boxes(rng, 16), general_boxes(rng, 16)) for _ in range(calls)],
        "room": [(room_boxes(rng, 20), room_boxes(rng, 20)) for _ in range(calls)],
        "group": [(room_boxes(rng, 160), room_boxes(rng, 20)) for _ in range(max(1, calls // 8))],
    }


def seconds(function: Callable[[Boxes, Boxes], object], calls: list[Call], repeats: int) -> list[float]:
    """Wall time of all calls, for each repeat, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        for a, b in calls:
            function(a, b)
        times.append(time.perf_counter() - start)
    return times[1:]


def shapely_iou(a: Boxes, b: Boxes) -> Boxes:
    """Upright boxes as polygons times heights: what a project without 9-DoF boxes would do."""
    import shapely

    def polygons(boxes: Boxes) -> NDArray[np.object_]:
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) / 2
        cos, sin = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
        rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=-2)
        corners = signs * boxes[:, None, 3:5] @ rotation.swapaxes(-1, -2) + boxes[:, None, :2]
        return shapely.polygons(corners)

    area = shapely.area(shapely.intersection(polygons(a)[:, None], polygons(b)[None]))
    low = np.maximum((a[:, 2] - a[:, 5] / 2)[:, None], b[:, 2] - b[:, 5] / 2)
    high = np.minimum((a[:, 2] + a[:, 5] / 2)[:, None], b[:, 2] + b[:, 5] / 2)
    shared = area * np.maximum(high - low, 0)
    return shared / (a[:, 3:6].prod(1)[:, None] + b[:, 3:6].prod(1) - shared)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="timed repeats of each workload, at least 5")
    parser.add_argument("--calls", type=int, default=40, help="calls in one repeat")
    parser.add_argument("--peers", action="store_true", help="also time shapely on the upright workloads")
    options = parser.parse_args()
    engines: dict[str, Callable[[Boxes, Boxes], Boxes]] = {"ours": box_iou}
    if options.peers:
        engines["shapely"] = shapely_iou
    print(f"{'engine':8} {'workload':8} {'best pairs/s':>14} {'median':>14} {'bar':>12}  overlap  mean IoU")
    for name, calls in workloads(options.calls).items():
        pairs = sum(len(a) * len(b) for a, b in calls)
        iou = np.concatenate([box_iou(a, b).ravel() for a, b in calls])
        for engine, function in engines.items():
            if engine == "shapely" and name == "general":
                continue
            try:
                times = seconds(function, calls, max(options.repeats, 5))
            except ImportError as error:
                print(f"{engine:8} {name:8} not installed ({error})")
                continue
            best, median = pairs / min(times), pairs / statistics.median(times)
            bar = BAR.get((engine, name))
            print(
                f"{engine:8} {name:8} {best:14,.0f} {median:14,.0f} {f'{bar:,.0f}' if bar else '':>12}"
                f"  {(iou > 0).mean():6.1%}  {iou[iou > 0].mean():8.3f}"
            )


if __name__ == "__main__":
    main()
