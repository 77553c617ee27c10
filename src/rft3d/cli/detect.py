"""``rft3d detect``: the objects in a video, as 3D boxes."""

from dataclasses import dataclass, replace
from typing import Any

import tyro

from rft3d.cli._clip import ClipOptions, open_page, run

ROOM = 7
"""Seed of the room that is shown when no source is given."""


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
    record = find(args if args.source else replace(args, source=f"rooms:{ROOM}"), "detect")
    if not args.source:
        open_page(record)


def find(args: Args, verb: str) -> dict[str, Any]:
    """Look, print and write the page into ``runs/VERB`` (``--out``); returns what was printed."""
    from rft3d.evaluation.infer import detection_question

    return run(args, verb, 4, args.max_new_tokens, detection_question)
