"""What a reward returns: a named part with a value and a reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One named component of a score, e.g. ``Part("f1@0.25", 0.67, "4 of 6 matched")``.

    Attributes:
        name: stable key, used in ``metrics.jsonl`` and reports.
        value: at most 1; at least 0 for every reward of this project but ``hungarian``.
        reason: one short sentence a person can check.
        weight: its factor in the total.
    """

    name: str
    value: float
    reason: str
    weight: float = 1.0
