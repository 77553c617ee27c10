"""Stage 2, grounding, on the policy of Qwen3-VL-4B and Depth Anything 3.

Command (8 GPUs; two nodes: see recipes/accelerate/README.md)::

    rft3d estimate recipes/rft_grounding_qwen3vl_4b_da3.py
    accelerate launch --config_file recipes/accelerate/fsdp2_8gpu.yaml \\
        -m rft3d train recipes/rft_grounding_qwen3vl_4b_da3.py

``rft_4b_grounding`` from the policy of ``sft_perception_qwen3vl_4b_da3``; nothing else is changed.

Hardware: 8 GPUs of 80 GB.
Time: not measured.
Expected: not measured here; nobody has published this row.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rft3d.training.recipes import Recipe, load_recipe


def config() -> Recipe:
    base = load_recipe(Path(__file__).with_name("rft_4b_grounding.py"))
    return replace(
        base,
        out=Path("runs/rft_grounding_qwen3vl_4b_da3"),
        model=Path("runs/sft_perception_qwen3vl_4b_da3/models/0-sft"),
        plan=replace(base.plan, backbone="qwen3-vl-4b-da3"),
    )
