"""Stage 1, spatial reasoning, with parts that companies may use: Qwen3-VL-4B and Depth Anything 3 (DA3-BASE).

Command (8 GPUs; two nodes: see recipes/accelerate/README.md)::

    rft3d estimate recipes/sft_spatial_qwen3vl_4b_da3.py
    accelerate launch --config_file recipes/accelerate/fsdp2_8gpu.yaml \\
        -m rft3d train recipes/sft_spatial_qwen3vl_4b_da3.py

``sft_4b_spatial`` with another model: its parts from the hub and a fresh merger (licences: docs/models.md);
nothing else is changed. ``--load.geometry depth-anything/DA3-SMALL`` or ``DA3METRIC-LARGE`` takes another size.

Hardware: 8 GPUs of 80 GB.
Time: not measured.
Expected: not measured here; nobody has published this row.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rft3d.training.recipes import Recipe, load_recipe


def config() -> Recipe:
    base = load_recipe(Path(__file__).with_name("sft_4b_spatial.py"))
    return replace(
        base,
        out=Path("runs/sft_spatial_qwen3vl_4b_da3"),
        model="qwen3-vl-4b-da3",  # both Apache-2.0
        plan=replace(base.plan, backbone="qwen3-vl-4b-da3"),
    )
