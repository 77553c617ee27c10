"""Seconds to score 10,000 detection predictions of 10 boxes each on one thread, from files to intervals.

    python benchmarks/score.py [--samples 10000] [--boxes 10] [--resamples 1000]

Writes a samples file and a predictions file (truths with 10 cm and 10 % noise, three answers in a hundred
unreadable) into a temporary folder and scores them as ``rft3d score --benchmark scannet-detection-4f`` does:
reading, parsing, exact IoU, matching, the published means and their bootstrap intervals over scenes. The bar
that the project holds itself to: 10 seconds.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported

import numpy as np  # noqa: E402

from rft3d.answers import LabelledBox, render_detections  # noqa: E402
from rft3d.evaluation import Prediction, ScoreConfig, score_benchmark, write_predictions  # noqa: E402  # noqa: E402
from rft3d.scenes.types import CATE20  # noqa: E402
from rft3d.tasks import Sample, write_samples  # noqa: E402

BAR_S = 10.0


def write_files(folder: Path, samples: int, boxes: int) -> None:
    """``s.jsonl`` and ``p.jsonl``: 40 samples a scene, as ScanNetDetection's 10 windows a scan are more."""
    rng = np.random.default_rng(0)
    asked, answered = [], []
    for number in range(samples):
        labels = rng.choice(CATE20, boxes).tolist()
        truth = np.concatenate(
            [
                rng.uniform((-2, -1, 0.5), (2, 1, 4), (boxes, 3)),
                rng.uniform(0.2, 1.8, (boxes, 3)),
                rng.uniform(-0.5, 0.5, (boxes, 3)),
            ],
            axis=1,
        )
        noisy = truth.copy()
        noisy[:, :3] += rng.normal(0, 0.1, (boxes, 3))
        noisy[:, 3:6] *= rng.uniform(0.9, 1.1, (boxes, 3))
        rows = [{"label": a, "bbox_3d": b} for a, b in zip(labels, truth.tolist(), strict=True)]
        asked.append(Sample(str(number), "detection", f"scene{number // 40}", (), "Detect", {"boxes": rows}))
        named = [LabelledBox(a, tuple(b)) for a, b in zip(labels, noisy.tolist(), strict=True)]
        text = render_detections(named)
        answered.append(Prediction(str(number), text[: len(text) // 2] if rng.random() < 0.03 else text))
    write_samples(folder / "s.jsonl", asked)
    write_predictions(folder / "p.jsonl", answered)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--boxes", type=int, default=10)
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, args.samples, args.boxes)
        print(f"{args.samples} predictions of {args.boxes} boxes, {args.resamples} resamples, one thread")
        for compat in (None, "vg-llm"):
            config = ScoreConfig(resamples=args.resamples, compat=compat)
            begin, wall = time.process_time(), time.perf_counter()
            result = score_benchmark("scannet-detection-4f", folder / "s.jsonl", folder / "p.jsonl", config)
            seconds, wall = time.process_time() - begin, time.perf_counter() - wall
            f1 = result.variants["ours"].headline["f1@0.25"].value
            bar = f"bar {BAR_S:.0f} s" if compat is None else "with --compat vg-llm"
            print(f"  {seconds:6.2f} s of processor, {wall:6.2f} s in all; {bar} (F1@0.25 {100 * f1:.1f})")


if __name__ == "__main__":
    main()
