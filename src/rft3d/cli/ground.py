"""``rft3d ground``: the described object in a video, as a frame and a 3D box."""

from dataclasses import dataclass

import tyro

from rft3d.cli.detect import ClipOptions, run
from rft3d.evaluation.infer import grounding_question


@dataclass(frozen=True, kw_only=True)
class Args(ClipOptions):
    """Find the object that a text describes: the first clear frame, and a 9-DoF box in its camera.

    Prints a table (JSON when piped); writes a page, the frames and a view from above. The box is drawn into its
    frame when the camera is known (--intrinsics, --fov, or a posed folder).
    """

    text: tyro.conf.Positional[str]
    """e.g. "the chair by the window" """
    max_new_tokens: int = 100
    """longest answer"""


def main(args: Args) -> None:
    run(args, "ground", 32, args.max_new_tokens, lambda clip: grounding_question(clip, args.text))
