"""Whatever the text: a typed answer or a failure with a printable reason; nothing raises or runs."""

from __future__ import annotations

import json
import math
import os
import pathlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft3d.answers import (
    FrameBox,
    LabelledBox,
    ParseFailure,
    Sections,
    parse_detections,
    parse_frame_box,
    parse_number,
    parse_option,
    render_detections,
    render_frame_box,
    render_thought,
    split_sections,
)

BOX = (1.0, 2.0, 3.0, 0.5, 0.5, 0.5, 0.0, 0.0, 0.1)
GOLD = [
    render_detections([LabelledBox("chair", BOX), LabelledBox("table", BOX)]),
    render_frame_box(FrameBox(2, BOX)),
    render_thought("Two chairs.", "B"),
    "about twenty-one metres",
]
CODE = "__import__('os').system('touch owned')"

CORPUS = [
    "",
    " \n\t",
    "\x00" * 1000,
    "\ud800\udfff" * 1000,
    "x" * 10_000_000,
    "[" * 10_000_000,
    "[" * 60_000,
    '{"a":' * 12_000,
    '[{"label":' * 6_000,
    "[{}" + ",{}" * 20_000 + "]",
    '[{"' + '\\"' * 30_000,
    '"\\' * 30_000,
    '"' * 60_000,
    "[" + " " * 60_000,
    "[ " * 30_000,
    "]" * 60_000,
    "```json" * 9_000,
    "`" * 60_000,
    "<think>" * 100_000,
    "</think>" * 100_000,
    "<answer>" * 100_000 + "</answer>" * 10,
    "answer" + " " * 60_000 + "B",
    "answer is " * 6_000,
    "A " * 30_000,
    "one " * 16_000,
    "hundred thousand " * 3_000,
    "1" * 65_000,
    "1," * 30_000,
    "111," * 16_000 + "1",
    "-" * 60_000,
    "3D" * 30_000,
    "1e" * 30_000,
    "." * 60_000,
    '[{"label": "a", "bbox_3d": [' + "9" * 60_000 + ", 1, 1, 1, 1, 1, 0, 0, 0]}]",
    '{"frame": ' + "9" * 60_000 + ', "bbox_3d": [1, 1, 1, 1, 1, 1, 0, 0, 0]}',
    '{"frame": NaN, "bbox_3d": [NaN, Infinity, -Infinity, 1e999, 1, 1, 0, 0, 0]}',
    '[{"label": null, "bbox_3d": {"x": 1}}]',
    '[{"label": ["a"], "bbox_3d": [[1], 1, 1, 1, 1, 1, 0, 0, 0]}]',
    f'[{{"label": "a", "bbox_3d": [{CODE}, 1, 1, 1, 1, 1, 0, 0, 0]}}]',
    CODE,
    '[{"label": "\\', '[{"label": "a\x00"}]', "{", "}", "[", "]", "```", "```json", "[{", "{]", "[}]",
]  # fmt: skip

FRAGMENTS = [
    "[", "]", "{", "}", ",", ":", '"', "\\",
    "\n", "\t", " ", "```json", "```", '"label"', '"bbox_3d"', '"frame"',
    '"chair"', "[1,1,1,1,1,1,0,0,0]", "1", "-0", "1e999", "NaN", "true", "null", "\x00", "\ud83d", "<think>",
    "</think>", "<answer>", "</answer>", "The answer is ", "B", "(C)", "twenty", "-", "one",
    "hundred", "point", "and",
    "9" * 5000, "\u0663", "\u0130",
]  # fmt: skip


def check(text: str) -> None:
    """Every parser in every mode gives a value of its own type or a failure fit for a log."""
    sections = split_sections(text)
    assert isinstance(sections, Sections)
    for mode in ("strict", "lenient"):
        answers = {
            "detections": parse_detections(text, mode),
            "frame_box": parse_frame_box(text, mode),
            "option": parse_option(text, mode=mode),
            "number": parse_number(text, mode),
        }
        for kind, answer in answers.items():
            if isinstance(answer, ParseFailure):
                assert answer.reason.isprintable() and 0 < len(answer.reason) < 200
                assert len(answer.excerpt) <= 120 and (answer.excerpt.isprintable() or not answer.excerpt)
            elif kind == "detections":
                assert isinstance(answer, tuple)
                assert all(math.isfinite(x) for entry in answer for x in entry.box)  # type: ignore[union-attr]
            elif kind == "frame_box":
                assert isinstance(answer, FrameBox) and answer.frame >= 0
            elif kind == "option":
                assert answer in ("A", "B", "C", "D")
            else:
                assert isinstance(answer, float) and math.isfinite(answer)


@pytest.mark.parametrize("index", range(len(CORPUS)))
def test_corpus(index: int) -> None:
    check(CORPUS[index])
    check(f"<think>hm</think><answer>{CORPUS[index]}</answer>")


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    check(text)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join))
def test_fragments(text: str) -> None:
    check(text)


@given(st.sampled_from(GOLD), st.integers(0, 400), st.integers(0, 40), st.sampled_from(FRAGMENTS))
def test_damaged_gold(gold: str, at: int, removed: int, inserted: str) -> None:
    at %= len(gold)
    check(gold[:at] + inserted + gold[at + removed :])


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=9)
            | st.dictionaries(st.sampled_from(["label", "bbox_3d", "frame", "x"]), inner)
        ),
        max_leaves=30,
    )
)
def test_any_json(value: object) -> None:
    check(json.dumps(value))
    check(json.dumps([value]))


@pytest.mark.skipif(os.environ.get("RFT3D_TYPECHECK") == "1", reason="beartype refuses the call itself")
def test_something_that_is_not_text() -> None:
    for value in (None, 3, b"B", ["B"]):
        answer = parse_option(value)  # type: ignore[arg-type]
        assert isinstance(answer, ParseFailure) and answer.reason.startswith("the answer must be text")


def test_code_is_not_run(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in (CODE, f"[{CODE}]", f'{{"label": {CODE}, "bbox_3d": {CODE}}}', f"<answer>{CODE}</answer>"):
        check(text)
    assert os.listdir(tmp_path) == []


FUZZED = int(os.environ.get("RFT3D_FUZZ", "300"))
"""Answers of :func:`test_fuzzed_answers`; ``make nightly`` tries 100,000."""


def test_fuzzed_answers() -> None:
    """Good answers cut, repeated, mixed and strewn with odd pieces, several at once."""
    draw = random.Random(len(GOLD))
    for number in range(FUZZED):
        text = draw.choice(GOLD)
        for _ in range(draw.randint(1, 6)):
            a, b = sorted(draw.randrange(len(text) + 1) for _ in range(2))
            piece = draw.choice(
                (draw.choice(FRAGMENTS), draw.choice(GOLD)[:a], text[a:b], chr(draw.randrange(0x110000)))
            )
            text = (text[:a] + piece + text[draw.choice((a, b)) :])[:20_000]
        try:
            check(text)
        except Exception as error:
            error.add_note(f"answer {number}: {text[:2000]!r}")
            raise
