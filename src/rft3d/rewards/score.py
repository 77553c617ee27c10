"""The score of an answer: the parts of its reward, and what each box of it is worth."""

from __future__ import annotations

from dataclasses import dataclass, field

from rft3d.answers.types import ParseFailure
from rft3d.rewards.comparison import Comparison
from rft3d.rewards.detection import SET_REWARDS
from rft3d.rewards.types import Part


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
    details: dict[str, object] = field(default_factory=dict[str, object])
    comparison: Comparison | None = field(default=None, compare=False, repr=False)

    @property
    def scored(self) -> bool:
        """Whether there is anything that was scored: an answer of total 0 is, an answer without parts is not."""
        return bool(self.parts)

    @property
    def maximum(self) -> float:
        """What the perfect answer earns: a total of 1.8 means little without "of 3"."""
        return float(sum(part.weight for part in self.parts))

    @property
    def total(self) -> float:
        return float(sum(part.weight * part.value for part in self.parts))

    def value(self, name: str) -> float:
        """The unweighted value of part ``name``; KeyError when the score has no such part."""
        for part in self.parts:
            if part.name == name:
                return part.value
        raise KeyError(f"no part {name!r} in {[part.name for part in self.parts]}")


def marginal_credit(score: Score) -> tuple[float, ...]:
    """What each predicted box adds to the answer's total: R(all) - R(all without it), in output order.

    The difference reward of Wolpert & Tumer (2002), the counterfactual baseline of COMA (arXiv 1705.08926).
    Exact for any reward in :data:`SET_REWARDS`: positive for a hit, negative for a false alarm or a
    duplicate, 0 for what changes nothing. Empty where the answer was not read or is no list of boxes.
    """
    both = score.comparison
    if both is None or score.failure is not None or score.truncated:
        return ()
    parts = [part for part in score.parts if part.name in SET_REWARDS]
    whole = sum(part.weight * part.value for part in parts)
    return tuple(
        whole - sum(part.weight * SET_REWARDS[part.name](less).value for part in parts)
        for less in map(both.without, range(len(both.predicted)))
    )
