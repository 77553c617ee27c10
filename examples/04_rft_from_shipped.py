"""RFT from the shipped model in two minutes: distances and sizes through a lens that it has never seen.

The model learned with a field of view of 65 degrees. Through one of 35 everything looks nearer and larger, and its
numbers are off by a factor that only the reward tells (of 2: 1 for an answer that can be read, 1 for nearness).

Run: python examples/04_rft_from_shipped.py [STEPS [SEED]]
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from rft3d.evaluation import world_of_model
from rft3d.models import load_policy
from rft3d.scenes import frame_refs, iter_rooms, load_rgb
from rft3d.tasks import make_task
from rft3d.training import Corpus, OptimConfig, RFTConfig, Watch, tokenize, train_rft

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 21
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 0
ROOMS, ASKED = (48, 24) if STEPS > 1 else (4, 4)
TYPES = ("object_abs_distance", "object_size_estimation", "room_size_estimation")
CONFIG = RFTConfig(
    STEPS,
    {"spatial": ASKED},
    max_new_tokens={"spatial": 12},
    scale="task",
    seed=SEED,
    optim=OptimConfig(lr=5e-4, weight_decay=0.0, schedule="constant", warmup=0.1),
)


def said(rewards: list[float]) -> str:
    return f"{np.mean(rewards):.3f} ± {np.std(rewards) / len(rewards) ** 0.5:.3f}"


def main() -> None:
    policy, (config, _) = load_policy("rooms-sft"), world_of_model("rooms-sft")
    task = make_task("spatial", options={"types": TYPES, "max_per_type": 4})
    seeds = range(50_000 + 1000 * SEED, 50_000 + 1000 * SEED + ROOMS)
    scenes = list(iter_rooms(seeds, replace(config, fov_deg=35.0)))
    features = policy.encode([[load_rgb(frame) for frame in scene.frames] for scene in scenes])
    samples = [task.samples(scene, frame_refs(scene), seed=0) for scene in scenes]
    corpus: Corpus = tokenize(policy, {"spatial": task}, {"spatial": samples}, features)
    with tempfile.TemporaryDirectory() as folder:
        train_rft(policy, {"spatial": task}, corpus, CONFIG, Path(folder), Watch(Console()))
        rewards = [json.loads(line)["reward"] for line in (Path(folder) / "metrics.jsonl").open()]
    third = -(-len(rewards) // 3)
    print(f"reward of the first {third} steps {said(rewards[:third])}, of the last {said(rewards[-third:])}")


if __name__ == "__main__":
    main()
