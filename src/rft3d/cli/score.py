"""``rft3d score``: the official numbers of a predictions file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from rft3d.cli._choices import BenchmarkName, FileFormat, TaskName, free


@dataclass(frozen=True)
class Args:
    """Score a predictions file by a task's metric or a benchmark's protocols, with intervals over scenes.

    Needs only the two files: neither pictures, model nor torch. The predictions may be ours, an lmms-eval
    sample log, a VLMEvalKit sheet or a plain {id: text}. Prints a table; --out writes everything as JSON.
    """

    predictions: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PREDICTIONS")]
    """predictions: JSON lines {"id", "text"}, or another program's (see --format)"""
    samples: Path
    """samples file that the predictions answer"""
    task: TaskName | None = None
    """score by this task's metric"""
    benchmark: BenchmarkName | None = None
    """score by every protocol of this benchmark instead"""
    compat: Literal["vg-llm", "lmms-eval", "vlmevalkit"] | None = None
    """with --benchmark: also as this code base reads answers and lists classes"""
    proposals: Path | None = None
    """scanrefer: scannet_val_pred_box.json, for the proposal-refined protocol"""
    format: FileFormat = "auto"
    """of the predictions file"""
    boxes: Literal["house", "extrinsic-zxy", "qwen3-vl", "sun-rgbd", "opengl"] = "house"
    """with --task detection: how the predicted boxes are written (rft3d data check tells which fits)"""
    out: Path | None = None
    """JSON file to write"""
    force: bool = False
    """replace what is at --out"""
    mode: Literal["strict", "lenient", "upstream"] | None = None
    """how answers are read; the task's own way when not given"""
    classes: tuple[str, ...] | None = None
    """detection: labels that the means go over instead of the published 20 (rft3d samples prints them)"""
    allow_missing: bool = False
    """score samples without prediction as empty answers (and say so) instead of refusing"""
    resamples: int = 1000
    """bootstrap resamples; 0 for no intervals"""
    seed: int = 0
    """seed of the resampling"""


def main(args: Args) -> None:
    free(args.out, args.force)
    from rft3d.files import write_json

    if (args.task is None) == (args.benchmark is None):
        raise ValueError("give either --task or --benchmark")
    result = _task(args) if args.benchmark is None else _benchmark(args, args.benchmark)
    if args.out is not None:
        write_json(args.out, result)
    if args.benchmark is None:
        _print(result)
    else:
        _print_benchmark(result)


def _task(args: Args) -> dict[str, Any]:
    from rft3d.evaluation import ScoreConfig, score_files

    if args.compat is not None or args.proposals is not None:
        raise ValueError("--compat and --proposals need --benchmark")
    assert args.task is not None
    options = {} if args.classes is None else {"classes": list(args.classes)}
    config = ScoreConfig(
        args.mode,
        args.allow_missing,
        args.resamples,
        args.seed,
        options=options,
        format=args.format,
        boxes=args.boxes,
        known_classes=True,
    )
    return score_files(args.task, args.samples, args.predictions, config)


def _benchmark(args: Args, name: str) -> dict[str, Any]:
    from rft3d.evaluation import BenchmarkConfig, score_benchmark

    if args.classes is not None or args.boxes != "house":
        raise ValueError("--classes and --boxes go with --task; a benchmark has its own")
    config = BenchmarkConfig(
        compat=args.compat,
        proposals=args.proposals,
        format=args.format,
        mode=args.mode,
        allow_missing=args.allow_missing,
        resamples=args.resamples,
        seed=args.seed,
    )
    return score_benchmark(name, args.samples, args.predictions, config)


def _print_benchmark(result: dict[str, Any]) -> None:
    from rich.console import Console

    from rft3d.evaluation.tables import categories_table, footnotes, variants_table

    console = Console()
    console.print(variants_table(result))
    console.print(categories_table(result))
    for line in footnotes(result):
        console.print(line, highlight=False)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console

    from rft3d.evaluation.tables import task_notes, task_table

    console = Console()
    console.print(task_table(result))
    for line in task_notes(result):
        console.print(line, highlight=False)
