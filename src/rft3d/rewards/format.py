"""Format rewards in {0, 1}: could the answer be read, and is it wrapped as the prompt asked?

The paper's notes disagree on R_format: JSON that is a valid box (perception) or the think/answer
structure (reasoning). Both are here; a task picks.
"""

from __future__ import annotations

from collections.abc import Iterable

from rft3d.answers import ParseFailure, Sections
from rft3d.rewards.types import Part


def format_part(failure: ParseFailure | None) -> Part:
    """1 when the answer could be parsed (``failure`` is None), else 0 with the parser's reason."""
    if failure is None:
        return Part("format", 1.0, "the answer can be read")
    return Part("format", 0.0, failure.reason)


def think_format_part(sections: Sections) -> Part:
    """1 for exactly ``<think>…</think><answer>…</answer>`` with something in the answer, else 0."""
    if not sections.well_formed:
        return Part("think_format", 0.0, "not exactly <think>…</think><answer>…</answer>")
    if not sections.answer.strip():
        return Part("think_format", 0.0, "the answer is empty")
    return Part("think_format", 1.0, "one thought, then one answer")


def zero_parts(names: Iterable[str], reason: str) -> tuple[Part, ...]:
    """A part of value 0 for each name: what an answer earns that could not be read."""
    return tuple(Part(name, 0.0, reason) for name in names)
