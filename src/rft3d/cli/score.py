"""``rft3d score``: the official numbers of a predictions file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.answers.foreign import Convention
from rft3d.answers.types import ParseMode
from rft3d.cli._choices import Scoring, free, say


@dataclass(frozen=True, kw_only=True)
class Args(Scoring):
    """Score a predictions file by a task's metric or a benchmark's protocols, with intervals over scenes.

    Needs only the two files: neither pictures, model nor torch. The predictions may be ours, an lmms-eval
    sample log, a VLMEvalKit sheet or a plain {id: text}. Prints a table; --out writes everything as JSON.
    """

    predictions: tyro.conf.Positional[Path]
    """predictions: JSON lines {"id", "text"}, or another program's (see --format)"""
    boxes: Convention = "house"
    """with --task detection: how the predicted boxes are written (rft3d data check tells which fits)"""
    mode: ParseMode | None = None
    """how answers are read; the task's own way when not given"""
    classes: tuple[str, ...] | None = None
    """detection: labels that the means go over instead of the published 20 (rft3d samples prints them)"""


def main(args: Args) -> None:
    free(args.out, args.force)
    from rft3d.evaluation import ScoreConfig, score_benchmark, score_files, tables

    if (args.task is None) == (args.benchmark is None):
        raise ValueError("give either --task or --benchmark")
    if args.task and (args.compat is not None or args.proposals is not None):
        raise ValueError("--compat and --proposals need --benchmark")
    if args.benchmark and (args.classes is not None or args.boxes != "house"):
        raise ValueError("--classes and --boxes go with --task; a benchmark has its own")
    config = ScoreConfig(
        mode=args.mode, format=args.format, allow_missing=args.allow_missing, resamples=args.resamples,
        seed=args.seed, options={} if args.classes is None else {"classes": list(args.classes)},
        boxes=args.boxes, known_classes=True, compat=args.compat, proposals=args.proposals,
    )  # fmt: skip
    if args.task is not None:
        result = score_files(args.task, args.samples, args.predictions, config)
        args.write(result)
        say(tables.task_table(result), *tables.task_notes(result))
    elif args.benchmark is not None:
        result = score_benchmark(args.benchmark, args.samples, args.predictions, config)
        args.write(result)
        say(tables.variants_table(result), tables.categories_table(result), *tables.footnotes(result))
