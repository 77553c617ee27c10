"""What a reward returns: named parts, each with a value and a reason, and their weighted total."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rft3d.answers.types import ParseFailure

if TYPE_CHECKING:
    from rft3d.rewards.comparison import Comparison


@dataclass(frozen=True, slots=True)
class Part:
    """One named component of a score, e.g. ``Part("f1@0.25", 0.67, "4 of 6 matched")``.

    Attributes:
        name: stable key, used in ``metrics.jsonl`` and reports.
        value: in [0, 1] for every reward of this project.
        reason: one short sentence a person can check.
        weight: its factor in the total.
    """

    name: str
    value: float
    reason: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Score:
    """The parts of one answer's reward; ``total`` is the weighted sum.

    ``failure`` says why the text could not be parsed (None when it could);
    ``details`` holds what the metric pools (counts, IoUs), JSON-able. ``comparison``: the boxes that were compared,
    where the answer is a list of boxes; credit per box is made from it.
    """

    parts: tuple[Part, ...]
    failure: ParseFailure | None = None
    truncated: bool = False
    details: dict[str, object] = field(default_factory=dict)
    comparison: Comparison | None = field(default=None, compare=False, repr=False)

    @property
    def total(self) -> float:
        return float(sum(part.weight * part.value for part in self.parts))

    def value(self, name: str) -> float:
        """The unweighted value of part ``name``; KeyError when the score has no such part."""
        for part in self.parts:
            if part.name == name:
                return part.value
        raise KeyError(f"no part {name!r} in {[part.name for part in self.parts]}")
