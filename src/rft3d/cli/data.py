"""``rft3d data``: samples from raw annotations, pictures from recordings, and a check of what is on disk."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rft3d.datasets import Scan2cap, ScannetDetection, Scanrefer, Vgllm, Vsi, extract_recordings
from rft3d.datasets.check import check_folder
from rft3d.evaluation.conventions import convention_words, conventions_of_file

Benchmark = ScannetDetection | Scanrefer | Scan2cap | Vsi | Annotated[Vgllm, tyro.conf.subcommand("vg-llm")]


@dataclass(frozen=True)
class Prepare:
    """Make a benchmark's samples file. Seeded and reproducible; a stopped run goes on where it was."""

    benchmark: tyro.conf.OmitArgPrefixes[Benchmark]


@dataclass(frozen=True)
class Check:
    """What is in a data folder, what is missing, cut off, stale, misaligned or leaking (exit code 1)."""

    folder: tyro.conf.Positional[Path]
    """folder to look through; or a predictions file, with --samples"""
    samples: Path | None = None
    """detection samples of a predictions file: which convention its boxes fit (by IoU with the truth)"""
    media: Path | None = None
    """folder that picture paths of annotations start in; FOLDER/media or FOLDER when left out"""
    fast: bool = False
    """don't open the pictures"""


@dataclass(frozen=True)
class Extract:
    """Every 10th picture and pose of ScanNet's .sens recordings, as EmbodiedScan's infos name them."""

    scans: tyro.conf.Positional[Path]
    """a .sens file, or a folder with <scan>/<scan>.sens"""
    out: Path
    """MEDIA/scannet/posed_images"""
    every: int = 10
    """raw frames from one picture to the next"""
    workers: int = 1
    """processes"""


@dataclass(frozen=True)
class Args:
    """Data on disk: prepare samples, check what is there, extract pictures."""

    do: tyro.conf.OmitSubcommandPrefixes[Prepare | Check | Extract]


def main(args: Args) -> int:
    if isinstance(args.do, Check):
        if args.do.samples is not None:
            found = conventions_of_file(args.do.folder, args.do.samples)
            print("\n".join(convention_words(found)))
            return 0 if found[0].convention == "house" else 1
        report = check_folder(args.do.folder, args.do.media, fast=args.do.fast)
        print(report.text())
        return report.exit_code
    if isinstance(args.do, Extract):
        words, whole = extract_recordings(args.do.scans, args.do.out, args.do.every, args.do.workers)
        print(f"{args.do.out}: {words}")
        return 0 if whole else 1
    print(args.do.benchmark.prepare().words())
    return 0
