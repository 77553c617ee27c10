"""How large a model is and what its parts compute, from its config alone: no weights, no GPU.

Parameters are counted on the network itself, built on torch's ``meta`` device, which holds no numbers. FLOPs count
two for each multiply-add of matrix products and attention and leave out norms, softmax and the like (a few
percent). Formulas: a matrix of ``a x b`` costs ``2ab`` a token; attention costs ``4 d`` for every pair of a query
and a key that it may see (``QK^T`` and ``AV``), ``d`` the width of all heads.

The full-size architectures stand here as configs. Loading weights never reads these numbers: a checkpoint's own
config and shapes decide. Qwen2.5-VL's are its published configs; Qwen3-VL-4B's are from memory of its published
config and were not compared with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from rft3d.models.blocks import Block
from rft3d.models.fusion import SpatialConfig, SpatialConfig3
from rft3d.models.geometry import ENCODERS
from rft3d.models.loading import CLASSES

_NAMES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "num_key_value_heads")  # fmt: skip
_TEXT = {
    "qwen2.5-vl-3b": (151936, 2048, 11008, 36, 16, 2),
    "qwen2.5-vl-7b": (152064, 3584, 18944, 28, 28, 4),
    "qwen3-vl-4b": (151936, 2560, 9728, 36, 32, 8),
}
SIZES = tuple(_TEXT)
_IDS = {"bos_token_id": 151643, "eos_token_id": 151645, "pad_token_id": 151643}


def full_config(backbone: str) -> SpatialConfig | SpatialConfig3:
    """The config of a full-size backbone, one of :data:`SIZES` with an encoder (``qwen3-vl-4b-da3`` ...)."""
    name, _, kind = backbone.rpartition("-")
    if name not in SIZES or kind not in ENCODERS:
        raise ValueError(
            f"no full-size config for backbone {backbone!r}, only {', '.join(SIZES)} with -{', -'.join(ENCODERS)}"
        )
    extra: dict[str, Any] = {
        "use_geometry_encoder": True,
        "geometry_encoder_type": kind,
        "geometry_encoder": ENCODERS[kind].Config().to_dict(),
    }
    sizes: dict[str, Any] = {**dict(zip(_NAMES, _TEXT[name], strict=True)), **_IDS}
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
    sizes |= {"max_position_embeddings": 128000, "rms_norm_eps": 1e-6}
    return SpatialConfig(
        text_config={**sizes, "rope_parameters": rope},
        vision_config={"hidden_size": 1280, "tokens_per_second": 2, "out_hidden_size": hidden},
        tie_word_embeddings=name == "qwen2.5-vl-3b",
        **extra,
    )


WINDOW_PATCHES = 64
"""Qwen's windowed attention: 112 pixels, 8 x 8 patches of 14."""


@dataclass(frozen=True)
class TextSizes:
    """The language model, its head included. ``q``, ``kv``: widths of queries, and of keys or values.
    ``layer_matrices``: ``in + out`` and ``in * out`` of each matrix of a layer, by name (``q_proj`` ...)."""

    hidden: int
    layers: int
    heads: int
    q: int
    kv: int
    intermediate: int
    vocab: int
    parameters: int
    layer_parameters: int
    layer_matrices: Mapping[str, tuple[int, int]]

    @property
    def layer_weights(self) -> int:
        return sum(count for _, count in self.layer_matrices.values())

    def forward_flops(self, tokens: float, pairs: float) -> float:
        """All layers over ``tokens`` whose queries see ``pairs`` keys in sum; without the head."""
        return self.layers * (2.0 * self.layer_weights * tokens + 4.0 * self.q * pairs)

    def head_flops(self, tokens: float) -> float:
        return 2.0 * self.hidden * self.vocab * tokens


@dataclass(frozen=True)
class VisionSizes:
    """The vision tower with its 2x2 mergers, all frozen. ``levels`` of deepstack travel behind the tokens."""

    config: Any
    levels: int
    parameters: int
    embed_weights: int
    block_weights: int
    merger_weights: int

    def flops(self, frames: int, patches: int) -> float:
        """``frames`` images of ``patches`` patches each; windows see 64 patches, full blocks the image."""
        c, rows = self.config, frames * patches
        full = len(getattr(c, "fullatt_block_indexes", range(c.depth)))  # the others see windows
        seen = full * patches + (c.depth - full) * min(WINDOW_PATCHES, patches)
        blocks = 2.0 * self.block_weights * rows * c.depth
        merger = 2.0 * self.merger_weights * rows / c.spatial_merge_size**2
        return 2.0 * self.embed_weights * rows + blocks + 4.0 * c.hidden_size * rows * seen + merger


