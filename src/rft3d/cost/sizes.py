"""How large a model is and what its parts compute, from its config alone: no weights, no GPU.

Parameters are counted on the network itself, built on torch's ``meta`` device, which holds no numbers. FLOPs count
two for each multiply-add of matrix products and attention and leave out norms, softmax and the like (a few
percent). Formulas: a matrix of ``a x b`` costs ``2ab`` a token; attention costs ``4 d`` for every pair of a query
and a key that it may see (``QK^T`` and ``AV``), ``d`` the width of all heads. Architecture: Qwen2.5-VL (arXiv
2502.13923), VGGT (2503.11651).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from rft3d.models.fusion import SpatialConfig, SpatialQwen
from rft3d.models.sizes import full_config
from rft3d.models.vggt import VGGTConfig

WINDOW_PATCHES = 64
"""Qwen's windowed attention: 112 pixels, 8 x 8 patches of 14."""
ARCHITECTURES = ("qwen2.5-vl-3b-vggt", "qwen2.5-vl-7b-vggt")
"""Released models whose price is known, by the names of ``rft3d.models.BACKBONES``."""


@dataclass(frozen=True)
class TextSizes:
    """The language model, its head included.

    Attributes:
        kv: width of keys, and of values.
        layer_matrices: ``in + out`` and ``in * out`` of each matrix of a layer, by name (``q_proj`` ...).
    """

    hidden: int
    layers: int
    heads: int
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
        return self.layers * (2.0 * self.layer_weights * tokens + 4.0 * self.hidden * pairs)

    def head_flops(self, tokens: float) -> float:
        return 2.0 * self.hidden * self.vocab * tokens


@dataclass(frozen=True)
class VisionSizes:
    """Qwen2.5-VL's vision tower with its 2x2 merger; all of it is frozen."""

    hidden: int
    depth: int
    full_blocks: int
    patch: int
    merge: int
    parameters: int
    embed_weights: int
    block_weights: int
    merger_weights: int

    def flops(self, frames: int, patches: int) -> float:
        """``frames`` images of ``patches`` patches each; windows see 64 patches, full blocks the image."""
        rows = frames * patches
        blocks = 2.0 * self.block_weights * rows * self.depth
        windowed = min(WINDOW_PATCHES, patches)
        seen = self.full_blocks * patches + (self.depth - self.full_blocks) * windowed
        merger = 2.0 * self.merger_weights * rows / self.merge**2
        return 2.0 * self.embed_weights * rows + blocks + 4.0 * self.hidden * rows * seen + merger


@dataclass(frozen=True)
class GeometrySizes:
    """VGGT's aggregator up to the round that is used, and the merger that fits it to the language model."""

    config: VGGTConfig
    merger_hidden: int
    parameters: int
    block_weights: int
    merger_parameters: int
    merger_weights: int

    def flops(self, frames: int, patches: int) -> float:
        """``frames`` of ``patches`` patches each; global attention sees all tokens of all frames."""
        c, rounds = self.config, self.config.output_round + 1
        each = patches + 1 + c.registers
        tokens = frames * each
        inside = (c.patch_depth + rounds) * 4.0 * c.embed_dim * frames * each**2
        across = rounds * 4.0 * c.embed_dim * float(tokens) ** 2
        embed = 2.0 * 3 * c.patch_size**2 * c.embed_dim * frames * patches
        return embed + 2.0 * self.block_weights * tokens * (c.patch_depth + 2 * rounds) + inside + across


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


def sizes_of(config: Mapping[str, Any], where: str = "config") -> Sizes:
    """Sizes from the ``config.json`` of a saved policy or of Qwen2.5-VL.

    Raises:
        ValueError: another architecture, or no sizes in it.
    """
    kind = str(config.get("model_type", ""))
    if "qwen2_5_vl" not in kind:
        raise ValueError(f"{where}: model_type {kind!r}; costs are known for Qwen2.5-VL (qwen2_5_vl) only")
    parts = (config.get("text_config") or config, config.get("vision_config") or {})  # released ones are flat
    if not all("hidden_size" in part for part in parts):
        raise ValueError(f"{where} has no 'hidden_size'; give the config.json of the model")
    given = {name: value for name, value in config.items() if name != "model_type"}
    return _counted(SpatialConfig(**{"use_geometry_encoder": True, **given}))


@cache
def released(name: str) -> Sizes:
    """Sizes of one of :data:`ARCHITECTURES`."""
    return _counted(full_config(name))


def _counted(config: Any) -> Sizes:
    with torch.device("meta"):
        model = SpatialQwen(config)
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
        layer.self_attn.k_proj.out_features,
        text.intermediate_size,
        text.vocab_size,
        _parameters(nn.ModuleList([model.model.language_model, model.lm_head])),
        _parameters(layer),
        matrices,
    )
    frozen = VisionSizes(
        vision.hidden_size,
        vision.depth,
        len(vision.fullatt_block_indexes),
        vision.patch_size,
        vision.spatial_merge_size,
        _parameters(tower),
        _parameters(tower.patch_embed),
        _weights(tower.blocks[0]),
        _weights(tower.merger),
    )
    if not config.use_geometry_encoder:
        return Sizes(language, frozen, None)
    merger: Any = model.geometry_merger
    geometry = GeometrySizes(
        VGGTConfig(**(config.geometry_encoder or {})),
        config.geometry_merger_hidden_dim,
        _parameters(model.geometry_encoder),
        _weights(model.vggt.aggregator.frame_blocks[0]),
        _parameters(merger),
        _weights(merger),
    )
    return Sizes(language, frozen, geometry)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))
