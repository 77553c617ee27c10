"""Sections of a text: where the answer is, and what counts as well formed."""

from __future__ import annotations

import pytest

from rft3d.answers import ParseFailure, Sections, parse_number, render_thought, split_sections


@pytest.mark.parametrize(
    ("text", "sections"),
    [
        ("B", Sections("B")),
        ("<answer>B</answer>", Sections("B", tagged=True)),
        ("<think>t</think><answer>B</answer>", Sections("B", "t", True, True)),
        (" <think>t</think>\n<answer>\nB</answer>\n", Sections("\nB", "t", True, True)),
        ("t</think><answer>B</answer>", Sections("B", "t", True)),
        ("<think>t</think>B", Sections("B", "t")),
        ("<think>cut", Sections("", "cut")),
        ("<think>t<answer>B</answer>", Sections("B", "t", True)),
        ("<think>t</think><answer>B", Sections("B", "t", True)),
        ("<think>t</think><answer>B</answer> bye", Sections("B", "t", True)),
        ("<think>t</think>so<answer>B</answer>", Sections("B", "t", True)),
        ("<think>t</think><answer>A</answer><answer>B</answer>", Sections("A", "t", True)),
        ("<think><answer>C</answer>?</think><answer>B</answer>", Sections("B", "<answer>C</answer>?", True)),
        ("", Sections("")),
    ],
)  # fmt: skip
def test_split_sections(text: str, sections: Sections) -> None:
    assert split_sections(text) == sections


def test_render_thought_round_trip() -> None:
    sections = split_sections(render_thought("two chairs", "2"))
    assert sections == Sections("2", "two chairs", tagged=True, well_formed=True)
    with pytest.raises(ValueError, match="think contains the tag </think>"):
        render_thought("a</think>", "2")
    with pytest.raises(ValueError, match="answer contains the tag <answer>"):
        render_thought("a", "<answer>2")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<think>3 is cut", "no closing </think>"),
        ("<think>t</think><answer>3", "no closing </answer>"),
        ("<think>t</think><answer> </answer>", "the answer is empty"),
        ("x" * 2_000_000, "too long"),
        ("<think>t</think><answer>" + "3" * 70_000 + "</answer>", "too long"),
    ],
)
def test_a_cut_or_endless_text_has_no_answer(text: str, reason: str) -> None:
    for mode in ("strict", "lenient"):
        answer = parse_number(text, mode)
        assert isinstance(answer, ParseFailure)
        assert answer.reason.startswith(reason)


def test_strict_wants_the_tags_right() -> None:
    for text in ("3", "<answer>3</answer>", "<think>t</think><answer>3</answer>"):
        assert parse_number(text, "strict") == 3
    for text in ("t</think><answer>3</answer>", "so <answer>3</answer>", "<think>t</think>3"):
        assert isinstance(parse_number(text, "strict"), ParseFailure)
        assert parse_number(text, "lenient") == 3
