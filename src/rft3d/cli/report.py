"""``rft3d report``: run folders as one HTML file."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import free, tell
from rft3d.report import ReportConfig, write_report


@dataclass(frozen=True, kw_only=True)
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
    config: tyro.conf.OmitArgPrefixes[ReportConfig]


def main(args: Args) -> None:
    if args.runs[0].is_dir():  # else it is told below
        free(args.out or args.runs[0] / "report", force=True)
    print(write_report(args.runs, args.out, args.config, tell))
