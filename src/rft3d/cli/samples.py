"""``rft3d samples``: questions about real clips and scene folders."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import free
from rft3d.evaluation import ClipConfig, check_gold, clip_questions, write_dataset
from rft3d.scenes import open_scenes
from rft3d.tasks import make_task, read_samples


@dataclass(frozen=True, kw_only=True)
class Args:
    """Ask every task about a real clip, or about scene folders that you wrote.

    Writes the frames and a file samples.<task>.jsonl a task;
    checks that the gold answers earn full marks; prints the labels for rft3d score --classes.
    Predictions in OUT/<model>/<task>.predictions.jsonl are shown by rft3d report OUT.
    """

    source: tyro.conf.Positional[str]
    """scene folder, posed clip, folder of them, or rooms:SEED"""
    out: Path
    """folder to write"""
    force: bool = False
    """replace what is at --out"""
    cuts: tyro.conf.OmitArgPrefixes[ClipConfig]
    decimals: int = 2
    """of the gold answers that are checked; the samples themselves keep full precision"""
    seed: int = 0
    """which spatial questions are drawn"""


def main(args: Args) -> None:
    free(args.out, args.force, ours=("scenes", "samples.*"))
    if not 0 <= args.decimals <= 9:
        raise ValueError(f"--decimals must be in 0..9, got {args.decimals}")
    scenes = open_scenes(args.source)
    counts = write_dataset(scenes, args.out, tasks=clip_questions(args.cuts), seed=args.seed)
    print(f"{args.out}: " + ", ".join(f"{n} {task} samples" for task, n in counts.items()))
    labels: set[str] = set()
    for task in counts:
        options = {"decimals": args.decimals} if task in ("detection", "grounding") else {}
        samples = list(read_samples(args.out / f"samples.{task}.jsonl"))
        gold = check_gold(make_task(task, options=options), samples)
        iou = "" if gold.least_iou is None else f"; least IoU {gold.least_iou:.3f}, {args.decimals} decimals"
        print(f"gold answers, {task}: full marks in {gold.full} of {gold.samples}{iou}")
        labels |= {row["label"] for sample in samples for row in sample.truth.get("boxes", [])}
    print(f"labels: --classes {' '.join(map(shlex.quote, sorted(labels)))}")