@dataclass(frozen=True)
class GeometrySizes:
    """A geometry encoder as it is built (``config`` is its own), and the merger that fits it to the model."""

    config: Any
    merger_hidden: int
    parameters: int
    block_weights: int
    merger_parameters: int
    merger_weights: int

    def flops(self, frames: int, patches: int) -> float:
        """``frames`` of ``patches`` patches each; global attention sees all tokens of all frames."""
        c, (inside, across) = self.config, self.config.attention
        each = patches + c.specials
        tokens = frames * each
        seen = 4.0 * c.embed_dim * (inside * frames * each**2 + across * float(tokens) ** 2)
        embed = 2.0 * 3 * c.patch_size**2 * c.embed_dim * frames * patches
        return embed + 2.0 * self.block_weights * tokens * (inside + across) + seen


@dataclass(frozen=True)
class Sizes:
    """A whole policy; ``geometry`` is None where the geometry prior is off."""

    text: TextSizes
    vision: VisionSizes
    geometry: GeometrySizes | None

    @property
    def trained(self) -> int:
        """What full fine-tuning trains: the language model and the geometry merger."""
        return self.text.parameters + (self.geometry.merger_parameters if self.geometry else 0)

    @property
    def frozen(self) -> int:
        """Vision tower, its merger, and the geometry encoder as it is built."""
        return self.vision.parameters + (self.geometry.parameters if self.geometry else 0)

    @property
    def feature_width(self) -> int:
        """Frozen values of a visual token: the tower's, its levels', and those of the four patches under it."""
        geometry = 4 * self.geometry.config.width if self.geometry else 0
        return self.text.hidden * (1 + self.vision.levels) + geometry


def sizes_of(config: Mapping[str, Any], where: str = "config") -> Sizes:
    """Sizes from the ``config.json`` of a saved policy, of Qwen2.5-VL or of Qwen3-VL; ValueError for another."""
    kind = str(config.get("model_type", "")).removeprefix("rft3d_")
    if kind not in CLASSES:
        raise ValueError(f"{where}: model_type {kind!r}; costs are known for {', '.join(CLASSES)} only")
    parts = (config.get("text_config") or config, config.get("vision_config") or {})  # released ones are flat
    if not all("hidden_size" in part for part in parts):
        raise ValueError(f"{where} has no 'hidden_size'; give the config.json of the model")
    given = {name: value for name, value in config.items() if name != "model_type"}
    return _counted(CLASSES[kind][0](**{"use_geometry_encoder": True, **given}))


@cache
def released(name: str) -> Sizes:
    """Sizes of one of ``rft3d.models.PUBLIC_WEIGHTS``; ValueError for another name."""
    return _counted(full_config(name))


def _counted(config: Any) -> Sizes:
    with torch.device("meta"):
        model = next(made for kind, made in CLASSES.values() if isinstance(config, kind))(config)
    text, vision = config.text_config, config.vision_config
    layer, tower = model.model.language_model.layers[0], model.model.visual
    matrices = {
        name.rsplit(".", 1)[-1]: (m.in_features + m.out_features, m.in_features * m.out_features)
        for name, m in layer.named_modules()
        if isinstance(m, nn.Linear)
    }
    language = TextSizes(
        text.hidden_size,
        text.num_hidden_layers,
        text.num_attention_heads,
        layer.self_attn.q_proj.out_features,
        layer.self_attn.k_proj.out_features,
        text.intermediate_size,
        text.vocab_size,
        _parameters(nn.ModuleList([model.model.language_model, model.lm_head])),
        _parameters(layer),
        matrices,
    )
    deepstack = getattr(tower, "deepstack_merger_list", nn.ModuleList())
    frozen = VisionSizes(
        vision,
        len(deepstack),
        _parameters(tower),
        _parameters(tower.patch_embed),
        _weights(tower.blocks[0]),
        _weights(tower.merger) + _weights(deepstack),
    )
    if not config.use_geometry_encoder:
        return Sizes(language, frozen, None)
    encoder, merger = model.geometry_net, model.geometry_merger
    geometry = GeometrySizes(
        encoder.config,
        config.geometry_merger_hidden_dim,
        _parameters(encoder),
        _weights(next(m for m in encoder.modules() if isinstance(m, Block))),
        _parameters(merger),
        _weights(merger),
    )
    return Sizes(language, frozen, geometry)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))
