"""What ``detect``, ``ground`` and ``ask`` share: their options, and clip -> question -> model -> page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from rft3d.scenes.clips import Clip
    from rft3d.tasks.types import Sample


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """Options of every verb that looks at one clip."""

    video: Annotated[Path, tyro.conf.Positional]
    """video file, picture, folder of pictures, scene folder or posed clip"""
    model: str = "rooms"
    """rooms or rooms-sft (shipped; they know procedural rooms only), a model folder, or a hub repository"""
    every: float | None = None
    """seconds from one frame to the next; without it the frames are spread over the clip"""
    start: float = 0.0
    """look at the video from this second on"""
    end: float | None = None
    """look at the video up to this second"""
    intrinsics: tuple[float, float, float, float] | None = None
    """FX FY CX CY in pixels of the video as a player shows it: boxes are then drawn into the frames"""
    fov: float | None = None
    """horizontal field of view in degrees, instead of --intrinsics (a phone held sideways: 60 to 75)"""
    out: Path | None = None
    """folder for the page and pictures; runs/VERB/NAME when not given"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU when there is one"""
    temperature: float = 0.0
    """0 is greedy"""
    seed: int = 0
    """seed of sampling (no effect when greedy)"""


def run(
    args: ClipOptions, verb: str, frames: int, max_new_tokens: int, question: Callable[[Clip], Sample]
) -> None:
    """Answer ``question`` about the clip; JSON on standard output, pages beside it."""
    import json

    from rft3d.evaluation import model_fingerprint
    from rft3d.evaluation.infer import infer, inference_record
    from rft3d.files import model_folder
    from rft3d.report.clip_page import write_clip_report
    from rft3d.scenes.clips import ClipSampling, read_clip, with_fov, with_intrinsics

    if args.intrinsics is not None and args.fov is not None:
        raise ValueError("give --intrinsics or --fov, not both")
    clip = read_clip(args.video, ClipSampling(frames, args.every, args.start, args.end))
    if args.intrinsics is not None:
        clip = with_intrinsics(clip, *args.intrinsics)
    elif args.fov is not None:
        clip = with_fov(clip, args.fov)
    sample = question(clip)  # a bad clip or question is reported before torch is loaded
    local = model_folder(args.model).is_dir()
    fingerprint = model_fingerprint(args.model) if local else args.model
    import torch

    from rft3d.models import load_policy

    if args.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU here; use --device cpu")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    found = infer(
        load_policy(args.model, device),
        clip,
        sample,
        max_new_tokens=max_new_tokens,
        temperature=args.temperature,
        seed=args.seed,
    )
    source = args.video.resolve()
    out = args.out or Path("runs") / verb / (source.name if source.is_dir() else source.stem)
    record = inference_record(found, clip, fingerprint)
    record["files"] = write_clip_report(found, clip, record, out)
    print(json.dumps(record, indent=2, allow_nan=False))
