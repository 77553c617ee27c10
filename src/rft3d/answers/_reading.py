"""What the parsers share: bounds on hostile text, excerpts, sections (``<think>``, ``<answer>``), bounded JSON.

A model's text is wild: megabytes of one token, brackets nested ten thousand deep, ``1e999``, lone surrogates.
Every bound here is checked *before* the expensive step it protects, so the worst text costs milliseconds.
Inside this package a text that cannot be read raises :class:`Unreadable`; the public parsers turn that into a
:class:`~rft3d.answers.types.ParseFailure`, so nothing escapes. Tags are searched with plain ``str.find`` (lower
case, as the prompts spell them); no regular expression ever runs over a whole thought.
"""

import json
import re
from typing import Any

from rft3d.answers.types import ParseMode, Sections

MAX_TEXT_CHARS = 1_000_000
"""Longer texts are not even searched for tags."""
MAX_ANSWER_CHARS = 65_536
"""Longer answers are not read; about 700 boxes in the gold layout, far above any real answer."""
MAX_DEPTH = 8
"""Deepest JSON nesting that is handed to ``json`` (a detection list needs 3)."""
EXCERPT_CHARS = 120
THINK, END_THINK, ANSWER, END_ANSWER = "<think>", "</think>", "<answer>", "</answer>"
TAGS = (THINK, END_THINK, ANSWER, END_ANSWER)

# Strings are skipped whole, so brackets inside labels don't count. The quantifiers are possessive and
# the closing quote optional: a match never backtracks, which keeps an unclosed string linear.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[\[\]{}]', re.DOTALL)


class Unreadable(Exception):
    """The text holds no answer; the message is the reason that a ``ParseFailure`` will carry."""


def quoted(text: object) -> str:
    """At most 120 printable characters: the whole text, or its head and tail around an ellipsis."""
    if not isinstance(text, str):
        return type(text).__name__
    if len(text) > EXCERPT_CHARS:
        half = (EXCERPT_CHARS - 3) // 2
        text = f"{text[:half]} … {text[-half:]}"
    return "".join(char if char.isprintable() else " " for char in text)


def value_end(text: str, start: int) -> int:
    """Index just past the JSON list or object that opens at ``text[start]``.

    Only brackets are counted, ``json`` judges the rest. Raises :class:`Unreadable` when the value
    never closes (a truncated answer) or nests deeper than :data:`MAX_DEPTH`.
    """
    depth = 0
    for match in _TOKEN.finditer(text, start):
        char = text[match.start()]
        if char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Unreadable(f"nested deeper than {MAX_DEPTH} levels")
        elif char in "]}":
            depth -= 1
            if depth == 0:
                return match.end()
    raise Unreadable(f"no closing {']' if text[start] == '[' else '}'}")


def _parse_int(digits: str) -> int | float:
    # int() of thousands of digits raises or takes quadratic time; such a number overflows to inf here
    # and is then refused as not finite.
    return int(digits) if len(digits) <= 18 else float(digits)


def _no_constant(name: str) -> float:
    raise Unreadable(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Unreadable("an object has the same key twice")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_int=_parse_int, parse_constant=_no_constant)


def load_json(text: str) -> Any:
    """Decode ``text``, a complete JSON list or object whose brackets :func:`value_end` has checked."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not valid JSON: {error.msg} (character {error.pos})") from None


def split_sections(text: str) -> Sections:
    """Split ``text`` at its tags; total, never raises on text.

    The thought ends at the first ``</think>``; the answer is the first ``<answer>`` after it, up to
    its ``</answer>`` (or to the end when that is missing). A later second answer is never read, so
    naming several earns nothing. Text that only thinks has the answer ``""``. A text of more than
    a million characters is returned whole and untagged (the parsers refuse it as too long).
    """
    return _split(text)[0]


def answer_text(text: object, mode: ParseMode) -> str:
    """The stripped inside of the answer section, or Unreadable.

    An unclosed tag is a truncated text and refused. ``strict`` takes an untagged text, ``<answer>…</answer>``
    alone, or a well-formed pair of sections; nothing else.
    """
    if not isinstance(text, str):
        raise Unreadable(f"the answer must be text, got {type(text).__name__}")
    if len(text) > MAX_TEXT_CHARS:
        raise Unreadable(f"too long: {len(text)} characters, the limit is {MAX_TEXT_CHARS}")
    sections, unclosed, alone = _split(text)
    if unclosed is not None:
        raise Unreadable(f"no closing {unclosed}")
    if mode == "strict" and not (sections.well_formed or alone) and any(tag in text for tag in TAGS):
        raise Unreadable("tags are not exactly <think>…</think><answer>…</answer>")
    answer = sections.answer
    if len(answer) > MAX_ANSWER_CHARS:
        raise Unreadable(f"too long: an answer of {len(answer)} characters, the limit is {MAX_ANSWER_CHARS}")
    if not answer.strip():
        raise Unreadable("the answer is empty")
    return answer.strip()


def _split(text: str) -> tuple[Sections, str | None, bool]:
    """Sections, the closing tag that is missing (or None), and whether an answer section is all there is."""
    if len(text) > MAX_TEXT_CHARS:
        return Sections(answer=text), None, False
    think, rest, unclosed = _split_thought(text)
    before, opened, inside = rest.partition(ANSWER)
    if not opened:
        return Sections(answer=rest, think=think), unclosed, False
    answer, closed, _ = inside.partition(END_ANSWER)
    if not closed:
        return Sections(answer=inside, think=think, tagged=True), END_ANSWER, False
    counts = [text.count(tag) for tag in TAGS]
    stripped = text.strip()
    ends_well = stripped.endswith(END_ANSWER)
    framed = stripped.startswith(THINK) and ends_well and not before.strip()
    alone = counts == [0, 0, 1, 1] and stripped.startswith(ANSWER) and ends_well
    sections = Sections(answer, think, tagged=True, well_formed=counts == [1, 1, 1, 1] and framed)
    return sections, unclosed, alone


def _split_thought(text: str) -> tuple[str | None, str, str | None]:
    """Thought, what follows it, and the missing closing tag.

    Templates that put ``<think>`` into the prompt give texts with only the closing tag.
    """
    head, closed, rest = text.partition(END_THINK)
    _, opened, inside = head.partition(THINK)
    if closed:
        return inside if opened else head, rest, None
    if not opened:
        return None, text, None
    # No </think>: either the text was cut inside the thought, or the model went on to its answer.
    thought, answering, rest = inside.partition(ANSWER)
    return (thought, ANSWER + rest, None) if answering else (thought, "", END_THINK)


def render_thought(think: str, answer: str) -> str:
    """``<think>…</think><answer>…</answer>``; ValueError when either text holds one of the tags."""
    for field, value in (("think", think), ("answer", answer)):
        for tag in TAGS:
            if tag in value:
                raise ValueError(f"render_thought: {field} contains the tag {tag}; remove it first")
    return f"{THINK}{think}{END_THINK}{ANSWER}{answer}{END_ANSWER}"
