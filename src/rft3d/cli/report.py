"""``rft3d report``: run folders as one HTML file."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import free, tell


@dataclass(frozen=True)
class Args:
    """Turn run folders into one HTML file that opens offline: RUN/report/index.html.

    Results with intervals, curves, classes, samples in 3D, comparisons, rollouts, cost. Reads what is there:
    config.json, stages.json, env.json, stages/*/{metrics,alarms,rollouts}.jsonl and
    eval/<task>.samples.jsonl with eval/<model>/<task>.predictions.jsonl; the page says what is missing.
    A folder written by rft3d samples or rft3d rooms, with <model>/<task>.predictions.jsonl in it, will do.
    Several runs are compared on the samples they share.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, one or more"""
    out: Path | None = None
    """folder for the page; RUN/report when not given (of several: the first one's, as compare.html)"""
    gallery: int = 16
    """samples of each task whose pictures go in first: worst, best, most changed, and evenly between"""
    resamples: int = 1000
    """bootstrap resamples of the paired comparisons"""
    pictures: Path | None = None
    """folder besides the runs' own that pictures may be taken from"""
    max_mb: float = 15.0
    """size of the file in MB; pictures, then rollouts and samples are left out to keep it"""


def main(args: Args) -> None:
    from rft3d.report import write_report

    if args.runs[0].is_dir():  # else it is told below
        free(args.out or args.runs[0] / "report", force=True)
    print(write_report(**vars(args), warn=tell))
