"""VSI-Bench's answers as two harnesses read them: worked-out cases of their rules."""

from __future__ import annotations

import time

import pytest

from rft3d.answers.harness import lmms_eval_number, vlmevalkit_number, vlmevalkit_option


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3.0),
        ("1,665 cm", 1.0),  # no thousands
        ("There are 3 boxes", 3.0),
        ("Twenty-one chairs", 21.0),
        ("three hundred and two, or 4", 302.0),
        ("one apple, room 2", 1.0),
        ("about -2.5 m", -2.5),
        ("none", None),
        ("", None),
    ],
)
def test_lmms_eval_numbers(text: str, number: float | None) -> None:
    assert lmms_eval_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("between 3 and 4.5", 4.5),  # the last one
        ("<think>7</think> two", 2.0),
        ("<answer> 12 m</answer> 3", 12.0),
        ("I see nothing", None),
    ],
)
def test_vlmevalkit_numbers(text: str, number: float | None) -> None:
    assert vlmevalkit_number(text) == number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("C. front-left", "C"),
        ("<answer>a</answer>", "A"),
        ("<think>A or B</think>\nD.", "B"),  # what stands before a closing tag wins
        ("<think>either one</think>\nD.", "D"),
        ("The answer is\n**C**", "C"),
        ("The chair is left, so the answer is C.", "C"),
        ("A or B", None),
        ("I cannot tell", None),
    ],
)
def test_vlmevalkit_options(text: str, letter: str | None) -> None:
    assert vlmevalkit_option(text) == letter


@pytest.mark.parametrize(
    "part", ["<answer", "<answer>", "A ", "1", "(", "* ", "answer is ", "</think>", "1e"]
)
def test_hostile_texts_take_no_time(part: str) -> None:
    began = time.process_time()
    for read in (lmms_eval_number, vlmevalkit_number, vlmevalkit_option):
        read(part * (60_000 // len(part)))
    assert time.process_time() - began < 60  # quadratic in the whole text would be minutes
