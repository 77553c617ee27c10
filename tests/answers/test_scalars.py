"""Option letters and numbers in text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft3d.answers import ParseFailure, ParseMode, parse_number, parse_option, render_number


@pytest.mark.parametrize(
    ("text", "lenient", "strict"),
    [
        ("B", "B", "B"),
        ("b", "B", "B"),
        ("B.", "B", "B"),
        ("B because", "B", "B"),
        ("(B)", "B", None),
        ("**B**", "B", None),
        ("B) the chair", "B", None),
        ("B.\nThe chair", "B", None),
        ("The answer is B", "B", None),
        ("the answer is b.", "B", None),
        ("Answer: (C), not A.", "C", None),
        ("A is far. The answer is D because it is near", "D", "A"),
        ("Correct is option C", "C", None),
        ("A chair, so B is right", "B", "A"),
        ("A. 3 metres", "A", "A"),
        ("<think>A or C?</think><answer>C</answer>", "C", "C"),
        ("E", None, None),
        ("a chair", None, "A"),  # the harness takes the text up to the first space
        ("A chair is left", None, "A"),
        ("B's", None, None),
        ("Bed", None, None),
        ("", None, None),
    ],
)
def test_options(text: str, lenient: str | None, strict: str | None) -> None:
    readings: dict[ParseMode, str | None] = {"lenient": lenient, "strict": strict}
    for mode, expected in readings.items():
        answer = parse_option(text, mode=mode)
        assert isinstance(answer, ParseFailure) if expected is None else answer == expected, (mode, answer)


def test_other_letters() -> None:
    assert parse_option("F", "ABCDEF") == "F"
    assert parse_option("(a) it is", "A") == ParseFailure("no option letter of A", "(a) it is")
    with pytest.raises(ValueError, match="capital letters"):
        parse_option("a", "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("about 3.5 m", 3.5), ("three", 3), ("Twenty-one chairs", 21), ("1,200 cm", 1200), ("3.5m", 3.5),
        ("-2", -2), ("\u22122", -2), (".5", 0.5), ("5.", 5), ("2e2", 200), ("1,234,567.5", 1234567.5),
        ("The answer is: 7.", 7), ("In frame 2, the answer is 4", 4), ("one hundred and five", 105),
        ("two thousand three hundred forty", 2340), ("two point five", 2.5), ("a hundred", 100),
        ("one two three", 1), ("2-3 metres", 2), ("frame2 shows 3", 3), ("a 3D room of 20 m2", 20),
        ("0eV", 0), ("2e-x", 2), ("1,234,5678", 1), ("1,234,56", 1234),
        ("<think>9</think><answer>four</answer>", 4), ("zero", 0), ("fifty and six", 50),
    ],
)  # fmt: skip
def test_lenient_numbers(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "many", "nan", "inf", "-Infinity", "1e999", "9" * 50, "1e99999", "someone", "3D", ".5D", "."]
)
def test_no_number(text: str) -> None:
    for mode in ("strict", "lenient"):
        assert isinstance(parse_number(text, mode), ParseFailure)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3.50", 3.5), ("3 m", 3), ("3.", 3), ("1e3", 1000), ("3m", None),
     ("three", None), ("about 3", None),
     ("3.5\nm", None), ("1,200", None)],
)  # fmt: skip
def test_strict_numbers_are_the_harness_reading(text: str, value: float | None) -> None:
    answer = parse_number(text, "strict")
    assert isinstance(answer, ParseFailure) if value is None else answer == value


def test_render_number() -> None:
    assert [render_number(x) for x in (3, 3.0, 2.456, 2.5, -0.001, 1200, 0.1)] == [
        "3", "3", "2.46", "2.5", "0", "1200", "0.1",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="finite"):
        render_number(math.inf)


@given(st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9)))
def test_rendered_numbers_read_back(x: float) -> None:
    for mode in ("strict", "lenient"):
        assert parse_number(render_number(x), mode) == pytest.approx(round(x, 2), abs=1e-12)
