"""Answers as VG-LLM's evaluation reads them, bit by bit, for ``--compat vg-llm``; without running the text.

Upstream hands lines of model output to Python's ``eval``. Here a line is parsed, bounded in length and depth, and
what it says is worked out for literals (numbers, strings, lists, tuples, dicts, True, False, None, hex numbers, a
trailing comment) and arithmetic of numbers; nothing is executed. A line that only the evaluator could compute (a
call, an attribute, a comparison ...) of names that exist there is counted as a box that meets nothing, and listed;
of other names it fails there, and is dropped.

What upstream counts as a wrong box (too few numbers, NaN, nested lists, None) comes back as one that can meet
nothing, :data:`NOWHERE`. Tags are not looked for.

Source: LaVi-Lab/VG-LLM, ``lmms_eval/tasks/{threedod,scanrefer,vsibench}/utils.py`` (facts, not code).
"""

import ast
import builtins
import math
import operator
import re
import warnings
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

import numpy as np

from rft3d.answers._reading import MAX_ANSWER_CHARS, quoted
from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure

MAX_LINE_CHARS = 4096
"""Longer lines are not read; 40 times a real one."""
MAX_LINE_DEPTH = 16
NOWHERE = (0.0,) * 9
"""A box without size: it counts as a prediction and its IoU with anything is 0."""
_BRACKET = re.compile(r"[()\[\]{}]")
_LONG_RUN = re.compile(r"(?:[-+~(]\s*|not\s+|lambda\s*:?\s*){12}")
"""Operators in a row nest as deep as brackets."""
_LABEL = re.compile(r"""["']label["']\s*:\s*(?:"([^"]{1,100})"|'([^']{1,100})')""")
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b,
}
_MODULE_NAMES = frozenset({"np", "torch", "re", "os", "pd", "yaml", "R", "Path"}) | frozenset(dir(builtins))
"""Names that an expression can use there."""


class _NotRun(Exception):
    """Only an evaluator could compute the line."""


def vgllm_detections(text: str) -> tuple[tuple[LabelledBox, ...], int]:
    """Every box that upstream would count, in output order, and how many of them are lines that were not run.

    Lines with ``bbox_3d`` or ``label`` in them are read one by one; one that is not a dict with a label and
    numbers is dropped (so is a whole list on one line), the others stay. Never raises on text.
    """
    boxes: list[LabelledBox] = []
    not_run = 0
    for line in _lines(text):
        line = line.strip().strip(",")
        if "bbox_3d" not in line and "label" not in line:
            continue
        try:
            value = _value(line)
        except _NotRun:
            label = _LABEL.search(line)
            boxes.append(LabelledBox((label[1] or label[2]) if label else "?", NOWHERE))
            not_run += 1
            continue
        fields = cast("dict[Any, Any]", value) if isinstance(value, dict) else {}
        if "label" not in fields or isinstance(fields["label"], dict | list | set):
            continue
        box = _upstream_box(fields["bbox_3d"]) if "bbox_3d" in fields else None
        if box is not None:
            boxes.append(LabelledBox(str(fields["label"]), box))
    return tuple(boxes), not_run


def vgllm_frame_box(text: str, frames: int) -> FrameBox | ParseFailure:
    """The first line with ``bbox_3d``: it must hold an int ``frame`` in [0, frames) and a list of nine numbers."""
    line = next((line for line in _lines(text) if "bbox_3d" in line), None)
    if line is None:
        return ParseFailure('no line with "bbox_3d"', quoted(text))
    try:
        value = _value(line.strip())
    except _NotRun:
        return ParseFailure("an expression that is not run", quoted(line))
    if not isinstance(value, dict):
        return ParseFailure('the first line with "bbox_3d" is not a dict', quoted(line))
    frame, box = (cast("dict[Any, Any]", value).get(name) for name in ("frame", "bbox_3d"))
    if not isinstance(frame, int) or not 0 <= frame < frames:  # True is a frame upstream, number 1
        return ParseFailure("no frame of this video", quoted(line))
    values = cast("list[Any]", box) if isinstance(box, list) else []
    if len(values) != 9:
        return ParseFailure('"bbox_3d" is not a list of nine', quoted(line))
    if not all(isinstance(number, int | float) for number in values):
        return ParseFailure('"bbox_3d" holds something that is not a number', quoted(line))
    numbers = _upstream_box(values)
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


def _value(line: str) -> Any:
    """The value of ``line`` in upstream's evaluator; None where it raises, :class:`_NotRun` where unknown."""
    if len(line) > MAX_LINE_CHARS or _depth(line) > MAX_LINE_DEPTH or _LONG_RUN.search(line):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a wild text may hold "\d" or "0or"
            return _worked_out(ast.parse(line, mode="eval").body)
    except (ValueError, SyntaxError, TypeError, ArithmeticError, MemoryError, RecursionError):
        return None


def _worked_out(node: ast.expr) -> Any:
    """Literals and arithmetic; ValueError for what the evaluator would not find."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts):
            return [_worked_out(part) for part in parts]
        case ast.Tuple(elts=parts):
            return tuple(_worked_out(part) for part in parts)
        case ast.Set(elts=parts):
            return {_worked_out(part) for part in parts}
        case ast.Dict(keys=keys, values=values):
            if any(key is None for key in keys):
                raise _NotRun
            return {
                _worked_out(k): _worked_out(v) for k, v in zip(keys, values, strict=True) if k is not None
            }
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
            number = _number(_worked_out(operand))
            return -number if isinstance(op, ast.USub) else number
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_number(_worked_out(left)), _number(_worked_out(right)))
        case _:
            names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            if isinstance(node, ast.Name) or not names <= _MODULE_NAMES:
                raise ValueError("a bare name is not a number, and an unknown one is an error")
            raise _NotRun


def _number(value: object) -> int | float:
    """Strings and lists can be added and multiplied too: only numbers are, here."""
    if not isinstance(value, int | float):
        raise _NotRun
    return value


def _depth(line: str) -> int:
    """Deepest nesting, at least: brackets in strings count too, which only makes the bound stricter."""
    return max(accumulate((1 if char in "([{" else -1 for char in _BRACKET.findall(line)), initial=0))


def _upstream_box(value: object) -> tuple[float, ...] | None:
    """As ``numpy.array(value, dtype=float)``: None where that raises, NOWHERE where the IoU does."""
    try:
        with np.errstate(all="ignore"):
            numbers = np.array(value, dtype=float)
    except (ValueError, TypeError, OverflowError):
        return None
    return tuple(numbers.tolist()) if numbers.shape == (9,) and np.isfinite(numbers).all() else NOWHERE
