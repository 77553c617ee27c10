"""The real architectures at a size of thousands, and checkpoints of them in the layouts that exist.

The layouts are written from the released files' names, not with the package's own saving.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from rft3d.models import Policy
from rft3d.models.fusion import SpatialConfig, SpatialConfig3, SpatialQwen, SpatialQwen3
from rft3d.models.tokens import byte_tokenizer, special_ids
from rft3d.models.vggt import VGGT, VGGTConfig

VOCABULARY = 320
"""More than the tokenizer has, as in the released models."""
GEOMETRY = VGGTConfig(
    embed_dim=32, img_size=56, patch_depth=2, rounds=4, output_round=2, heads=2, registers=4
)
MERGER_HIDDEN = 48
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
}
VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 64,
    "fullatt_block_indexes": [1],
    "window_size": 56,
}


def rope(sections: list[int], **more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": sections, **more}


def config25(tied: bool = True, **changes: Any) -> SpatialConfig:
    return SpatialConfig(
        text_config={**TEXT, "rope_parameters": rope([2, 3, 3]), "bos_token_id": 1, "eos_token_id": 2},
        vision_config=VISION,
        tie_word_embeddings=tied,
        geometry_merger_hidden_dim=MERGER_HIDDEN,
        **{"geometry_encoder": GEOMETRY.to_dict(), **changes},
    )


def config3(**changes: Any) -> SpatialConfig3:
    return SpatialConfig3(
        text_config={**TEXT, "head_dim": 16, "rope_parameters": rope([4, 2, 2], mrope_interleaved=True)},
        vision_config={
            "depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 16,
            "out_hidden_size": 64, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1],
        },
        tie_word_embeddings=True,
        geometry_merger_hidden_dim=MERGER_HIDDEN,
        **{"geometry_encoder": GEOMETRY.to_dict(), **changes},
    )  # fmt: skip


def shake(module: torch.nn.Module, seed: int, spread: float = 0.15) -> None:
    """Random values everywhere, also where training starts from zeros and ones, so that every term counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32) * spread
            parameter.add_(noise.to(parameter))


def make_real(
    kind: str = "qwen2.5", seed: int = 0, frame_size: tuple[int, int] | int = 70, **changes: Any
) -> Policy:
    """A tiny policy with the real layout: GQA, window attention, width-fitted frames, shaken weights."""
    config = config3(**changes) if kind == "qwen3" else config25(**changes)
    name = "qwen3-vl-4b-vggt" if kind == "qwen3" else "qwen2.5-vl-3b-vggt"
    tokenizer = byte_tokenizer()
    for token, value in special_ids(tokenizer).items():
        setattr(config, token, value)
    model_class: Any = SpatialQwen3 if kind == "qwen3" else SpatialQwen
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class._from_config(config)
    shake(model, seed)
    return Policy(model.eval(), tokenizer, frame_size, {}, backbone=name)


def make_clips(*counts: int, size: tuple[int, int] = (60, 80), seed: int = 0) -> list[list[np.ndarray]]:
    """Noise of ``size`` (height, width), smoothed by nothing: every pixel matters."""
    rng = np.random.default_rng(seed)
    return [[rng.integers(0, 255, (*size, 3), dtype=np.uint8) for _ in range(n)] for n in counts]


# ------------------------------------------------------------------------------------------ layouts
def hub_names(name: str) -> str:
    """An in-memory name of Qwen2.5-VL as the hub has it (and VG-LLM, saved with transformers 4.50)."""
    name = re.sub(r"^model\.visual\.", "visual.", name)
    return re.sub(r"^model\.language_model\.", "model.", name)


def v1_names(name: str) -> str:
    name = hub_names(name)
    name = name.replace("geometry_encoder.vggt.", "vggt.") if name.startswith("geometry_encoder") else name
    return name.replace("geometry_merger.", "merger.") if name.startswith("geometry_merger") else name


