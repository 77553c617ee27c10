"""``rft3d ask``: a question about a video."""

from dataclasses import dataclass

import tyro

from rft3d.cli.detect import ClipOptions, run
from rft3d.evaluation.infer import spatial_question


@dataclass(frozen=True, kw_only=True)
class Args(ClipOptions):
    """Ask about the place in a video, laid out as VSI-Bench's questions are; prints the answer, writes a page."""

    question: tyro.conf.Positional[str]
    """e.g. "How many chairs are in this room?" """
    options: tuple[str, ...] = ()
    """answers to choose from, for a multiple-choice question"""
    think: bool = False
    """let the model think first (for models trained to)"""
    max_new_tokens: int | None = None
    """longest answer; 64 when not given, 1024 with --think"""


def main(args: Args) -> None:
    limit = args.max_new_tokens or (1024 if args.think else 64)
    run(args, "ask", 32, limit, lambda clip: spatial_question(clip, args.question, args.options, args.think))
