"""``rft3d detect``: the objects in a video, as 3D boxes.

Also what ``ground``, ``ask`` and ``try`` share with it: options, and clip -> question -> model -> page.
"""

import json
import os
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.markup import escape

from rft3d.cli._choices import free, say
from rft3d.evaluation.dataset import room_config_of
from rft3d.evaluation.infer import ClipAnswer, detection_question
from rft3d.evaluation.tables import answer_table
from rft3d.report.clip_page import answer_clip
from rft3d.scenes.clips import Clip, ClipSampling, read_clip, with_fov, with_intrinsics
from rft3d.tasks.types import Sample

ROOM = 7
"""Seed of the room that is shown when no source is given."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Options of every verb that lets a model look at one clip."""

    model: str = "rooms"
    """rooms or rooms-sft (shipped; they know procedural rooms only), a model folder, or a hub repository"""
    out: Path | None = None
    """folder for the page and pictures; runs/VERB/NAME when not given"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU when there is one"""
    temperature: float = 0.0
    """0 is greedy"""
    seed: int = 0
    """seed of sampling (no effect when greedy)"""
    json: bool = False
    """print JSON on a terminal too (elsewhere it always is JSON)"""


@dataclass(frozen=True, kw_only=True)
class ClipOptions(ModelOptions):
    """Options of every verb that looks at a clip of your own."""

    source: tyro.conf.Positional[str]
    """video, picture, folder of pictures, scene folder, posed clip, a folder of them, or rooms:SEED"""
    frames: int | None = None
    """frames to look at; when not given as many as the model was trained on"""
    every: float = 0.0
    """seconds from one frame to the next; 0: the frames are spread over the clip"""
    start: float = 0.0
    """look at the video from this second on"""
    end: float | None = None
    """look at the video up to this second"""
    intrinsics: Annotated[tuple[float, float, float, float] | None, tyro.conf.arg(metavar="FX FY CX CY")] = (
        None
    )
    """in pixels of the video as a player shows it: boxes are then drawn into the frames"""
    fov: float | None = None
    """horizontal field of view in degrees, instead of --intrinsics (a phone held sideways: 60 to 75)"""


@dataclass(frozen=True, kw_only=True)
class Args(ClipOptions):
    """Find the objects in a video or folder: a label and a 9-DoF box each, in the first frame's camera.

    Prints a table (JSON when piped); writes a page, the frames and a view from above. Boxes are drawn into the
    frames when the camera is known (--intrinsics, --fov, or a posed folder), true ones beside them when the scene
    has some.
    """

    source: tyro.conf.Positional[str] = ""
    """video, picture, folder of pictures, scene folder, posed clip, a folder of them, or rooms:SEED; without
    it a new room, as rft3d try makes it"""
    every: float = 1.0
    """seconds from one frame to the next, as in the benchmark; 0 spreads the frames over the clip"""
    max_new_tokens: int = 2000
    """longest answer"""


def main(args: Args) -> None:
    answer = find(args if args.source else replace(args, source=f"rooms:{ROOM}"), "detect")
    if not args.source:
        open_page(answer)


def find(args: Args, verb: str) -> ClipAnswer:
    """Look, print and write the page into ``runs/VERB`` (``--out``); returns what was printed."""
    return run(args, verb, 4, args.max_new_tokens, detection_question)


def run(
    args: ClipOptions, verb: str, frames: int, max_new_tokens: int, question: Callable[[Clip], Sample]
) -> ClipAnswer:
    """Answer ``question`` about the clip; JSON or a short table on standard output, pages beside it."""
    if args.intrinsics is not None and args.fov is not None:
        raise ValueError("give --intrinsics or --fov, not both")
    world = room_config_of(args.model)
    count = (world.frames if world else frames) if args.frames is None else args.frames
    clip = read_clip(args.source, ClipSampling(count, args.every or None, args.start, args.end), world)
    if args.intrinsics is not None:
        clip = with_intrinsics(clip, *args.intrinsics)
    elif args.fov is not None:
        clip = with_fov(clip, args.fov)
    sample = question(clip)  # a bad clip or question is reported before torch is loaded
    out = args.out or Path("runs") / verb / clip.name
    free(out, force=True)
    answer = answer_clip(
        args.model, args.device, clip, sample, out,
        max_new_tokens=max_new_tokens, temperature=args.temperature, seed=args.seed,
    )  # fmt: skip
    show_answer(answer, args.json)
    return answer


def open_page(answer: ClipAnswer) -> None:
    """Show the page in a browser, where a person is looking and there is a screen."""
    screen = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.stdout.isatty() and screen:
        webbrowser.open(Path(answer.files["page"]).resolve().as_uri())


def show_answer(answer: ClipAnswer, as_json: bool) -> None:
    """``answer`` as JSON where a program reads on or ``as_json`` asks for it, else as a short table."""
    if as_json or not sys.stdout.isatty():
        print(json.dumps(answer.to_dict(), indent=2, allow_nan=False))
        return
    found = answer.found
    say(*(f"[bold red]warning:[/] {escape(warning)}" for warning in answer.warnings))
    if found.failure is not None:
        say(f"[bold red]no answer:[/] {escape(found.failure.reason)}")
    elif found.sample.task != "spatial":
        say(answer_table(answer.clip.name, found.boxes))
    else:
        said = found.answer
        say(f"[bold]{f'{said:g}' if isinstance(said, float) else escape(str(said))}[/]")
    say(*(escape(f"note: {note}") for note in answer.notes), escape(f"open {answer.files['page']}"))
