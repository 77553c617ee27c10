"""Several demo runs as one Markdown table: mean over seeds, smallest and largest seed, paired difference.

    for s in 0 1 2; do rft3d demo --seed $s --out runs/seed$s; done
    python benchmarks/demo_seeds.py runs/seed0 runs/seed1 runs/seed2

Held-out rooms are the same for every seed; training rooms, weights and sampling differ. A paired
interval is a bootstrap over rooms of the difference to SFT or to SFT -> SFT, averaged over the seeds inside
each resample.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from rft3d.evaluation import make_task, read_predictions, resample_run, score_predictions
from rft3d.report.run_folder import title_of
from rft3d.tasks import read_samples

MODELS = ("sft", "sft_sft", "rft_paper", "rft_matched")
PAIRS = (
    ("sft_sft", "sft"),
    ("rft_paper", "sft"),
    ("rft_matched", "sft"),
    ("rft_paper", "sft_sft"),
    ("rft_matched", "sft_sft"),
)
COLUMNS = (
    ("detection", "f1@0.25", "F1@.25"),
    ("detection", "f1@0.25/micro", "F1 pooled"),
    ("detection", "precision@0.25", "P"),
    ("detection", "recall@0.25", "R"),
    ("detection", "mean_iou", "mean IoU"),
    ("grounding", "acc@0.25", "Acc@.25"),
    ("grounding", "acc@0.5", "Acc@.5"),
    ("spatial", "macro8", "VSI macro-8"),
    ("spatial", "micro", "VSI micro"),
)
METRICS = tuple(metric for _, metric, _ in COLUMNS)
RESAMPLES = 300


def values(runs: list[Path], model: str, task: str, metric: str) -> list[float]:
    found = [json.loads((run / "eval" / model / f"{task}.scores.json").read_text()) for run in runs]
    return [100 * scores["metrics"][metric] for scores in found]


def difference(
    runs: list[Path], model: str, base: str, task_name: str
) -> dict[str, tuple[float, float, float]]:
    """metric -> (mean, low, high) of ``model`` minus ``base`` in points, over rooms and seeds."""
    gaps: dict[str, list[np.ndarray]] = {}
    for run in runs:
        scores = json.loads((run / "eval" / model / f"{task_name}.scores.json").read_text())
        task = make_task(task_name, None, scores["options"])
        samples = list(read_samples(run / "eval" / f"{task_name}.samples.jsonl"))
        drawn = []
        for name in (model, base):
            predictions = read_predictions(run / "eval" / name / f"{task_name}.predictions.jsonl")
            drawn.append(resample_run(score_predictions(task, samples, predictions), RESAMPLES, 0, METRICS))
        for column, metric in enumerate(drawn[0].names):
            gap = drawn[0].values[:, column] - drawn[1].values[:, column]
            gaps.setdefault(metric, []).append(100 * gap)
    result = {}
    for metric, per_seed in gaps.items():
        mean = np.mean(per_seed, axis=0)
        low, high = np.nanpercentile(mean, [2.5, 97.5])
        result[metric] = (float(np.nanmean(mean)), float(low), float(high))
    return result


def main(arguments: list[str]) -> None:
    runs = [Path(a) for a in arguments]
    if not runs:
        print("nothing to do: give the folders of finished demo runs")
        return
    print("| model | " + " | ".join(label for _, _, label in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for model in MODELS:
        cells = []
        for task, metric, _ in COLUMNS:
            found = values(runs, model, task, metric)
            cells.append(f"{np.mean(found):.1f} ({min(found):.1f} - {max(found):.1f})")
        print(f"| {title_of(model)} | " + " | ".join(cells) + " |")
    for model, base in PAIRS:
        gaps = {task: difference(runs, model, base, task) for task in ("detection", "grounding", "spatial")}
        cells = []
        for task, metric, _ in COLUMNS:
            mean, low, high = gaps[task][metric]
            cells.append(f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]")
        print(f"| {title_of(model)}, minus {title_of(base)} | " + " | ".join(cells) + " |")
    for run in runs:
        stages = json.loads((run / "stages.json").read_text())
        print(f"\n{run.name}: " + ", ".join(f"{s['stage']} {s['seconds']:.0f} s" for s in stages))


if __name__ == "__main__":
    main(sys.argv[1:])
