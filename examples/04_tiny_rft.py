"""GRPO through the public API: a tiny policy learns to name the colour it sees, from rewards alone.

Run: python examples/04_tiny_rft.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

from rft3d.models import TinyConfig, build_tiny
from rft3d.models.tokens import byte_tokenizer
from rft3d.rewards import Part, Score
from rft3d.tasks.types import Sample
from rft3d.training.config import OptimConfig, RFTConfig
from rft3d.training.data import tokenize
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.rollout import Rollouts

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 200)}


class Colour:
    """Reward 1 for the right word, 0.2 for another colour, 0 for anything else."""

    def gold(self, sample: Sample) -> str:
        return str(sample.truth["colour"])

    def parse(self, text: str, sample: Sample, mode: str = "lenient") -> str:
        return text.strip()

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        word = self.parse(text, sample)
        value = 1.0 if word == self.gold(sample) else 0.2 * (word in COLOURS)
        return Score((Part("colour", value, f"said {word!r}"),))


def main() -> None:
    sizes = TinyConfig(hidden=64, layers=2, heads=4, intermediate=96, frame_size=(56, 56))
    policy = build_tiny(sizes, byte_tokenizer(list(COLOURS)))  # each colour's name is one token
    names, tasks = [*COLOURS] * 4, {"colour": Colour()}
    shades = np.random.default_rng(0).integers(-25, 25, (len(names), 1, 56, 56, 3))
    clips = [list((np.array(COLOURS[n]) + s).astype(np.uint8)) for n, s in zip(names, shades, strict=True)]
    samples = [[Sample(f"{i}", "", "", ("",), "<image>Colour?", {"colour": n})] for i, n in enumerate(names)]
    corpus = tokenize(policy, tasks, {"colour": samples}, policy.encode(clips))
    optim = OptimConfig(lr=2e-3, weight_decay=0.0, schedule="constant")
    config = RFTConfig(100, {"colour": 6}, group_size=16, max_new_tokens={"colour": 1}, optim=optim)
    for moment in ("before", "after"):
        groups = Rollouts(policy, tasks, corpus, config).collect(10_000).drawn
        print(f"reward {moment}: {np.mean([s.total for group in groups for s in group.scores]):.2f}")
        if moment == "before":
            with tempfile.TemporaryDirectory() as folder:
                train_rft(policy, tasks, corpus, config, Path(folder), Watch(Console()))


if __name__ == "__main__":
    main()
