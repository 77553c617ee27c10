"""3D-RFT-4B, stage 1, spatial reasoning: SFT on direct answers and thought answers.

Command (8 GPUs; two nodes: see recipes/accelerate/README.md)::

    rft3d estimate recipes/sft_4b_spatial.py
    accelerate launch --config_file recipes/accelerate/fsdp2_8gpu.yaml \\
        -m rft3d train recipes/sft_4b_spatial.py

The paper's data are VSI-298K (direct answers) and 10 K thought answers written by a large model. The second
set is not public; put your own thought answers into the same samples file (a sample with a ``thought`` in its
truth is trained to think).

Hardware: 8 GPUs of 80 GB (the paper: 8 x A100).
Time: not measured.
Expected: not measured here; the paper's number of this stage alone is not in docs/papers.md (VG LLM-4B, with
other data: VSI-Bench macro-8 47.3).

Where each value comes from stands behind it: [paper] 3D-RFT, [VG-LLM] its second release, [ours] not given
in the paper (docs/papers.md has the reasons).
"""

from __future__ import annotations

from pathlib import Path

from rft3d.training.config import MemoryConfig, OptimConfig, Plan, SFTConfig
from rft3d.training.recipes import CacheConfig, Recipe


def config() -> Recipe:
    return Recipe(
        out=Path("runs/sft_4b_spatial"),
        model="qwen2.5-vl-3b-vggt",  # [VG-LLM] Qwen2.5-VL-3B-Instruct and VGGT-1B
        samples={"spatial": Path("data/vsi298k/samples.spatial.train.jsonl")},  # [paper] VSI-298K + thoughts
        trained_dtype="float32",  # [ours] VG-LLM keeps fp32 master weights through DeepSpeed
        stages=(
            SFTConfig(
                steps=4800,  # [ours] about one epoch of 308 K samples at 64 a step; epochs not given
                scenes_per_step=16,  # [ours] not given
                per_scene={"spatial": 4},  # [VG-LLM] global batch 64; a clip's frames are run once for four
                task_weights={"spatial": 1.0},  # one task
                micro_scenes=1,  # [VG-LLM] 1 a GPU
                optim=OptimConfig(  # SFT of reasoning is not given in the paper; VG-LLM's is followed
                    name="adamw",  # [VG-LLM]
                    lr=1e-5,  # [VG-LLM]
                    weight_decay=0.01,  # [VG-LLM]
                    betas=(0.9, 0.999),  # [VG-LLM]
                    warmup=0.03,  # [VG-LLM]
                    schedule="cosine",  # [VG-LLM]
                    max_grad_norm=1.0,  # [ours] VG-LLM's launch probably clips nothing
                ),
                memory=MemoryConfig(gradient_checkpointing=True),  # [VG-LLM]
                save_every=500,  # [ours]
            ),
        ),
        cache=CacheConfig(encode="as_needed", clips_in_memory=64),  # [ours] all clips would be terabytes
        plan=Plan(
            backbone="qwen2.5-vl-3b-vggt",  # [paper]
            frames={"spatial": 32},  # [VG-LLM]
            frame_size=(504, 392),  # [VG-LLM] any 4:3 frame
            question_tokens={"spatial": 120},  # [ours] a question with options
            answer_tokens={
                "spatial": 12
            },  # [ours] direct answers are a few tokens, one in thirty is a thought
            gpus=8,  # [paper]
            parallel="fsdp2",  # [ours]
            precision="bf16",  # [VG-LLM]
        ),
    )
