"""The no-geometry baseline of stage 1: ``sft_4b_perception`` without VGGT and its merger, nothing else changed.

Command (8 GPUs; two nodes: see recipes/accelerate/README.md)::

    rft3d estimate recipes/sft_4b_perception_plain.py
    accelerate launch --config_file recipes/accelerate/fsdp2_8gpu.yaml \\
        -m rft3d train recipes/sft_4b_perception_plain.py

What the geometry prior is worth is the difference between the two; plain models of 4B were reported to match it.
RFT goes on from here with ``recipes/rft_4b_detection.py --model runs/sft_4b_perception_plain/models/0-sft``
(and another ``--out``).

Hardware: 8 GPUs of 80 GB.
Time: not measured.
Expected: not measured here; nobody has published this row under these settings.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rft3d.models.start import LoadConfig
from rft3d.training.recipes import Recipe, load_recipe


def config() -> Recipe:
    return replace(
        load_recipe(Path(__file__).with_name("sft_4b_perception.py")),
        out=Path("runs/sft_4b_perception_plain"),
        load=LoadConfig(geometry="off"),  # [paper] its ablation
    )
