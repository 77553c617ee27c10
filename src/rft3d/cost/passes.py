"""Sizes of what goes through the model: a question, and packed rows of questions; no tensors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """Size of one question of a task.

    Attributes:
        visual: tokens of its frames. With ``markers`` (two a frame) and ``text`` they are the prompt.
        answer: mean length; ``limit``: the longest that may be sampled (SFT: the same).
    """

    frames: int
    patches: int
    text: int
    answer: int
    limit: int

    @property
    def visual(self) -> int:
        return self.frames * self.patches // 4

    @property
    def prompt(self) -> int:
        return self.visual + 2 * self.frames + self.text


@dataclass(frozen=True)
class Pass:
    """Packed rows that go through the model together: ``rows`` of a prefix and ``suffixes`` behind it."""

    rows: float
    prefix: int
    suffixes: int
    suffix: int
    scored: int

    @property
    def tokens(self) -> float:
        return self.rows * (self.prefix + self.suffixes * self.suffix)

    @property
    def pairs(self) -> float:
        """Pairs of a query and a key that it may see."""
        own = self.suffix * self.prefix + self.suffix**2 / 2
        return self.rows * (self.prefix**2 / 2 + self.suffixes * own)

    @property
    def targets(self) -> float:
        """Tokens whose probabilities are asked for."""
        return self.rows * self.suffixes * self.scored
