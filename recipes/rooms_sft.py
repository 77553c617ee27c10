"""Stage 1 on procedural rooms: supervised fine-tuning on gold answers of all three tasks.

Command::

    rft3d demo                                                  # leaves policies in runs/demo/models
    rft3d rooms --seed 100000 --count 2000 --out data/rooms     # other rooms than the demo's
    rft3d train recipes/rooms_sft.py --model runs/demo/models/sft

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not measured yet; the demo's own SFT (README) is the same stage on easier rooms.
"""

from __future__ import annotations

from pathlib import Path

from rft3d.models.start import LoadConfig
from rft3d.training.config import OptimConfig, SFTConfig
from rft3d.training.recipes import Recipe

DATA = Path("data/rooms")


def config() -> Recipe:
    return Recipe(
        out=Path("runs/rooms_sft"),
        model=None,
        samples={name: DATA / f"samples.{name}.jsonl" for name in ("detection", "grounding", "spatial")},
        load=LoadConfig(dtype="stored"),  # fp32 on a GPU too: the tiny model is no faster in bf16
        stages=(
            SFTConfig(
                steps=400,
                scenes_per_step=32,
                per_scene={"detection": 1, "grounding": 3, "spatial": 6},
                task_weights={"detection": 1.0, "grounding": 0.5, "spatial": 0.5},
                optim=OptimConfig(name="muon", lr=3e-3, muon_lr=0.02),
            ),
        ),
    )
