"""3D-RFT-4B, stage 2, spatial reasoning: GRPO with LoRA and without KL on VSI-style questions, thinking.

Command (8 GPUs; two nodes: see recipes/accelerate/README.md)::

    rft3d estimate recipes/rft_4b_spatial.py
    accelerate launch --config_file recipes/accelerate/ddp_8gpu.yaml \\
        -m rft3d train recipes/rft_4b_spatial.py

LoRA keeps one bf16 copy of the model on every GPU, so plain data parallelism does; adapters under FSDP2 are
not supported.

Hardware: 8 GPUs of 80 GB (the paper: 8 x A100).
Time: not measured.
Expected: not measured here; published: VSI-Bench macro-8 62.8 (VG LLM-4B after SFT: 47.3; most of the gap is
data). The paper reports that the reward saturates near 4,000 steps.

Where each value comes from stands behind it: [paper] 3D-RFT, [VG-LLM] its second release, [ours] not given
in the paper (docs/papers.md has the reasons).
"""

from __future__ import annotations

from pathlib import Path

from rft3d.training.config import LoRAConfig, MemoryConfig, OptimConfig, Plan, RFTConfig
from rft3d.training.recipes import CacheConfig, Recipe


def config() -> Recipe:
    return Recipe(
        out=Path("runs/rft_4b_spatial"),
        model=Path("runs/sft_4b_spatial/models/0-sft"),  # [paper] RL starts from the SFT policy
        samples={
            "spatial": Path("data/vsi298k/samples.spatial-think.train.jsonl")
        },  # [paper] VSI-298K, thinking
        tasks={"spatial": {"answers": "think"}},  # [paper] think, then answer
        stages=(
            RFTConfig(
                steps=4000,  # [paper] where reasoning saturates
                prompts_per_step={"spatial": 8},  # [ours] not given; one group a GPU
                group_size=8,  # [ours] not given
                max_new_tokens={"spatial": 1024},  # [ours] not given; VG-LLM's 16 has no room for a thought
                temperature=1.0,  # [ours] not given
                loss="token",  # [paper] one over all tokens of the group
                scale="group",  # [paper] (R - mean) / std inside the group
                epsilon=0.2,  # [ours] not given; GRPO's, never acts with one update
                beta=0.0,  # [paper]
                updates_per_rollout=1,  # [ours] not given
                micro_groups=1,  # [paper] backward in chunks, their size not given
                lora=LoRAConfig(  # [paper] LoRA
                    rank=128,  # [ours] not given; a neighbouring SFT recipe
                    alpha=256,  # [ours] not given; the same
                    targets=(
                        "q_proj",
                        "k_proj",
                        "v_proj",
                        "o_proj",
                        "gate_proj",
                        "up_proj",
                        "down_proj",
                    ),  # [ours]
                    merger=False,  # [ours] not given; with it off no second model is needed for a KL
                ),
                optim=OptimConfig(  # [ours] not given, except where VG-LLM's SFT is followed
                    name="adamw",
                    lr=1e-5,  # [ours] adapters bear ten times the rate of full fine-tuning
                    weight_decay=0.0,  # [ours]
                    warmup=0.03,  # [VG-LLM] SFT
                    schedule="cosine",  # [VG-LLM] SFT
                    max_grad_norm=1.0,  # [ours]
                ),
                memory=MemoryConfig(gradient_checkpointing=True, prefill=1),  # [VG-LLM] SFT used the first
                save_every=100,  # [ours]
            ),
        ),
        cache=CacheConfig(encode="as_needed", clips_in_memory=64),  # [ours] all clips would be terabytes
        plan=Plan(
            backbone="qwen2.5-vl-3b-vggt",  # [paper]
            frames={"spatial": 32},  # [ours] RFT's is not given; SFT and evaluation use 32
            frame_size=(504, 392),  # [VG-LLM] any 4:3 frame
            question_tokens={
                "spatial": 140
            },  # [ours] a question with options and the line that asks to think
            answer_tokens={"spatial": 300},  # [ours] a thought of a few sentences
            gpus=8,  # [paper]
            parallel="ddp",  # [ours]
            precision="bf16",  # [VG-LLM]
        ),
    )
