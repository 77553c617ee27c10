"""The full-size architectures as configs (benchmarks, estimates).

Loading weights never reads these numbers: a checkpoint's own config and shapes decide. Qwen2.5-VL's are its
published configs; Qwen3-VL-4B's are from memory of its published config and were not compared with it.
"""

from __future__ import annotations

from typing import Any

from rft3d.models.fusion import SpatialConfig
from rft3d.models.geometry import ENCODERS
from rft3d.models.qwen3 import SpatialConfig3

_NAMES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "num_key_value_heads")  # fmt: skip
_TEXT = {
    "qwen2.5-vl-3b": (151936, 2048, 11008, 36, 16, 2),
    "qwen2.5-vl-7b": (152064, 3584, 18944, 28, 28, 4),
    "qwen3-vl-4b": (151936, 2560, 9728, 36, 32, 8),
}
SIZES = tuple(_TEXT)
_IDS = {"bos_token_id": 151643, "eos_token_id": 151645, "pad_token_id": 151643}


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
    sizes = {**dict(zip(_NAMES, _TEXT[name], strict=True)), **_IDS}
    hidden = sizes["hidden_size"]
    rope: dict[str, Any] = {"rope_type": "default"}
    if name == "qwen3-vl-4b":
        rope |= {"rope_theta": 5e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
        return SpatialConfig3(
            text_config={**sizes, "max_position_embeddings": 262144, "rope_parameters": rope},
            vision_config={"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "out_hidden_size": hidden,
                           "deepstack_visual_indexes": [5, 11, 17]},
            tie_word_embeddings=True,
            **extra,
        )  # fmt: skip
    rope |= {"rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    return SpatialConfig(
        text_config={
            "max_position_embeddings": 128000,
            "rope_parameters": rope,
            "rms_norm_eps": 1e-6,
            **sizes,
        },
        vision_config={"hidden_size": 1280, "tokens_per_second": 2, "out_hidden_size": hidden},
        tie_word_embeddings=name == "qwen2.5-vl-3b",
        **extra,
    )
