"""Random weights of the full-size model under the names that VG-LLM's are published with."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from rft3d.cost.sizes import full_config
from rft3d.models.fusion import SpatialConfig, SpatialQwen
from rft3d.models.tokens import byte_tokenizer, special_ids
from rft3d.models.vggt import VGGTConfig

SHARD_BYTES = 4_900_000_000
WORDS = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+",
    )
)  # fmt: skip
"""Where Qwen cuts a text before it merges bytes."""
SPECIAL = tuple(
    f"<|{name}|>"
    for name in (
        "endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end",
        "quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad",
    )
)  # fmt: skip
"""Of Qwen2.5-VL, from id 151643 on."""


def architecture(tiny: bool) -> SpatialConfig:
    """Qwen2.5-VL-3B with VGGT-1B, or the same classes with thousands of weights."""
    if not tiny:
        config = full_config("qwen2.5-vl-3b-vggt")
        assert isinstance(config, SpatialConfig)
        return config
    text = {
        "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64,
        "fullatt_block_indexes": [1], "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    geometry = VGGTConfig(embed_dim=32, img_size=56, patch_depth=1, rounds=3, output_round=1, heads=2)
    return SpatialConfig(
        text_config=text, vision_config=vision, tie_word_embeddings=True,
        geometry_encoder=geometry.to_dict(), geometry_merger_hidden_dim=48,
    )  # fmt: skip


def published_config(config: SpatialConfig, ids: dict[str, Any]) -> dict[str, Any]:
    """``config.json`` as in VG-LLM's second release: the language model's fields at the top, no sizes of VGGT."""
    text, vision = config.text_config.to_dict(), config.vision_config.to_dict()
    rope = text["rope_parameters"]
    kept = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "hidden_act", "initializer_range",
    )  # fmt: skip
    sight = (
        "depth", "hidden_size", "intermediate_size", "num_heads", "out_hidden_size", "fullatt_block_indexes",
        "patch_size", "spatial_merge_size", "temporal_patch_size", "window_size", "tokens_per_second",
    )  # fmt: skip
    return {
        "architectures": ["Qwen2_5_VLForConditionalGenerationWithVGGT"],
        "model_type": "qwen2_5_vl",
        **{name: text[name] for name in kept},
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vision_config": {"model_type": "qwen2_5_vl", **{name: vision[name] for name in sight}},
        "use_geometry_encoder": True,
        "geometry_encoder_type": "vggt",
        "geometry_merger_type": "mlp",
        "feature_fusion_method": "add",
        "reference_frame": "first",
        **ids,
    }


def qwen_tokenizer(vocabulary: Path) -> PreTrainedTokenizerFast:
    """Qwen2.5-VL's own tokenizer from ``qwen.tiktoken``, as the package dashscope has it in its resources.

    A line is a token in base64 and its rank; the merges follow from the ranks. Special tokens come behind.
    """
    ranks: dict[bytes, int] = {}
    for line in vocabulary.read_bytes().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    letters = bytes_to_unicode()
    names = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        cuts = [(token[:k], token[k:]) for k in range(1, len(token))]
        pairs = [(ranks[a], ranks[b], a, b) for a, b in cuts if a in ranks and b in ranks]
        merges += [(names[a], names[b]) for _, _, a, b in sorted(pairs)]
    core = Tokenizer(models.BPE(vocab={names[token]: rank for token, rank in ranks.items()}, merges=merges))
    split = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.normalizer, core.decoder = normalizers.NFC(), decoders.ByteLevel()
    core.add_special_tokens([AddedToken(each, normalized=False, special=True) for each in SPECIAL])
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=SPECIAL[0], eos_token="<|im_end|>")


def write_published(
    folder: Path, config: SpatialConfig, device: torch.device, vocabulary: Path | None = None
) -> int:
    """Random weights under the published names; returns their bytes. With heads and a round that we don't use."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = byte_tokenizer() if vocabulary is None else qwen_tokenizer(vocabulary)
    geometry = VGGTConfig(**(config.geometry_encoder or {}))
    whole = {**geometry.to_dict(), "output_round": geometry.rounds - 1}
    with torch.device("meta"):
        model = SpatialQwen(SpatialConfig(**{**config.to_dict(), "geometry_encoder": whole}))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    shapes |= {f"geometry_encoder.vggt.{head}_head.norm.weight": (8,) for head in ("point", "depth")}
    torch.manual_seed(0)
    shard: dict[str, torch.Tensor] = {}
    places: dict[str, int] = {}
    number, written, embeddings = 1, 0, None
    for name in sorted(shapes, key=lambda n: n != "model.language_model.embed_tokens.weight"):
        published = re.sub(
            r"^model\.(language_model|visual)", lambda m: {"visual": "visual"}.get(m[1], "model"), name
        )
        if name == "lm_head.weight":
            assert embeddings is not None
            value = embeddings.clone()
        else:
            value = random_tensor(name, shapes[name], device)
            embeddings = value if embeddings is None else embeddings
        if sum(v.nbytes for v in shard.values()) + value.nbytes > SHARD_BYTES:
            save_file(shard, folder / f"part-{number}.safetensors", {"format": "pt"})
            number, shard = number + 1, {}
        shard[published], places[published] = value, number
        written += value.nbytes
    save_file(shard, folder / f"part-{number}.safetensors", {"format": "pt"})
    files = {name: f"model-{i:05}-of-{number:05}.safetensors" for name, i in places.items()}
    for i in range(1, number + 1):
        (folder / f"part-{i}.safetensors").rename(folder / f"model-{i:05}-of-{number:05}.safetensors")
    index = {"metadata": {"total_size": written}, "weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(
        json.dumps(published_config(config, special_ids(tokenizer)), indent=1)
    )
    return written


def random_tensor(name: str, shape: Sequence[int], device: torch.device) -> torch.Tensor:
    """bf16, in main memory: norms 1, biases 0, the rest N(0, 0.02)."""
    made = torch.empty(tuple(shape), dtype=torch.bfloat16, device=device)
    if name.endswith("bias"):
        made.zero_()
    elif made.ndim == 1:
        made.fill_(0.01 if name.endswith("gamma") else 1.0)
    else:
        made.normal_(std=0.02)
    return made.cpu()
