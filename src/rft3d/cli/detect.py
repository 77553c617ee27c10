"""``rft3d detect``: the objects in a video, as 3D boxes."""

from __future__ import annotations

from dataclasses import dataclass

from rft3d.cli._clip import ClipOptions, run


@dataclass(frozen=True, kw_only=True)
class Args(ClipOptions):
    """Find the objects in a video or folder: a label and a 9-DoF box each, in the first frame's camera.

    Prints a table (JSON when piped); writes a page, the frames and a view from above. Boxes are drawn into the
    frames when the camera is known (--intrinsics, --fov, or a posed folder).
    """

    every: float | None = 1.0
    """seconds from one frame to the next, as in the benchmark; None spreads the frames over the clip"""
    max_new_tokens: int = 2000
    """longest answer"""


def main(args: Args) -> None:
    from rft3d.evaluation.infer import detection_question

    run(args, "detect", 4, args.max_new_tokens, detection_question)
