"""``rft3d score``: the official numbers of a predictions file."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import Scoring, free, say
from rft3d.evaluation import score_benchmark, score_files, tables


@dataclass(frozen=True, kw_only=True)
class Args(Scoring):
    """Score a predictions file by a task's metric or a benchmark's protocols, with intervals over scenes.

    Needs only the two files: neither pictures, model nor torch. The predictions may be ours, an lmms-eval
    sample log, a VLMEvalKit sheet or a plain {id: text}. Prints a table; --out writes everything as JSON.
    """

    predictions: tyro.conf.Positional[Path]
    """predictions: JSON lines {"id", "text"}, or another program's (see --format)"""


def main(args: Args) -> None:
    args.check()
    free(args.out, args.force)
    if args.task is not None:
        result = score_files(args.task, args.samples, args.predictions, args)
        args.write(result)
        say(tables.score_table(result), *tables.task_notes(result))
    elif args.benchmark is not None:
        result = score_benchmark(args.benchmark, args.samples, args.predictions, args)
        args.write(result)
        say(tables.score_table(result), tables.categories_table(result), *tables.footnotes(result))
