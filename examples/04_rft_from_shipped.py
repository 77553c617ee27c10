"""RFT from the shipped model in about two minutes: the reward of fresh rooms rises while you watch.

Run: python examples/04_rft_from_shipped.py [STEPS]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

from rft3d.evaluation import world_of
from rft3d.models import load_policy
from rft3d.scenes import frame_refs, iter_rooms, load_rgb
from rft3d.training import Corpus, OptimConfig, RFTConfig, Rollouts, Watch, tokenize, train_rft

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 16
ROOMS = 96 if STEPS > 1 else 4
CONFIG = RFTConfig(
    STEPS,
    {"detection": min(24, ROOMS)},
    max_new_tokens={"detection": 400},
    temperature=0.5,
    scale="task",
    credit="marginal",
    optim=OptimConfig(lr=2e-4, weight_decay=0.0),
)


def corpus_of(policy, task, config, first: int) -> Corpus:
    scenes = list(iter_rooms(range(first, first + ROOMS), config))
    features = policy.encode([[load_rgb(frame) for frame in scene.frames] for scene in scenes])
    samples = [task.samples(scene, frame_refs(scene), seed=0) for scene in scenes]
    return tokenize(policy, {"detection": task}, {"detection": samples}, features)


def main() -> None:
    policy = load_policy("rooms-sft")
    config, tasks = world_of("rooms-sft")
    task = {"detection": tasks["detection"]}
    train, held_out = (corpus_of(policy, tasks["detection"], config, first) for first in (50_000, 60_000))
    for moment in ("before", "after"):
        groups = Rollouts(policy, task, held_out, CONFIG).collect(10_000).drawn
        print(f"reward {moment}: {np.mean([s.total for group in groups for s in group.scores]):.3f}")
        if moment == "before":
            with tempfile.TemporaryDirectory() as folder:
                train_rft(policy, task, train, CONFIG, Path(folder), Watch(Console()))


if __name__ == "__main__":
    main()
