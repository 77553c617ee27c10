"""Places named in a thought: ``chair (1.61, 1.00), pillow (-0.14, 2.00)``.

A thought is wild text like an answer: what cannot be read is left out, nothing is ever raised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_PLACES = 64
"""Further places of a text are not read."""
MAX_CHARS = 20_000

_PLACE = re.compile(
    r"(?:([A-Za-z][A-Za-z' -]{0,39}?)(?: at| centre)? |; )"
    r"\((-?\d{1,4}\.\d{1,3}), (-?\d{1,4}\.\d{1,3})(?:, -?\d{1,4}\.\d{1,3})?\)"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A label and where it is said to stand: floor coordinates ``x``, ``y`` in metres."""

    label: str
    x: float
    y: float


def read_places(text: str) -> tuple[Place, ...]:
    """The places in ``text``, in order; one without a label of its own (``chair at (..); (..)``) has the last."""
    found: list[Place] = []
    label = ""
    for match in _PLACE.finditer(text[:MAX_CHARS]):
        label = (match[1] or label).strip().lower()
        if label and len(found) < MAX_PLACES:
            found.append(Place(label, float(match[2]), float(match[3])))
    return tuple(found)
