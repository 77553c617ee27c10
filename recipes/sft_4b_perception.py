"""3D-RFT-4B, stage 1, perception: SFT on detection, grounding and dense captions, as VG-LLM trains it.

Command (8 GPUs; two nodes: see recipes/accelerate/README.md)::

    rft3d estimate recipes/sft_4b_perception.py
    accelerate launch --config_file recipes/accelerate/fsdp2_8gpu.yaml \\
        -m rft3d train recipes/sft_4b_perception.py

The model is named by its parts, Qwen2.5-VL-3B-Instruct and VGGT-1B from the hub with a fresh merger; give
``--model FOLDER --load.geometry FOLDER`` for copies on disk. Who starts from VG-LLM's released weights instead
skips this stage: 3D-RFT's own SFT row equals theirs.

Samples files come from ``rft3d data prepare`` (scannet-detection, scanrefer, scan2cap; docs/reproduce.md).
Differs from VG-LLM: a step holds 32 clips with one question of each task that shows them (ScanRefer's frames
serve Scan2Cap too), rather than 64 questions drawn by length.

Hardware: 8 GPUs of 80 GB (VG-LLM: 8 x H800).
Time: not measured (VG-LLM's own, three data sets: about 8 hours).
Expected: not measured here; published: ScanNetDetection P / R / F1@0.25 41.7 / 35.7 / 38.2, ScanRefer
Acc@0.25 / @0.5 36.4 / 11.8.

Where each value comes from stands behind it: [paper] 3D-RFT, [VG-LLM] its second release, [ours] not given
in the paper (docs/papers.md has the reasons).
"""

from __future__ import annotations

from pathlib import Path

from rft3d.training.config import MemoryConfig, OptimConfig, Plan, SFTConfig
from rft3d.training.recipes import CacheConfig, Recipe

DATA = Path("data/scannet")


def config() -> Recipe:
    return Recipe(
        out=Path("runs/sft_4b_perception"),
        model="qwen2.5-vl-3b-vggt",  # [VG-LLM] Qwen2.5-VL-3B-Instruct and VGGT-1B
        samples={  # [VG-LLM] [paper] ScanNetDetection, ScanRefer and Scan2Cap, train scans
            "detection": DATA / "samples.detection.train.jsonl",
            "grounding": DATA / "samples.grounding.train.jsonl",
            "captioning": DATA / "samples.captioning.train.jsonl",
        },
        tasks={  # [VG-LLM] two decimals, boxes as annotated
            "detection": {"decimals": 2, "canonical": False},
            "grounding": {"decimals": 2, "canonical": False},
        },
        trained_dtype="float32",  # [ours] VG-LLM keeps fp32 master weights through DeepSpeed
        stages=(
            SFTConfig(
                steps=2400,  # [ours] 73 K clips of ScanRefer at 32 a step, about once; [VG-LLM] 1 epoch
                scenes_per_step=32,  # [ours] clips; ScanRefer's serve Scan2Cap too: up to 64 questions a step
                per_scene={"detection": 1, "grounding": 1, "captioning": 1},  # [VG-LLM] global batch 64
                task_weights={"detection": 1.0, "grounding": 1.0, "captioning": 1.0},  # [VG-LLM] none
                micro_scenes=1,  # [VG-LLM] 1 a GPU
                optim=OptimConfig(
                    name="adamw",  # [VG-LLM]
                    lr=1e-5,  # [VG-LLM] language model and merger alike
                    weight_decay=0.01,  # [VG-LLM]
                    betas=(0.9, 0.999),  # [VG-LLM]
                    warmup=0.03,  # [VG-LLM]
                    schedule="cosine",  # [VG-LLM]
                    max_grad_norm=1.0,  # [ours] VG-LLM's launch probably clips nothing
                ),
                memory=MemoryConfig(gradient_checkpointing=True),  # [VG-LLM]
                save_every=200,  # [ours]
            ),
        ),
        cache=CacheConfig(encode="as_needed", clips_in_memory=64),  # [ours] all clips would be terabytes
        plan=Plan(
            backbone="qwen2.5-vl-3b-vggt",  # [paper]
            frames={"detection": 4, "grounding": 32, "captioning": 32},  # [VG-LLM]
            frame_size=(504, 392),  # [VG-LLM] any 4:3 frame
            question_tokens={
                "detection": 140,
                "grounding": 260,
                "captioning": 60,
            },  # [ours] prompts and chat markup, rounded up
            answer_tokens={"detection": 300, "grounding": 60, "captioning": 40},  # [ours]
            gpus=8,  # [VG-LLM]
            parallel="fsdp2",  # [ours] VG-LLM: DeepSpeed ZeRO-2
            precision="bf16",  # [VG-LLM]
        ),
    )
