"""Typed values that text is parsed into, and the typed failure when it can't be."""

from dataclasses import dataclass
from typing import Literal

ParseMode = Literal["strict", "lenient"]
"""``strict``: only the format that the prompt asks for. ``lenient``: whatever a reader would accept, but complete.
How VG-LLM's evaluation reads stands in :mod:`rft3d.answers.vgllm` (``--compat vg-llm``)."""

Rounding = Literal["safe", "plain"]
"""How gold texts are rounded. ``safe``: no size becomes 0 (such a box overlaps nothing) and ``-0.0`` is written
``0.0``. ``plain``: Python's ``round`` alone, as VG-LLM's data files have it."""


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """Why a text holds no answer. ``excerpt`` is at most 120 printable characters of the text."""

    reason: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One detection: a class name and a 9-DoF box.

    ``box`` is ``(x, y, z, dx, dy, dz, yaw, roll, pitch)``: metres and radians, angles intrinsic
    ZXY (``R = Rz(yaw) @ Rx(roll) @ Ry(pitch)``; the prompt's names for the three angles, in order).
    All nine numbers are finite; sizes may still be non-positive (the IoU of such a box is 0).
    """

    label: str
    box: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FrameBox:
    """A grounding answer: a frame index (0-based) and a box in that frame's camera."""

    frame: int
    box: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sections:
    """A text split at its ``<think>``/``<answer>`` tags.

    ``answer`` is the inside of ``<answer>`` (or the whole text when there are no tags);
    ``well_formed`` is True only for exactly ``<think>…</think><answer>…</answer>`` with
    whitespace allowed around the sections.
    """

    answer: str
    think: str | None = None
    tagged: bool = False
    well_formed: bool = False
