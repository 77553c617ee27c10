"""Floor 1: text ⇄ typed value, the only place that meets a model's wild text.

Nothing here raises on text: a parser returns its value or a :class:`ParseFailure` with a reason and
an excerpt. Nothing here executes text: JSON and regular expressions only.
"""

from rft3d.answers._reading import render_thought, split_sections
from rft3d.answers.boxes import parse_detections, parse_frame_box, render_detections, render_frame_box
from rft3d.answers.scalars import parse_number, parse_option, render_number
from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure, ParseMode, Rounding, Sections

__all__ = [
    "FrameBox", "LabelledBox", "ParseFailure", "ParseMode", "Rounding", "Sections", "parse_detections",
    "parse_frame_box", "parse_number", "parse_option", "render_detections", "render_frame_box",
    "render_number", "render_thought", "split_sections",
]  # fmt: skip
