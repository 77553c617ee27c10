"""Stage 2 on procedural rooms: GRPO on the metrics themselves, from the policy of stage 1.

Command::

    rft3d train recipes/rooms_rft.py                            # after recipes/rooms_sft.py
    rft3d train recipes/rooms_rft.py --out runs/kl --stages.0.beta 0.02    # with a KL to stage 1

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not measured yet; the demo's own RFT (README) is the same stage on easier rooms.
"""

from __future__ import annotations

from pathlib import Path

from rft3d.models.start import LoadConfig
from rft3d.training.config import OptimConfig, RFTConfig
from rft3d.training.recipes import Recipe

DATA = Path("data/rooms")


def config() -> Recipe:
    return Recipe(
        out=Path("runs/rooms_rft"),
        model=Path("runs/rooms_sft/models/0-sft"),
        samples={name: DATA / f"samples.{name}.jsonl" for name in ("detection", "grounding", "spatial")},
        load=LoadConfig(dtype="stored"),  # fp32 on a GPU too: the tiny model is no faster in bf16
        stages=(
            RFTConfig(
                steps=30,
                prompts_per_step={"detection": 8, "grounding": 16, "spatial": 32},
                group_size=8,
                max_new_tokens={"detection": 160, "grounding": 40, "spatial": 12},
                optim=OptimConfig(name="adamw", lr=1e-4, weight_decay=0.0, schedule="constant", warmup=0.1),
            ),
        ),
    )
