"""The demo's model: the real architecture with a few million parameters, built without a download."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from rft3d.models.fusion import SpatialConfig, SpatialQwen
from rft3d.models.policy import Policy
from rft3d.models.tokens import number_values, special_ids, token_id
from rft3d.models.vggt import VGGTConfig


@dataclass(frozen=True)
class TinyConfig:
    """Sizes of the tiny policy. Defaults are what the demo trains in minutes on two cores."""

    hidden: int = 192
    layers: int = 4
    heads: int = 6
    intermediate: int = 512
    vision_hidden: int = 96
    vision_layers: int = 2
    geometry_dim: int = 128
    geometry_rounds: int = 3
    geometry_heads: int = 4
    merger_hidden: int = 256
    rope_theta: float = 10000.0
    frame_size: tuple[int, int] = (168, 112)
    use_geometry: bool = True


def build_tiny(
    config: TinyConfig,
    tokenizer: PreTrainedTokenizerBase,
    seed: int = 0,
    task_options: dict[str, dict[str, Any]] | None = None,
) -> Policy:
    """A freshly initialised tiny policy; the same seed gives the same weights."""
    pad, start, end = (token_id(tokenizer, t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    half = config.hidden // config.heads // 2
    temporal = half // 4
    rest = half - temporal
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "max_position_embeddings": 32768,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config.rope_theta,
            "mrope_section": [temporal, rest // 2, rest - rest // 2],
        },
        "tie_word_embeddings": True,
        "pad_token_id": pad,
        "bos_token_id": start,
        "eos_token_id": end,
    }
    vision = {
        "depth": config.vision_layers,
        "hidden_size": config.vision_hidden,
        "intermediate_size": 2 * config.vision_hidden,
        "num_heads": max(1, config.vision_hidden // 32),
        "out_hidden_size": config.hidden,
        "fullatt_block_indexes": list(range(config.vision_layers)),
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    geometry = VGGTConfig(
        embed_dim=config.geometry_dim,
        img_size=14 * max(config.frame_size[0] // 14, 1),
        patch_depth=1,
        rounds=config.geometry_rounds,
        output_round=config.geometry_rounds - 1,
        heads=config.geometry_heads,
        registers=2,
        layer_scale_init=0.1,
    )
    full = SpatialConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        use_geometry_encoder=config.use_geometry,
        geometry_encoder=geometry.to_dict(),
        geometry_merger_hidden_dim=config.merger_hidden,
        **special_ids(tokenizer),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SpatialQwen(full)
        _initialise_embeddings(model.lm_head.weight, tokenizer)  # tied: the same rows read and write
    return Policy(model, tokenizer, config.frame_size, task_options or {}, answer_end="<|im_end|>")


def _initialise_embeddings(weight: Tensor, tokenizer: PreTrainedTokenizerBase) -> None:
    """Rows of norm one on average; numbers lie on a smooth curve, so that 1.4 starts out close to 1.5, as in a
    pretrained model: Fourier features of the value (wavelengths from 0.5 to 25), turned by a random rotation
    and mixed with the row's own random start, so that `3`, `3.0` and `, 3.0` stay apart."""
    hidden = weight.shape[1]
    values = number_values(tokenizer)
    waves = torch.linspace(math.log(2 * math.pi / 25), math.log(2 * math.pi / 0.5), hidden // 2).exp()
    with torch.no_grad():
        weight.normal_(std=hidden**-0.5)
        rotation = torch.linalg.qr(torch.randn(2 * len(waves), hidden)).Q
        ids = torch.tensor(list(values), dtype=torch.long)
        phases = torch.tensor(list(values.values()))[:, None] * waves
        curve = torch.cat([phases.cos(), phases.sin()], -1) @ rotation / len(waves) ** 0.5
        weight[ids] = curve + 0.3 * weight[ids]
