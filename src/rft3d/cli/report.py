"""``rft3d report``: a run folder as HTML pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Turn a run folder into HTML pages that open offline: RUN/report/index.html.

    Reads what is there: config.json, stages.json, env.json, stages/*/metrics.jsonl and
    eval/<task>.samples.jsonl with eval/<model>/<task>.predictions.jsonl; the page says what is missing.
    A folder written by rft3d samples or rft3d rooms, with <model>/<task>.predictions.jsonl in it, will do.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """run folder"""
    out: Path | None = None
    """folder for the pages; RUN/report when not given"""
    gallery: int = 16
    """samples of each task that get a page of their own"""
    resamples: int = 1000
    """bootstrap resamples of the paired comparisons"""


def main(args: Args) -> None:
    from rft3d.report import write_report

    print(write_report(args.run, args.out, gallery=args.gallery, resamples=args.resamples))
