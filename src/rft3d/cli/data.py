"""``rft3d data``: samples from raw annotations, pictures from recordings, and a check of what is on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from rft3d.datasets import (
    CaptionSettings,
    DetectionSettings,
    GroundingSettings,
    Prepared,
    VsiSettings,
    prepare_detection,
    prepare_referring,
    prepare_vgllm,
    prepare_vsi,
)


@dataclass(frozen=True, kw_only=True)
class _Run:
    out: Path
    """samples file to write (JSON lines, or .parquet); OUT.meta.json says what it was made from"""
    media: Path | None = None
    """folder that the annotations' picture paths start in; their own folder when left out"""
    workers: int = 1
    """processes"""
    force: bool = False
    """replace a file that was made with other settings"""
    no_frames: bool = False
    """questions and truths only: enough to score answers, and no picture or video is looked for"""

    def how(self) -> dict[str, Any]:
        return {"workers": self.workers, "overwrite": self.force, "no_frames": self.no_frames}


@dataclass(frozen=True, kw_only=True)
class _FromInfos(_Run):
    infos: Path
    """embodiedscan_infos_{train,val}.pkl of the split"""
    image_size: tuple[int, int] | None = None
    """width and height of the pictures, when they are not on disk yet"""


@dataclass(frozen=True, kw_only=True)
class ScannetDetection(_FromInfos):
    """ScanNetDetection from EmbodiedScan's infos: windows of frames a second apart, and their objects."""

    settings: tyro.conf.OmitArgPrefixes[DetectionSettings]

    def prepare(self) -> Prepared:
        return prepare_detection(
            self.infos, self.out, self.media, self.settings, image_size=self.image_size, **self.how()
        )


@dataclass(frozen=True, kw_only=True)
class _Referring(_FromInfos):
    descriptions: Path
    """ScanRefer_filtered_{train,val}.json"""
    scans: Path
    """ScanNet's scans folder: <scan>/<scan>.txt, .aggregation.json, segs.json and _vh_clean_2.ply"""
    labels: Path | None = None
    """scannetv2-labels.combined.tsv: tells unique from multiple"""

    def referring(
        self, benchmark: str, settings: GroundingSettings, proposals: Path | None = None
    ) -> Prepared:
        return prepare_referring(
            benchmark, self.descriptions, self.infos, self.scans, self.out, self.media, settings,
            labels=self.labels, proposals=proposals, image_size=self.image_size, **self.how(),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scanrefer(_Referring):
    """ScanRefer: which frame shows the described object best, and its box there."""

    settings: tyro.conf.OmitArgPrefixes[GroundingSettings]

    def prepare(self) -> Prepared:
        return self.referring("scanrefer", self.settings)


@dataclass(frozen=True, kw_only=True)
class Scan2cap(_Referring):
    """Scan2Cap: describe the object at a place."""

    settings: tyro.conf.OmitArgPrefixes[CaptionSettings]
    proposals: Path | None = None
    """scannet_val_pred_box.json; without it val asks about true boxes, unlike the published protocol"""

    def prepare(self) -> Prepared:
        return self.referring("scan2cap", self.settings, self.proposals)


@dataclass(frozen=True, kw_only=True)
class Vsi(_Run):
    """VSI-Bench (test), or training questions in its style without benchmarks' rooms (train).

    --media is a folder of <dataset>/<scene>.mp4 (test), VG-LLM's media folder or one with the videos (train).
    """

    questions: tuple[Path, ...]
    """test: the parquet file; train: VLM-3R and SpaceR files"""
    settings: tyro.conf.OmitArgPrefixes[VsiSettings]
    metadata: tuple[Path, ...] = ()
    """scene metadata, {dataset}_meta_info_*.json: boxes that thoughts are worked out from"""

    def prepare(self) -> Prepared:
        return prepare_vsi(
            self.questions, self.media, self.out, self.settings, metadata=self.metadata, **self.how()
        )


@dataclass(frozen=True, kw_only=True)
class Vgllm(_Run):
    """VG-LLM's own JSON files: detection of 4 or 6 frames, ScanRefer, Scan2Cap."""

    file: Path
    """scannet_det_val_4frames.json, scanrefer_val_32frames.json ..."""
    angles: Literal["detect", "intrinsic", "extrinsic"] = "detect"
    """of its boxes: extrinsic in files from before 2025-11-27; detect decides it from the boxes"""

    def prepare(self) -> Prepared:
        return prepare_vgllm(self.file, self.media, self.out, self.angles, **self.how())


Benchmark = (
    Annotated[ScannetDetection, tyro.conf.subcommand("scannet-detection")]
    | Annotated[Scanrefer, tyro.conf.subcommand("scanrefer")]
    | Annotated[Scan2cap, tyro.conf.subcommand("scan2cap")]
    | Annotated[Vsi, tyro.conf.subcommand("vsi")]
    | Annotated[Vgllm, tyro.conf.subcommand("vg-llm")]
)


@dataclass(frozen=True)
class Prepare:
    """Make a benchmark's samples file. Seeded and reproducible; a stopped run goes on where it was."""

    benchmark: Benchmark


@dataclass(frozen=True)
class Check:
    """What is in a data folder, what is missing, cut off, stale, misaligned or leaking (exit code 1)."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
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

    scans: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SCANS")]
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

    do: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Prepare, tyro.conf.subcommand("prepare")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Extract, tyro.conf.subcommand("extract")]
    ]


def main(args: Args) -> int:
    if isinstance(args.do, Check):
        if args.do.samples is not None:
            from rft3d.evaluation.conventions import convention_words, conventions_of_file

            found = conventions_of_file(args.do.folder, args.do.samples)
            print("\n".join(convention_words(found)))
            return 0 if found[0]["convention"] == "house" else 1
        from rft3d.datasets.check import check_folder

        report = check_folder(args.do.folder, args.do.media, fast=args.do.fast)
        print(report.text())
        return report.exit_code
    if isinstance(args.do, Extract):
        from rft3d.datasets import extract_recordings

        words, whole = extract_recordings(args.do.scans, args.do.out, args.do.every, args.do.workers)
        print(f"{args.do.out}: {words}")
        return 0 if whole else 1
    print(args.do.benchmark.prepare().words())
    return 0
