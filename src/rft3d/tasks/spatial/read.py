"""Parse a VSI-Bench question's text: :func:`read_question`.

Understands the wording of the released questions, of the paper's table 4, of VLM-3R's and SpaceR's training
data and of :mod:`.questions`: they differ in a word here and there ("direct distance", "and facing").
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    """What a question asks.

    Attributes:
        type: VSI-Bench's question type.
        labels: the labels it names, in the order of their roles (standing by, facing, asked for; the primary
            object first for a relative distance), lower case.
        options: texts of the options without letters, as shown; empty for numbers.
        steps: routes: labels to walk to, and None for each turn to fill in.
        away: directions and routes: the second label is behind, not ahead ("with your back to the fridge").
    """

    type: str
    labels: tuple[str, ...]
    options: tuple[str, ...] = ()
    steps: tuple[str | None, ...] = ()
    away: bool = False


_PATTERNS = {
    "object_counting": r"how many (?P<a>.+?)\(s\) are in th(?:is|e) room",
    "object_abs_distance": r"distance between the (?P<a>.+?) and the (?P<b>.+?) \(in meters\)",
    "object_size_estimation": (
        r"longest dimension \(length, width, or height\) of the (?P<a>.+?),? measured in"
    ),
    "room_size_estimation": r"what is the size of this room",
    "object_rel_distance": r"which of these objects \((?P<options>.+?)\) is the closest to the (?P<a>.+?)\?",
    "object_rel_direction": (
        r"standing by the (?P<a>.+?) and facing (?P<away>in the opposite direction of )?the (?P<b>.+?), "
        r"is the (?P<c>.+?) to (?:my|the) "
    ),
    "route_planning": (
        r"beginning (?:at|by) the (?P<a>.+?),?(?: and)? (?:facing|(?P<away>with your back (?:to|toward|towards)))"
        r"(?: the)? (?P<b>.+?)\. "
        r".*?'turn right\.'\):? *(?P<steps>.+)"
    ),
    "obj_appearance_order": r"following categories in the video: (?P<options>.+?)\?",
}
_COMPILED = {kind: re.compile(pattern, re.IGNORECASE | re.DOTALL) for kind, pattern in _PATTERNS.items()}
_LETTER = re.compile(r"^[A-H]\.\s*")
_STEP = re.compile(
    r"\d+\.\s*(?:\[(?P<turn>please fill in)\]|Go forward until the (?P<to>.+?))(?=\s*\d+\.|\.|$)",
    re.IGNORECASE,
)
_SIDE = re.compile(r" is on your (?:left|right)$")


def read_question(question_type: str, text: str, options: Sequence[str] = ()) -> Query:
    """What ``text`` asks.

    Args:
        question_type: one of ``QUESTION_TYPES``.
        text: the question, with or without the words around it that a prompt adds.
        options: as shown, with or without letters.

    Raises:
        ValueError: the wording is not the type's.
    """
    family = "object_rel_direction" if question_type.startswith("object_rel_direction") else question_type
    if family not in _COMPILED:
        raise ValueError(f"question type {question_type!r} is unknown")
    match = _COMPILED[family].search(" ".join(text.split()))
    if match is None:
        raise ValueError(f"not the wording of a {question_type} question: {text[:120]!r}")
    groups = match.groupdict()
    named = [groups[key] for key in "abc" if groups.get(key)]
    named += (groups.get("options") or "").split(",") if groups.get("options") else []
    shown = tuple(_LETTER.sub("", option.strip()) for option in options)
    walked = _STEP.finditer(groups.get("steps") or "")
    steps = (None if step["turn"] else _SIDE.sub("", step["to"].strip()).strip().lower() for step in walked)
    labels = tuple(label.strip().lower() for label in named)
    return Query(question_type, labels, shown, tuple(steps), bool(groups.get("away")))
