"""``rft3d compare``: what changed from one predictions file to another, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from rft3d.cli._choices import BenchmarkName, FileFormat, TaskName, free


@dataclass(frozen=True)
class Args:
    """Compare two predictions files on the same samples: B minus A, with paired bootstrap intervals.

    Prints the overall numbers and a table by category (class, question type, unique/multiple). Needs neither
    pictures, model nor torch.
    """

    a: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """predictions of the first model (any format that rft3d score takes)"""
    b: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """predictions of the second model"""
    samples: Path
    """samples file that both answer"""
    task: TaskName | None = None
    """compare by this task's metric"""
    benchmark: BenchmarkName | None = None
    """compare by this benchmark's protocol instead"""
    compat: Literal["vg-llm", "lmms-eval", "vlmevalkit"] | None = None
    """with --benchmark: also as this code base scores"""
    proposals: Path | None = None
    """scanrefer: proposals for the refined protocol"""
    format: FileFormat = "auto"
    """of both predictions files"""
    allow_missing: bool = False
    """score samples without prediction as empty answers instead of refusing"""
    resamples: int = 1000
    """bootstrap resamples of the scenes"""
    seed: int = 0
    """seed of the resampling"""
    out: Path | None = None
    """JSON file to write"""
    force: bool = False
    """replace what is at --out"""


def main(args: Args) -> None:
    free(args.out, args.force)
    from rft3d.evaluation import BenchmarkConfig, compare_prediction_files
    from rft3d.files import write_json

    config = BenchmarkConfig(
        compat=args.compat,
        proposals=args.proposals,
        format=args.format,
        allow_missing=args.allow_missing,
        resamples=args.resamples,
        seed=args.seed,
    )
    found = compare_prediction_files(
        args.samples, args.a, args.b, task=args.task, benchmark=args.benchmark, config=config
    )
    if args.out is not None:
        write_json(args.out, found)
    _print(found)


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console

    from rft3d.evaluation.tables import comparison_table

    console = Console()
    for name, rows in found["variants"].items():
        console.print(comparison_table(f"{found['b']} minus {found['a']}, {name} (in %)", rows))
    turned = found["turned"]
    console.print(
        f"{found['samples']} samples, {found['scenes']} scenes. Single answers: {turned['better']} better, "
        f"{turned['worse']} worse, {turned['same']} the same. In the first table {found['decided']} of "
        f"{len(found['rows'])} differences leave 0 out (*); at {100 * found['level']:.0f} % about one in "
        f"{round(1 / (1 - found['level']))} does by luck.",
        highlight=False,
    )
