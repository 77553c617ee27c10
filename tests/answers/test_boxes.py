"""Boxes in text: gold round trips, what each mode takes and refuses, and the reasons given."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft3d.answers import (
    FrameBox,
    LabelledBox,
    ParseFailure,
    ParseMode,
    parse_detections,
    parse_frame_box,
    render_detections,
    render_frame_box,
    render_thought,
)

MODES: tuple[ParseMode, ...] = ("strict", "lenient")
BOX = (0.1, -0.2, 2.3, 0.5, 0.9, 0.5, 0.0, 0.1, 0.2)
CHAIR = LabelledBox("chair", BOX)
NUMBERS = "[0.1, -0.2, 2.3, 0.5, 0.9, 0.5, 0.0, 0.1, 0.2]"
ENTRY = f'{{"label": "chair", "bbox_3d": {NUMBERS}}}'

numbers = st.floats(-50, 50).map(lambda x: round(x, 2) + 0.0)
boxes = st.tuples(*[numbers] * 9)
MARKS = ("<think>", "</think>", "<answer>", "</answer>", "```")
labels = st.text(min_size=1, max_size=20).filter(
    lambda s: s.isprintable() and s == s.strip() and not any(mark in s for mark in MARKS)
)
rows = st.lists(st.tuples(labels, boxes), max_size=6)


def failure(answer: object) -> str:
    assert isinstance(answer, ParseFailure), answer
    return answer.reason


def test_gold_layouts() -> None:
    assert render_detections([CHAIR, CHAIR]) == f"```json\n[\n\t{ENTRY},\n\t{ENTRY}\n]```"
    assert render_detections([]) == "```json\n[\n]```"
    assert render_frame_box(FrameBox(3, BOX)) == f'```json\n\t{{"frame": 3, "bbox_3d": {NUMBERS}}}\n```'


def test_rounding() -> None:
    box = (1.25, -0.04, 0.0, 1.0, 1.0, 1.0, math.pi, -0.001, 0.0)
    one = json.loads(render_detections([LabelledBox("a", box)], decimals=1)[8:-3])
    assert one[0]["bbox_3d"] == [1.2, 0.0, 0.0, 1.0, 1.0, 1.0, 3.1, 0.0, 0.0]
    assert "-0.0" not in render_frame_box(FrameBox(0, box), decimals=1)


@given(rows)
def test_detections_round_trip(truth_rows: list[tuple[str, tuple[float, ...]]]) -> None:
    truth = [LabelledBox(*row) for row in truth_rows]
    gold = render_detections(truth)
    for mode in MODES:
        assert parse_detections(gold, mode) == tuple(truth)
        assert parse_detections(render_thought("I see.", gold), mode) == tuple(truth)


@given(st.integers(0, 500), boxes)
def test_frame_box_round_trip(frame: int, box: tuple[float, ...]) -> None:
    gold = render_frame_box(FrameBox(frame, box))
    for mode in MODES:
        assert parse_frame_box(gold, mode) == FrameBox(frame, box)


@given(rows, st.integers(0, 10_000))
def test_a_truncated_list_is_never_a_shorter_list(
    truth_rows: list[tuple[str, tuple[float, ...]]], cut: int
) -> None:
    truth = [LabelledBox(*row) for row in truth_rows]
    gold = render_detections(truth)
    for mode in ("strict", "lenient"):
        answer = parse_detections(gold[: cut % len(gold)], mode)
        assert isinstance(answer, ParseFailure) or answer == tuple(truth)


def test_truncation_is_a_stated_case() -> None:
    cut = render_detections([CHAIR, CHAIR, CHAIR])[:-60]
    for mode in ("strict", "lenient"):
        assert failure(parse_detections(cut, mode)) == "no closing ]"
    assert failure(parse_frame_box('{"frame": 3, "bbox_3d": [0.1, 0.2', "lenient")) == "no closing }"


@pytest.mark.parametrize(
    "text",
    [
        f"[{ENTRY}]",
        f"```json\n[{ENTRY}]\n```",
        f"```\n[{ENTRY}]\n```",
        "[\n  " + ENTRY.replace(", ", ",\n    ") + "\n]",
        f'[{{"bbox_3d": {NUMBERS}, "label": "chair"}}]',
        f"<answer>[{ENTRY}]</answer>",
    ],
)
def test_layouts_that_strict_takes(text: str) -> None:
    assert parse_detections(text, "strict") == (CHAIR,)
    assert parse_detections(text, "lenient") == (CHAIR,)


@pytest.mark.parametrize(
    "text",
    [
        f"Here [as asked] they are: [{ENTRY}]. Done.",
        f"In [{{room}}]:\n```json\n[{ENTRY}]\n``` That is all.",
        f"```json\n[{ENTRY}]",
        f'{{"objects": [{ENTRY}]}}',
        f'[{{"label": " chair ", "bbox_3d": {NUMBERS}, "score": 0.9}}]',
    ],
)
def test_layouts_that_only_lenient_takes(text: str) -> None:
    assert parse_detections(text, "lenient") == (CHAIR,)
    assert isinstance(parse_detections(text, "strict"), ParseFailure)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("3", "entry 1 must be a JSON object, got a number"),
        ("null", "entry 1 must be a JSON object, got null"),
        ('{"label": "a"}', 'entry 1 has no "bbox_3d"'),
        (f'{{"bbox_3d": {NUMBERS}}}', 'entry 1 has no "label"'),
        (f'{{"label": 7, "bbox_3d": {NUMBERS}}}', 'entry 1 "label" must be a string'),
        (f'{{"label": "", "bbox_3d": {NUMBERS}}}', 'entry 1 "label" must have 1 to 100 characters, got 0'),
        (f'{{"label": "a\\u0000", "bbox_3d": {NUMBERS}}}', 'entry 1 "label" has unprintable characters'),
        (f'{{"label": "\\ud800", "bbox_3d": {NUMBERS}}}', 'entry 1 "label" has unprintable characters'),
        ('{"label": "a", "bbox_3d": [1, 2]}', 'entry 1 "bbox_3d" must be nine numbers, got 2'),
        ('{"label": "a", "bbox_3d": "x"}', 'entry 1 "bbox_3d" must be a list of nine numbers, got a string'),
        ('{"label": "a", "bbox_3d": [1,1,1,1,1,1,0,true,0]}',
         'entry 1 "bbox_3d"[7] must be a number, got a boolean'),
        ('{"label": "a", "bbox_3d": [1,1,1,1,1,1,0,"0",0]}',
         'entry 1 "bbox_3d"[7] must be a number, got a string'),
        ('{"label": "a", "bbox_3d": [1e999,1,1,1,1,1,0,0,0]}', 'entry 1 "bbox_3d"[0] is not finite'),
        ('{"label": "a", "bbox_3d": [' + "9" * 5000 + ",1,1,1,1,1,0,0,0]}",
         'entry 1 "bbox_3d"[0] is not finite'),
        ('{"label": "a", "bbox_3d": [NaN,1,1,1,1,1,0,0,0]}', "NaN is not a JSON number"),
        ('{"label": "a", "bbox_3d": [-Infinity,1,1,1,1,1,0,0,0]}', "-Infinity is not a JSON number"),
        (f'{{"label": "a", "label": "b", "bbox_3d": {NUMBERS}}}', "an object has the same key twice"),
        ("{'label': 'a'}", "not valid JSON: "),
    ],
)  # fmt: skip
def test_one_wrong_entry_fails_the_list_by_name(entry: str, reason: str) -> None:
    for mode in ("strict", "lenient"):
        assert failure(parse_detections(f"[{ENTRY}, {entry}]", mode)).startswith(reason)


def test_strict_refuses_other_keys_and_company() -> None:
    extra = f'[{{"label": "a", "bbox_3d": {NUMBERS}, "score": 1}}]'
    assert failure(parse_detections(extra, "strict")).endswith("a key that was not asked for: 'score'")
    assert failure(parse_detections(f"[{ENTRY}] ok", "strict")) == "text after the JSON list"
    assert failure(parse_detections(f"```json\n[{ENTRY}]", "strict")) == "no closing ```"
    assert failure(parse_detections(ENTRY, "strict")) == "not a JSON list alone"
    assert failure(parse_detections(ENTRY, "lenient")) == "no JSON list"


def test_counts_are_capped() -> None:
    entry = '{"label":"a","bbox_3d":[0,0,0,1,1,1,0,0,0]}'
    full = parse_detections("[" + ",".join([entry] * 1000) + "]", "strict")
    assert isinstance(full, tuple) and len(full) == 1000
    for mode in MODES:
        assert "1000" in failure(parse_detections("[\n" + ",\n".join([entry] * 1001) + "\n]", mode))


@pytest.mark.parametrize(
    ("frame", "strict", "lenient"),
    [("3", 3, 3), ("0", 0, 0), ("3.0", None, 3), ("3.5", None, None), ("-1", None, None),
     ("true", None, None),
     ('"3"', None, None), ("9" * 30, None, None), ("1e999", None, None), ("null", None, None)],
)  # fmt: skip
def test_frames(frame: str, strict: int | None, lenient: int | None) -> None:
    text = f'{{"frame": {frame}, "bbox_3d": {NUMBERS}}}'
    readings: dict[ParseMode, int | None] = {"strict": strict, "lenient": lenient}
    for mode, expected in readings.items():
        answer = parse_frame_box(text, mode)
        if expected is None:
            assert '"frame"' in failure(answer)
        else:
            assert answer == FrameBox(expected, BOX)


def test_frame_box_in_prose_and_over_lines() -> None:
    pretty = json.dumps({"frame": 2, "bbox_3d": BOX}, indent=2)
    assert parse_frame_box(pretty, "strict") == FrameBox(2, BOX)
    assert parse_frame_box(f"It is here: {pretty} as you see", "lenient") == FrameBox(2, BOX)
    assert failure(parse_frame_box("nowhere", "lenient")) == "no JSON object"


def test_renderers_refuse_what_could_not_be_read_back() -> None:
    with pytest.raises(ValueError, match="entry 1: box must be nine finite numbers"):
        render_detections([CHAIR, LabelledBox("a", (math.nan,) * 9)])
    with pytest.raises(ValueError, match='entry 0: "label" has unprintable'):
        render_detections([LabelledBox("a\n", BOX)])
    for mark in MARKS:
        with pytest.raises(ValueError, match=f'entry 0: "label" contains {mark}'):
            render_detections([LabelledBox(f"a {mark}", BOX)])
    with pytest.raises(ValueError, match="frame must be from 0"):
        render_frame_box(FrameBox(-1, BOX))
