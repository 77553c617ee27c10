"""``rft3d score``: the official numbers of a predictions file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Args:
    """Score a predictions file with the task's official metric and bootstrap intervals over scenes.

    Needs only the two files: neither pictures, model nor torch. Prints a table; --out writes
    everything as JSON.
    """

    task: Literal["detection", "grounding", "spatial"]
    """whose metric"""
    samples: Path
    """samples file that the predictions answer"""
    predictions: Path
    """predictions: JSON lines {"id", "text"}, optionally "truncated" and "tokens" """
    out: Path | None = None
    """JSON file to write"""
    against: Path | None = None
    """predictions of another run on the same samples: adds a paired comparison (this minus that)"""
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
    from rft3d.evaluation import ScoreConfig, compare_files, score_files, write_json

    options = {} if args.classes is None else {"classes": list(args.classes)}
    config = ScoreConfig(args.mode, args.allow_missing, args.resamples, args.seed, options=options)
    result = score_files(args.task, args.samples, args.predictions, config)
    if args.against is not None:
        result["against"] = {
            "predictions": args.against.name,
            "differences": compare_files(args.task, args.samples, args.against, args.predictions, config),
        }
    if args.out is not None:
        write_json(args.out, result)
    _print(result)


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    against = result.get("against")
    table = Table(title=f"{result['task']}: {result['samples']} samples, {result['scenes']} scenes (in %)")
    for name in ("metric", "value", "interval", *(("difference", "interval", "above") if against else ())):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for name, found in result["headline"].items():
        row = [name, _percent(found["value"]), _range(found)]
        if against:
            difference = against["differences"][name]
            row += [
                _percent(difference["difference"]),
                _range(difference),
                _percent(difference["share_b_above_a"]),
            ]
        table.add_row(*row)
    console.print(table)
    console.print(
        f"unreadable {_percent(result['parse_failures']['rate'])} %, "
        f"truncated {_percent(result['truncated']['rate'])} %, "
        f"missing {result['missing']['count']}"
        + (" (scored as empty answers)" if result["missing"]["count"] else "")
        + f", answers read: {result['protocol'].get('mode', 'by default')}",
        highlight=False,
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _range(found: dict[str, Any]) -> str:
    return "-" if found["low"] is None else f"{_percent(found['low'])} .. {_percent(found['high'])}"
