"""The full-size architectures as configs (benchmarks, estimates).

Loading weights never reads these numbers: a checkpoint's own config and shapes decide. Qwen2.5-VL's are its
published configs; Qwen3-VL-4B's are from memory of its published config and were not compared with it.
"""

from __future__ import annotations

from typing import Any

from rft3d.models.fusion import SpatialConfig
from rft3d.models.geometry import ENCODERS
from rft3d.models.qwen3 import SpatialConfig3

_VISION_25: dict[str, Any] = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "tokens_per_second": 2,
}
_IDS = {"bos_token_id": 151643, "eos_token_id": 151645, "pad_token_id": 151643}

_QWEN25: dict[str, tuple[dict[str, Any], bool]] = {
    "qwen2.5-vl-3b": (
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
        },
        True,
    ),
    "qwen2.5-vl-7b": (
        {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
        },
        False,
    ),
}

_QWEN3_TEXT: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 262144,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 5e6,
        "mrope_section": [24, 20, 20],
        "mrope_interleaved": True,
    },
}
_QWEN3_VISION: dict[str, Any] = {
    "depth": 24,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_heads": 16,
    "patch_size": 16,
    "out_hidden_size": 2560,
    "deepstack_visual_indexes": [5, 11, 17],
}

SIZES = (*_QWEN25, "qwen3-vl-4b")


def full_config(backbone: str, geometry: bool = True) -> SpatialConfig | SpatialConfig3:
    """The config of a full-size backbone, one of :data:`SIZES` with an encoder (``qwen3-vl-4b-da3`` ...).

    Raises:
        ValueError: another name.
    """
    name, _, kind = backbone.rpartition("-")
    if name not in SIZES or kind not in ENCODERS:
        raise ValueError(
            f"no full-size config for backbone {backbone!r}, only {', '.join(SIZES)} with -{', -'.join(ENCODERS)}"
        )
    extra: dict[str, Any] = {
        "use_geometry_encoder": geometry,
        "geometry_encoder_type": kind,
        "geometry_encoder": ENCODERS[kind].Config().to_dict(),
    }
    if name == "qwen3-vl-4b":
        return SpatialConfig3(
            text_config={**_QWEN3_TEXT, **_IDS},
            vision_config=_QWEN3_VISION,
            tie_word_embeddings=True,
            **extra,
        )
    sizes, tied = _QWEN25[name]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    text = {"max_position_embeddings": 128000, "rope_parameters": rope, "rms_norm_eps": 1e-6, **_IDS, **sizes}
    vision = {**_VISION_25, "out_hidden_size": sizes["hidden_size"]}
    return SpatialConfig(text_config=text, vision_config=vision, tie_word_embeddings=tied, **extra)
