"""VG-LLM's reading, imitated: what its ``eval`` accepts and drops, and that nothing is ever executed."""

from __future__ import annotations

import math

import pytest

from rft3d.answers import FrameBox, LabelledBox, ParseFailure
from rft3d.answers.vgllm import (
    NOWHERE,
    vgllm_detections,
    vgllm_first_token,
    vgllm_frame_box,
    vgllm_number,
)

NINE = "[0.1, -0.2, 2.3, 0.5, 0.9, 0.5, 0.0, 0.1, 0.2]"
BOX = (0.1, -0.2, 2.3, 0.5, 0.9, 0.5, 0.0, 0.1, 0.2)
LINE = f'{{"label": "chair", "bbox_3d": {NINE}}}'
CHAIR = LabelledBox("chair", BOX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"```json\n[\n\t{LINE},\n\t{LINE}\n]```", (CHAIR, CHAIR)),
        (f"[\n{LINE},\n{LINE[:-5]}", (CHAIR,)),  # cut off: the whole line counts
        (f"[{LINE}]", ()),  # a list on one line is evaluated and thrown away
        (LINE.replace('"', "'"), (CHAIR,)),
        (f'{{"label": "chair", "bbox_3d": ({NINE[1:-1]})}}', (CHAIR,)),
        (f'{{"label": "chair", "bbox_3d": {NINE}, "x": null}}', ()),  # null is no Python
        (f'{{"label": "chair", "bbox_3d": {NINE}, "x": None}}', (CHAIR,)),
        (f'{{"bbox_3d": {NINE}}}', ()),
        ('{"label": "chair", "bbox_3d": [1, 2, 3]}', (LabelledBox("chair", NOWHERE),)),
        ('{"label": "chair", "bbox_3d": [1e999, 0, 0, 1, 1, 1, 0, 0, 0]}', (LabelledBox("chair", NOWHERE),)),
        ('{"label": "chair", "bbox_3d": ["a", 0, 0, 1, 1, 1, 0, 0, 0]}', ()),
        ("I see a label here", ()),
        ("<think>\n" + LINE + "\n</think><answer>[]</answer>", (CHAIR,)),  # it knows no tags
    ],
)
def test_detections(text: str, expected: tuple[LabelledBox, ...]) -> None:
    assert vgllm_detections(text) == (expected, 0)


def one(box: str) -> str:
    return f'{{"label": "chair", "bbox_3d": {box}}}'


WRONG = (LabelledBox("chair", NOWHERE),)


@pytest.mark.parametrize(
    ("text", "expected", "not_run"),
    [
        (one(f"[{NINE}]"), WRONG, 0),  # a nested list is an array upstream, and its IoU an exception
        (one("[[1, 2], [3]]"), (), 0),  # a ragged one is no array
        (one("None"), WRONG, 0),
        (one("[None, 0, 0, 1, 1, 1, 0, 0, 0]"), WRONG, 0),
        (one("[0x1, 0, 0, 1, 1, 1, 0, 0, 0]"), (LabelledBox("chair", (1.0, 0, 0, 1, 1, 1, 0, 0, 0)),), 0),
        (LINE + "  # the red one", (CHAIR,), 0),
        (
            one("[1/2, 0, 0, 2*1, 1, 1, 0, 0, -(0)]"),
            (LabelledBox("chair", (0.5, 0, 0, 2, 1, 1, 0, 0, 0)),),
            0,
        ),
        (one("[1/0, 0, 0, 1, 1, 1, 0, 0, 0]"), (), 0),
        (one("[np.pi, 0, 0, 1, 1, 1, 0, 0, 0]"), WRONG, 1),
        (one("[float('1'), 0, 0, 1, 1, 1, 0, 0, 0]"), WRONG, 1),
        (one("[math.pi, 0, 0, 1, 1, 1, 0, 0, 0]"), (), 0),  # a name that is not known there
        (one('["1", 0, 0, 1, 1, 1, 0, 0, 0]'), (LabelledBox("chair", (1.0, 0, 0, 1, 1, 1, 0, 0, 0)),), 0),
    ],
)
def test_constructs_that_only_python_reads(
    text: str, expected: tuple[LabelledBox, ...], not_run: int
) -> None:
    assert vgllm_detections(text) == (expected, not_run)


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').abort()",
        "{'label': 'a', 'bbox_3d': [exit()] * 9}",
        "{'label': 'a', 'bbox_3d': 9**9**9}",
        "{'label': 'a' * 10**9, 'bbox_3d': 1}",
        "{'label': " + "lambda:" * 500 + "1, 'bbox_3d': 1}",
        "{'label': " + "not " * 900 + "1, 'bbox_3d': 1}",
        "{'label': " + "+1" * 1900 + ", 'bbox_3d': [exit]}",
        "{'label': 'a', 'bbox_3d': " + "[" * 500 + "]" * 500 + "}",
        "{'label': " + "-" * 4000 + "1, 'bbox_3d': 1}",
        "{'label': '" + "a" * 50_000 + "', 'bbox_3d': 1}",
        "\x00label\ud800",
    ],
)
def test_nothing_is_executed(code: str) -> None:
    boxes, not_run = vgllm_detections(code)
    assert len(boxes) == not_run and all(box.box == NOWHERE for box in boxes)
    assert isinstance(vgllm_frame_box(code.replace("label", "bbox_3d"), 4), ParseFailure)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        (f'```json\n\t{{"frame": 2, "bbox_3d": {NINE}}}\n```', 2),
        (f'{{"frame": True, "bbox_3d": {NINE}}}', 1),  # a bool is an int in Python
        (f'{{"frame": 2.0, "bbox_3d": {NINE}}}', None),
        (f'{{"frame": 4, "bbox_3d": {NINE}}}', None),
        (f'{{"frame": -1, "bbox_3d": {NINE}}}', None),
        (f'{{"frame": 1,\n"bbox_3d": {NINE}}}', None),  # over two lines
        (f'bbox_3d:\n{{"frame": 1, "bbox_3d": {NINE}}}', None),  # only the first line with the word
        (f'{{"frame": 1, "bbox_3d": {NINE[:-6]}]}}', None),
        ('{"frame": 1, "bbox_3d": ["1", 0, 0, 1, 1, 1, 0, 0, 0]}', None),  # its matrix product raises
        ('{"frame": 1, "bbox_3d": [None, 0, 0, 1, 1, 1, 0, 0, 0]}', None),
        (f'{{"frame": 0x2, "bbox_3d": {NINE}}}  # there', 2),
    ],
)
def test_frame_box(text: str, frame: int | None) -> None:
    found = vgllm_frame_box(text, 4)
    assert found == FrameBox(frame, BOX) if frame is not None else isinstance(found, ParseFailure)


@pytest.mark.parametrize(
    ("text", "token", "number"),
    [
        ("3", "3", 3.0),
        ("3.5 metres", "3.5", 3.5),
        ("A.\nfoo", "A.\nfoo", None),
        ("3m", "3m", None),
        ("1_000", "1_000", 1000.0),  # Python's float takes it
        ("nan", "nan", None),
        ("-inf", "-inf", None),
        ("2..", "2", 2.0),
        ("", "", None),
        (" 4", "", None),
    ],
)
def test_first_token(text: str, token: str, number: float | None) -> None:
    assert vgllm_first_token(text) == token
    found = vgllm_number(text)
    assert found == number or (found is not None and number is not None and math.isclose(found, number))
