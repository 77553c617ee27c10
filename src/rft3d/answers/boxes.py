"""Boxes in text: detection lists and frame + box, read in two modes and written in the gold layout.

Layouts are those of VG-LLM's data files, which 3D-RFT trains on: one object a line, ``label``
before ``bbox_3d``, a ``json`` fence around it::

    ```json
    [
    \t{"label": "chair", "bbox_3d": [0.1, -0.2, 2.3, 0.5, 0.9, 0.5, 0.0, 0.1, 0.2]}
    ]```

``strict`` takes a JSON list (or object) alone, fenced or not, on one line or many, with exactly the
keys that were asked for. ``lenient`` also finds it in the middle of prose, ignores extra keys and
needs no closing fence. Both refuse the whole list when one entry is wrong or the list never closes:
a truncated answer is not a shorter answer.
"""

import json
import math
import re
from collections.abc import Sequence
from typing import Any, cast

from rft3d.answers._reading import TAGS, Unreadable, answer_text, load_json, quoted, value_end
from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure, ParseMode, Rounding

MAX_BOXES = 1000
MAX_LABEL_CHARS = 100
MAX_FRAME = 1_000_000

_DETECTION_KEYS = ("label", "bbox_3d")
_FRAME_KEYS = ("frame", "bbox_3d")
_STARTS = {"[": re.compile(r"\[\s*+(?:[{\]]|\Z)"), "{": re.compile(r"\{")}
_FENCE = "```"


def parse_detections(text: str, mode: ParseMode = "lenient") -> tuple[LabelledBox, ...] | ParseFailure:
    """The detections in ``text``, in output order; ``[]`` is the valid answer "nothing here".

    Each entry needs a printable string ``label`` (1-100 characters, no tag or fence) and nine finite
    numbers in ``bbox_3d``; a list has at most 1000 entries. Never raises on text.

    Examples:
        >>> parse_detections('[{"label": "bed", "bbox_3d": [0, 0, 2, 2, 1, 1, 0, 0, 0]}]')[0].label
        'bed'
    """
    try:
        answer = answer_text(text, mode)
        entries = load_json(_source(answer, mode, "[", "list"))
        if len(entries) > MAX_BOXES:
            raise Unreadable(f"{len(entries)} boxes, the limit is {MAX_BOXES}")
        return tuple(_labelled_box(entry, k, exact=mode == "strict") for k, entry in enumerate(entries))
    except Unreadable as problem:
        return ParseFailure(str(problem), quoted(text))


def parse_frame_box(text: str, mode: ParseMode = "lenient") -> FrameBox | ParseFailure:
    """The frame index and box in ``text``.

    ``frame`` must be a whole number from 0 (``strict``: written as an integer); whether the video has
    that frame is the caller's to check. ``lenient`` reads the first JSON object. Never raises on text.
    """
    try:
        answer = answer_text(text, mode)
        return _frame_box(load_json(_source(answer, mode, "{", "object")), exact=mode == "strict")
    except Unreadable as problem:
        return ParseFailure(str(problem), quoted(text))


def _source(answer: str, mode: ParseMode, opening: str, kind: str) -> str:
    """The characters of the JSON ``kind`` in ``answer``, which opens with ``opening``.

    ``strict``: it is all there is, but for a fence around it.
    """
    if mode == "lenient":
        # prose before a fence may use brackets
        start = _STARTS[opening].search(answer, max(0, answer.find("```json")))
        if start is None:
            raise Unreadable(f"no JSON {kind}")
        return answer[start.start() : value_end(answer, start.start())]
    body, fenced = answer, answer.startswith(_FENCE)
    if fenced:
        body = body[len(_FENCE) :].removeprefix("json").lstrip()
    if not body.startswith(opening):
        raise Unreadable(f"not a JSON {kind} alone")
    end = value_end(body, 0)
    after = body[end:].strip()
    if after != (_FENCE if fenced else ""):
        raise Unreadable(f"text after the JSON {kind}" if after else f"no closing {_FENCE}")
    return body[:end]


def _labelled_box(entry: object, index: int, exact: bool) -> LabelledBox:
    try:
        fields = _require_keys(entry, _DETECTION_KEYS, exact)
        label = fields["label"]
        if not isinstance(label, str):
            raise Unreadable('"label" must be a string')
        label = label if exact else label.strip()
        if fault := label_fault(label):
            raise Unreadable(fault)
        return LabelledBox(label, _nine_numbers(fields["bbox_3d"]))
    except Unreadable as problem:
        raise Unreadable(f"entry {index} {problem}") from None