def full_vggt(policy: Policy) -> dict[str, Tensor]:
    """What a VGGT release holds: the policy's encoder, the rounds after the used one, all heads.

    Of another encoder its own tensors.
    """
    if not isinstance(policy.model.geometry_net, VGGT):
        return {n: t.detach().clone() for n, t in policy.model.geometry_net.state_dict().items()}
    whole = VGGT(VGGTConfig(**{**GEOMETRY.to_dict(), "output_round": GEOMETRY.rounds - 1}))  # type: ignore[arg-type]
    state = {n: t.detach().clone() for n, t in whole.state_dict().items()}
    state |= {n: t.detach().clone() for n, t in policy.model.geometry_net.state_dict().items()}
    state["aggregator.frame_blocks.3.attn.qkv.weight"].fill_(7.0)
    heads = ("camera_head.trunk.0.x", "point_head.norm.x", "depth_head.norm.x", "track_head.tracker.x")
    return state | {f"{name}": torch.ones(3) for name in heads}


def tensors_of(policy: Policy, layout: str, lm_head: bool) -> dict[str, Tensor]:
    rename = v1_names if layout == "v1" else hub_names
    state = {n: t.detach().clone() for n, t in policy.model.state_dict().items() if not n.startswith("geom")}
    if not lm_head:
        state.pop("lm_head.weight", None)
    if layout in ("v1", "v2"):
        merger = policy.model.geometry_merger.state_dict(prefix="geometry_merger.")
        prefix = f"geometry_encoder.{policy.model.config.geometry_encoder_type}."
        encoder = {prefix + n: t for n, t in full_vggt(policy).items() if "track" not in n}
        state |= {n: t.detach().clone() for n, t in (merger | encoder).items()}
    return {rename(n): t for n, t in state.items()}


def flat_config(policy: Policy, layout: str, tied: bool) -> dict[str, Any]:
    """``config.json`` as transformers 4.50 wrote it: the text model's fields on the top level."""
    config: dict[str, Any] = {
        **TEXT,
        **special_ids(policy.tokenizer),
        "architectures": ["Qwen2_5_VLForConditionalGeneration" + ("" if layout == "qwen" else "WithVGGT")],
        "model_type": "qwen2_5_vl",
        "rope_theta": 1e4,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        "vision_config": {**VISION, "hidden_act": "silu", "in_chans": 3, "patch_size": 14},
    }
    if layout == "v2":
        config |= {
            "use_geometry_encoder": True, "geometry_encoder_type": "vggt", "reference_frame": "first",
            "feature_fusion_method": "add", "fusion_num_layers": 1, "geometry_merger_type": "mlp",
        }  # fmt: skip
    if layout == "v1":
        config |= {"use_vggt_feature": True, "reference_frame": "first", "use_dense_supervision": False}
    return config


def write_checkpoint(
    policy: Policy,
    folder: Path,
    layout: str,
    *,
    shards: int = 1,
    lm_head: bool = True,
    drop: str = "",
    tied: bool = True,
    **config_changes: Any,
) -> Path:
    """A folder in ``layout`` (``qwen``, ``v1``, ``v2``) with the policy's weights."""
    folder.mkdir(parents=True)
    tensors = {n: t for n, t in tensors_of(policy, layout, lm_head).items() if not (drop and drop in n)}
    (folder / "config.json").write_text(
        json.dumps({**flat_config(policy, layout, tied), **config_changes}), encoding="utf-8"
    )
    policy.tokenizer.save_pretrained(folder)
    write_tensors(folder, tensors, shards)
    return folder


def write_tensors(folder: Path, tensors: dict[str, Tensor], shards: int = 1) -> None:
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map: dict[str, str] = {}
    for i in range(shards):
        part = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        names = sorted(tensors)[i::shards]
        save_file({n: tensors[n] for n in names}, folder / part, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, part)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def write_vggt(policy: Policy, folder: Path, **changes: Tensor) -> Path:
    """A folder as ``facebook/VGGT-1B``: a small config and ``model.safetensors`` with heads."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"embed_dim": 32, "img_size": 56, "patch_size": 14}))
    write_tensors(folder, full_vggt(policy) | changes)
    return folder


def stock_qwen(policy: Policy) -> Qwen2_5_VLForConditionalGeneration:
    """transformers' own Qwen2.5-VL with the policy's weights, as an independent witness."""
    source = policy.model.config.to_dict()
    config = Qwen2_5_VLConfig(
        text_config=source["text_config"],
        vision_config=source["vision_config"],
        tie_word_embeddings=source["tie_word_embeddings"],
        **special_ids(policy.tokenizer),
    )
    stock = Qwen2_5_VLForConditionalGeneration(config)
    own = {n: t for n, t in policy.model.state_dict().items() if not n.startswith("geometry")}
    stock.load_state_dict(own)
    return stock.eval()
