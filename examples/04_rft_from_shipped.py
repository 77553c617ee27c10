"""RFT from the shipped model in a few minutes: distances and sizes in rooms that it never saw.

The reward printed is that of answers sampled in other fresh rooms. What RL learns this fast is mostly to be surer
of what it knows; how much that is depends on the start (`docs/log.md` has what was tried).

Run: python examples/04_rft_from_shipped.py [STEPS [SEED]]
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from rft3d.evaluation import world_of
from rft3d.models import load_policy
from rft3d.scenes import frame_refs, iter_rooms, load_rgb
from rft3d.tasks import make_task
from rft3d.training import Corpus, OptimConfig, RFTConfig, Rollouts, Watch, tokenize, train_rft

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 16
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 0
ROOMS = ASKED = 64 if STEPS > 1 else 4
TYPES = ("object_abs_distance", "object_size_estimation", "room_size_estimation")
CONFIG = RFTConfig(
    STEPS,
    {"spatial": ASKED},
    max_new_tokens={"spatial": 12},
    scale="task",
    seed=SEED,
    optim=OptimConfig(lr=5e-4, weight_decay=0.0, schedule="constant", warmup=0.1),
)


def corpus_of(policy, task, config, first: int) -> Corpus:
    scenes = list(iter_rooms(range(first, first + ROOMS), config))
    features = policy.encode([[load_rgb(frame) for frame in scene.frames] for scene in scenes])
    samples = [task.samples(scene, frame_refs(scene), seed=0) for scene in scenes]
    return tokenize(policy, {"spatial": task}, {"spatial": samples}, features)


def main() -> None:
    policy, (config, _) = load_policy("rooms-sft"), world_of("rooms-sft")
    task = make_task("spatial", options={"types": TYPES, "max_per_type": 4})
    train, fresh = (corpus_of(policy, task, config, first + 1000 * SEED) for first in (50_000, 60_000))
    judged = replace(CONFIG, prompts_per_step={"spatial": 2 * ASKED}, seed=0)
    for moment in ("before", "after"):
        groups = Rollouts(policy, {"spatial": task}, fresh, judged).collect(10_000).drawn
        print(f"reward {moment}: {np.mean([s.total for group in groups for s in group.scores]):.3f}")
        if moment == "before":
            with tempfile.TemporaryDirectory() as folder:
                train_rft(policy, {"spatial": task}, train, CONFIG, Path(folder), Watch(Console()))


if __name__ == "__main__":
    main()
