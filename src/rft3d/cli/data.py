"""``rft3d data``: samples from raw annotations, pictures from recordings, and a check of what is on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from rft3d.datasets import Prepared

Like = Literal["rft3d", "vg-llm"]
Split = Literal["train", "val"]


@dataclass(frozen=True)
class _Run:
    out: Path
    """samples file to write (JSON lines, or .parquet); OUT.meta.json says what it was made from"""
    workers: int = 1
    """processes"""
    force: bool = False
    """replace a file that was made with other settings"""
    like: Like = "rft3d"
    """vg-llm: upstream's conventions with their quirks (docs/data.md lists them)"""
    no_frames: bool = False
    """questions and truths only: enough to score answers, and no picture or video is looked for"""


@dataclass(frozen=True, kw_only=True)
class ScannetDetection(_Run):
    """ScanNetDetection from EmbodiedScan's infos: windows of frames a second apart, and their objects."""

    infos: Path
    """embodiedscan_infos_{train,val}.pkl"""
    media: Path | None = None
    """folder that the infos' picture paths start in; the infos' own when left out"""
    split: Split = "val"
    """val draws --windows of a scan, train keeps all"""
    frames: int = 4
    """of a window (official: 4 and 6)"""
    windows: int = 10
    """of a scan in val"""
    seed: int = 42
    """of the draw"""
    image_size: tuple[int, int] | None = None
    """width and height of the pictures, when they are not on disk yet"""


@dataclass(frozen=True, kw_only=True)
class _Referring(_Run):
    descriptions: Path
    """ScanRefer_filtered_{train,val}.json"""
    infos: Path
    """embodiedscan_infos_{train,val}.pkl of the same split"""
    scans: Path
    """ScanNet's scans folder: <scan>/<scan>.txt, .aggregation.json, segs.json and _vh_clean_2.ply"""
    media: Path | None = None
    """folder that the infos' picture paths start in; the infos' own when left out"""
    labels: Path | None = None
    """scannetv2-labels.combined.tsv: tells unique from multiple"""
    split: Split = "val"
    """train draws frames until one shows the object; val never looks"""
    frames: int = 32
    """of a sample (official: 32)"""
    seed: int = 0
    """of the frames"""
    image_size: tuple[int, int] | None = None
    """width and height of the pictures, when they are not on disk yet"""


@dataclass(frozen=True, kw_only=True)
class Scanrefer(_Referring):
    """ScanRefer: which frame shows the described object best, and its box there."""

    draws: int = 2
    """samples a description in train"""


@dataclass(frozen=True, kw_only=True)
class Scan2cap(_Referring):
    """Scan2Cap: describe the object at a place."""

    proposals: Path | None = None
    """scannet_val_pred_box.json; without it val asks about true boxes, unlike the published protocol"""


@dataclass(frozen=True, kw_only=True)
class Vsi(_Run):
    """VSI-Bench (test), or training questions in its style without benchmarks' rooms (train)."""

    questions: tuple[Path, ...]
    """test: the parquet file; train: VLM-3R and SpaceR files"""
    media: Path | None = None
    """test: folder of <dataset>/<scene>.mp4; train: VG-LLM's media folder, or one with the videos"""
    split: Literal["test", "train"] = "test"
    """train leaves out rooms of benchmarks"""
    frames: int = 32
    """of a question"""
    answers: Literal["direct", "think", "think-prompt"] = "direct"
    """think-prompt asks for a thought and gives none (RFT, evaluation); think gives one worked out from
    --metadata (SFT)"""
    metadata: tuple[Path, ...] = ()
    """scene metadata, {dataset}_meta_info_*.json: boxes that thoughts are worked out from"""
    seed: int = 0
    """of the frames that vg-llm draws"""


@dataclass(frozen=True, kw_only=True)
class Vgllm(_Run):
    """VG-LLM's own JSON files: detection of 4 or 6 frames, ScanRefer, Scan2Cap."""

    file: Path
    """scannet_det_val_4frames.json, scanrefer_val_32frames.json ..."""
    media: Path | None = None
    """folder that its picture paths start in"""
    angles: Literal["detect", "intrinsic", "extrinsic"] = "detect"
    """of its boxes: extrinsic in files from before 2025-11-27; detect decides it from the boxes"""


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
        from rft3d.datasets.check import check_folder

        if args.do.samples is not None:
            return _check_predictions(args.do.folder, args.do.samples)
        report = check_folder(args.do.folder, args.do.media, fast=args.do.fast)
        print(report.text())
        return report.exit_code
    if isinstance(args.do, Extract):
        from rft3d.datasets import extract_recordings

        print(
            f"{args.do.out}: {extract_recordings(args.do.scans, args.do.out, args.do.every, args.do.workers)}"
        )
        return 0
    print(_prepare(args.do.benchmark).words())
    return 0


def _check_predictions(predictions: Path, samples: Path) -> int:
    from rft3d.evaluation import load_predictions
    from rft3d.evaluation.conventions import convention_words, fitting_conventions
    from rft3d.tasks import read_samples

    asked = list(read_samples(samples))
    if other := next((sample for sample in asked if sample.task != "detection"), None):
        raise ValueError(
            f"{samples}: sample {other.id!r} is of task {other.task!r}; only detection has boxes to fit"
        )
    found = fitting_conventions(asked, load_predictions(predictions, asked).predictions)
    print("\n".join(convention_words(found)))
    return 0 if found[0]["convention"] == "house" else 1


def _prepare(args: ScannetDetection | Scanrefer | Scan2cap | Vsi | Vgllm) -> Prepared:
    from rft3d.datasets import (
        CaptionSettings,
        DetectionSettings,
        GroundingSettings,
        VsiSettings,
        prepare_detection,
        prepare_referring,
        prepare_vgllm,
        prepare_vsi,
    )

    run: dict[str, Any] = {"workers": args.workers, "overwrite": args.force, "no_frames": args.no_frames}
    if isinstance(args, ScannetDetection):
        settings = DetectionSettings(
            args.split, args.frames, windows=args.windows, seed=args.seed, like=args.like
        )
        return prepare_detection(
            args.infos, args.out, args.media, settings, image_size=args.image_size, **run
        )
    if isinstance(args, Vsi):
        chosen = VsiSettings(args.split, args.frames, args.answers, args.seed, args.like)
        return prepare_vsi(args.questions, args.media, args.out, chosen, metadata=args.metadata, **run)
    if isinstance(args, Vgllm):
        return prepare_vgllm(args.file, args.media, args.out, args.angles, **run)
    shared: dict[str, Any] = {
        "split": args.split,
        "frames": args.frames,
        "seed": args.seed,
        "like": args.like,
    }
    files = (args.descriptions, args.infos, args.scans, args.out, args.media)
    if isinstance(args, Scanrefer):
        return prepare_referring(
            "scanrefer", *files, GroundingSettings(**shared, draws=args.draws),
            labels=args.labels, image_size=args.image_size, **run,
        )  # fmt: skip
    return prepare_referring(
        "scan2cap", *files, CaptionSettings(**shared),
        labels=args.labels, proposals=args.proposals, image_size=args.image_size, **run,
    )  # fmt: skip