def label_fault(label: str) -> str | None:
    """What keeps ``label`` from being written and read back; None: nothing."""
    # Control characters and lone surrogates would break logs and reports far from here.
    if not 1 <= len(label) <= MAX_LABEL_CHARS:
        return f'"label" must have 1 to {MAX_LABEL_CHARS} characters, got {len(label)}'
    if not label.isprintable():
        return '"label" has unprintable characters'
    mark = next((mark for mark in (*TAGS, _FENCE) if mark in label), None)
    return None if mark is None else f'"label" contains {mark}'


def _frame_box(value: object, exact: bool) -> FrameBox:
    fields = _require_keys(value, _FRAME_KEYS, exact)
    frame = fields["frame"]
    whole = isinstance(frame, int) and not isinstance(frame, bool)
    if not exact and isinstance(frame, float) and frame.is_integer():
        whole = True
    if not whole:
        raise Unreadable('"frame" must be a whole number')
    if not 0 <= frame <= MAX_FRAME:
        raise Unreadable(f'"frame" must be from 0 to {MAX_FRAME}')
    return FrameBox(int(frame), _nine_numbers(fields["bbox_3d"]))


def _nine_numbers(value: object) -> tuple[float, ...]:
    """``value`` as a 9-DoF box; Unreadable says what is wrong with it."""
    if not isinstance(value, list):
        raise Unreadable(f'"bbox_3d" must be a list of nine numbers, got {_json_type(value)}')
    numbers = cast("list[Any]", value)
    if len(numbers) != 9:
        raise Unreadable(f'"bbox_3d" must be nine numbers, got {len(numbers)}')
    for index, number in enumerate(numbers):
        # bool is a subclass of int in Python, but true is not a coordinate.
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise Unreadable(f'"bbox_3d"[{index}] must be a number, got {_json_type(number)}')
        if not math.isfinite(number):
            raise Unreadable(f'"bbox_3d"[{index}] is not finite')
    return tuple(float(number) for number in numbers)


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    names = {"bool": "a boolean", "int": "a number", "float": "a number", "str": "a string", "list": "a list"}
    return names.get(type(value).__name__, "an object")


def _require_keys(entry: object, keys: tuple[str, str], exact: bool) -> dict[str, Any]:
    """``entry`` as an object that has ``keys`` (and with ``exact`` no others)."""
    if not isinstance(entry, dict):
        raise Unreadable(f"must be a JSON object, got {_json_type(entry)}")
    found = cast("dict[str, Any]", entry)
    for key in keys:
        if key not in found:
            raise Unreadable(f'has no "{key}"')
    if exact and len(found) != len(keys):
        extra = next(key for key in found if key not in keys)
        raise Unreadable(f"has a key that was not asked for: {quoted(extra[:40])!r}")
    return found


def render_detections(
    detections: Sequence[LabelledBox], decimals: int = 2, rounding: Rounding = "safe"
) -> str:
    """The gold text of a detection answer, in upstream's layout; ``[`` and ``]`` on two lines when empty.

    Numbers are Python's ``round(x, decimals)``; ``rounding`` says what is mended after that. ValueError when
    a label or box could not be read back.
    """
    lines: list[str] = []
    for index, detection in enumerate(detections):
        fault = label_fault(detection.label)
        if fault is not None:
            raise ValueError(f"render_detections: entry {index}: {fault}, got {quoted(detection.label)}")
        box = _rounded(detection.box, decimals, rounding, f"render_detections: entry {index}")
        lines.append("\t" + json.dumps({"label": detection.label, "bbox_3d": box}))
    body = ",\n".join(lines) + "\n" if lines else ""
    return f"```json\n[\n{body}]```"


def render_frame_box(answer: FrameBox, decimals: int = 2, rounding: Rounding = "safe") -> str:
    """The gold text of a grounding answer, in upstream's layout; rounding as :func:`render_detections`."""
    if not 0 <= answer.frame <= MAX_FRAME:
        raise ValueError(f"render_frame_box: frame must be from 0 to {MAX_FRAME}, got {answer.frame}")
    box = _rounded(answer.box, decimals, rounding, "render_frame_box")
    return f"```json\n\t{json.dumps({'frame': int(answer.frame), 'bbox_3d': box})}\n```"


def _rounded(box: Sequence[float], decimals: int, rounding: Rounding, where: str) -> list[float]:
    numbers = [float(number) for number in box]
    if len(numbers) != 9 or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"{where}: box must be nine finite numbers, got {numbers}")
    rounded = [round(number, decimals) for number in numbers]
    if rounding == "plain":
        return rounded
    least = 10.0**-decimals
    flat = [3 <= i < 6 and numbers[i] > 0 and rounded[i] < least for i in range(9)]
    return [least if flat[i] else rounded[i] + 0.0 for i in range(9)]  # -0.0 + 0.0 is 0.0
