"""Answers as VG-LLM's evaluation reads them, bit by bit, for ``--compat vg-llm``; without running the text.

Upstream hands lines of model output to Python's ``eval``. Here a line is read as a Python *literal* (numbers,
strings, lists, tuples, dicts, True, False, None), bounded in length and depth, and nothing is executed. What
remains different: an expression that is not a literal (``[1/2, 3]``, a call) is dropped, not computed.

Where this differs from mode ``upstream`` of the other parsers, which is meant for training: tags are not
looked for, single quotes and tuples are read, and what upstream counts as a wrong box (too few numbers, NaN)
comes back as one that can meet nothing, :data:`NOWHERE`, instead of being dropped.

Source: LaVi-Lab/VG-LLM, ``lmms_eval/tasks/{threedod,scanrefer,vsibench}/utils.py`` (facts, not code).
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

from rft3d.answers._reading import MAX_ANSWER_CHARS, excerpt
from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure

MAX_LINE_CHARS = 4096
"""Longer lines are not read; 40 times a real one."""
MAX_LINE_DEPTH = 16
NOWHERE = (0.0,) * 9
"""A box without size: it counts as a prediction and its IoU with anything is 0."""
_OPEN, _CLOSE = "([{", ")]}"
# The tokens a literal can have. Possessive, so it never backtracks; whatever else Python's grammar knows
# (operators in a row, names, attributes) is refused before the compiler sees it.
_LITERAL = re.compile(
    r"""(?:[\s\[\]{}(),:]
        |[-+]?(?:\d[\d_]{0,40}+(?:\.\d{0,40}+)?|\.\d{1,40}+)(?:[eE][-+]?\d{1,4}+)?
        |'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"
        |\b(?:True|False|None)\b)*+""",
    re.VERBOSE,
)


def vgllm_detections(text: str) -> tuple[LabelledBox, ...]:
    """Every box that upstream would count, in output order; () when there is none. Never raises on text.

    Lines with ``bbox_3d`` or ``label`` in them are read one by one; one that is no dict with a label and
    numbers is dropped (so is a whole list on one line), the others stay.
    """
    boxes = []
    for line in _lines(text):
        if "bbox_3d" not in line and "label" not in line:
            continue
        value = _literal(line.strip().strip(","))
        box = _upstream_box(value.get("bbox_3d")) if isinstance(value, dict) else None
        if box is None or "label" not in value or not isinstance(value["label"], str | int | float | bool):
            continue
        boxes.append(LabelledBox(str(value["label"]), box))
    return tuple(boxes)


def vgllm_frame_box(text: str, frames: int) -> FrameBox | ParseFailure:
    """The first line with ``bbox_3d``: it must hold an int ``frame`` in [0, frames) and a list of nine."""
    line = next((line for line in _lines(text) if "bbox_3d" in line), None)
    if line is None:
        return ParseFailure('no line with "bbox_3d"', excerpt(text))
    value = _literal(line.strip())
    if not isinstance(value, dict):
        return ParseFailure('the first line with "bbox_3d" is no dict', excerpt(line))
    frame, box = value.get("frame"), value.get("bbox_3d")
    if not isinstance(frame, int) or not 0 <= frame < frames:  # True is a frame upstream, number 1
        return ParseFailure("no frame of this video", excerpt(line))
    if not isinstance(box, list) or len(box) != 9:
        return ParseFailure('"bbox_3d" is not a list of nine', excerpt(line))
    numbers = _floats(box)
    return FrameBox(int(frame), NOWHERE if numbers is None else numbers)


def vgllm_first_token(text: str) -> str:
    """VSI-Bench's cleaning: up to the first space, final dots and outer white space removed; no tags."""
    return text.split(" ", 1)[0].rstrip(".").strip()


def vgllm_number(text: str) -> float | None:
    """What Python's ``float`` makes of :func:`vgllm_first_token`; None when it refuses or is not finite."""
    token = vgllm_first_token(text[: 2 * MAX_LINE_CHARS])
    try:
        value = float(token) if len(token) <= MAX_LINE_CHARS else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _lines(text: object) -> list[str]:
    """Upstream's cleaning of both ends: newlines, back-ticks, the *letters* j, s, o, n, newlines."""
    if not isinstance(text, str) or len(text) > MAX_ANSWER_CHARS:
        return []
    return text.strip("\n").strip("`").strip("json").strip("\n").split("\n")


def _literal(line: str) -> Any:
    """The Python literal in ``line``, or None."""
    if len(line) > MAX_LINE_CHARS or _LITERAL.fullmatch(line) is None or _depth(line) > MAX_LINE_DEPTH:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wild text may hold "\d" or "0or"
            return ast.literal_eval(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _depth(line: str) -> int:
    """Deepest nesting, at least: brackets in strings count too, which only makes the bound stricter."""
    depth = deepest = 0
    for char in line:
        if char in _OPEN:
            depth += 1
            deepest = max(deepest, depth)
        elif char in _CLOSE:
            depth -= 1
    return deepest


def _upstream_box(value: object) -> tuple[float, ...] | None:
    """As ``numpy.array(value, dtype=float)``: None where that raises, NOWHERE where the IoU does."""
    if isinstance(value, list | tuple):
        numbers = _floats(value)
        if numbers is None:
            return None
        return numbers if len(numbers) == 9 and all(map(math.isfinite, numbers)) else NOWHERE
    return NOWHERE if _floats([value]) is not None else None


def _floats(values: Sequence[object]) -> tuple[float, ...] | None:
    numbers = []
    for value in values:
        if not isinstance(value, int | float | str):
            return None
        try:
            numbers.append(float(value))
        except (ValueError, OverflowError):
            return None
    return tuple(numbers)
