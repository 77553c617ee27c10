"""How large a model is and what its parts compute, from its config alone: no weights, no GPU.

Parameter counts are exact (tested against networks built from the same configs). FLOPs count two for each
multiply-add of matrix products and attention and leave out norms, softmax and the like (a few percent).
Formulas: a matrix of ``a x b`` costs ``2ab`` a token; attention costs ``4 d`` for every pair of a query and a
key that it may see (``QK^T`` and ``AV``), ``d`` the width of all heads. Architecture: Qwen2.5-VL (arXiv
2502.13923), VGGT (2503.11651); numbers of the released models are those of their config files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rft3d.models.sizes import full_config
from rft3d.models.vggt import VGGTConfig

WINDOW_PATCHES = 64
"""Qwen's windowed attention: 112 pixels, 8 x 8 patches of 14."""


@dataclass(frozen=True)
class TextSizes:
    """The language model."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocab: int
    tied: bool

    @property
    def kv(self) -> int:
        """Width of keys, and of values."""
        return self.kv_heads * (self.hidden // self.heads)

    @property
    def layer_matrices(self) -> int:
        """Weights of one layer's matrices, ``(out, in)`` of q, k, v, o and the three of the MLP."""
        d = self.hidden
        return 2 * d * d + 2 * d * self.kv + 3 * d * self.intermediate

    @property
    def layer_parameters(self) -> int:
        """One layer: matrices, biases of q, k, v, two norms."""
        return self.layer_matrices + self.hidden + 2 * self.kv + 2 * self.hidden

    @property
    def embedding_parameters(self) -> int:
        """Input embeddings, and the head where it is not the same matrix."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        return self.layers * self.layer_parameters + self.hidden + self.embedding_parameters

    def forward_flops(self, tokens: float, pairs: float) -> float:
        """All layers over ``tokens`` whose queries see ``pairs`` keys in sum; without the head."""
        return self.layers * (2.0 * self.layer_matrices * tokens + 4.0 * self.hidden * pairs)

    def head_flops(self, tokens: float) -> float:
        return 2.0 * self.hidden * self.vocab * tokens


@dataclass(frozen=True)
class VisionSizes:
    """Qwen2.5-VL's vision tower with its 2x2 merger; all of it is frozen."""

    hidden: int
    depth: int
    intermediate: int
    out_hidden: int
    full_blocks: int
    patch: int = 14
    merge: int = 2
    temporal: int = 2

    @property
    def block_matrices(self) -> int:
        return 4 * self.hidden**2 + 3 * self.hidden * self.intermediate

    @property
    def merger_matrices(self) -> int:
        wide = self.hidden * self.merge**2
        return wide * wide + wide * self.out_hidden

    @property
    def parameters(self) -> int:
        h, wide = self.hidden, self.hidden * self.merge**2
        block = (
            self.block_matrices + 4 * h + 2 * self.intermediate + h + 2 * h
        )  # qkv, proj, MLP biases, norms
        embed = 3 * self.temporal * self.patch**2 * h
        return self.depth * block + embed + self.merger_matrices + h + wide + self.out_hidden

    def flops(self, frames: int, patches: int) -> float:
        """``frames`` images of ``patches`` patches each; windows see 64 patches, full blocks the image."""
        rows = frames * patches
        embed = 2.0 * 3 * self.temporal * self.patch**2 * self.hidden * rows
        blocks = 2.0 * self.block_matrices * rows * self.depth
        windowed = min(WINDOW_PATCHES, patches)
        seen = self.full_blocks * patches + (self.depth - self.full_blocks) * windowed
        merger = 2.0 * self.merger_matrices * rows / self.merge**2
        return embed + blocks + 4.0 * self.hidden * rows * seen + merger


@dataclass(frozen=True)
class GeometrySizes:
    """VGGT's aggregator up to the round that is used, and the merger that fits it to the language model."""

    config: VGGTConfig
    merger_hidden: int
    out_hidden: int

    @property
    def rounds(self) -> int:
        return self.config.output_round + 1

    @property
    def block_matrices(self) -> int:
        d = self.config.embed_dim
        return 4 * d * d + 2 * d * int(d * self.config.mlp_ratio)

    def parameters(self, rounds: int | None = None) -> int:
        """The aggregator with ``rounds`` rounds; those that are built by default (the checkpoint holds 24)."""
        c = self.config
        d, hidden = c.embed_dim, int(c.embed_dim * c.mlp_ratio)
        block = self.block_matrices + 3 * d + d + hidden + d + 4 * d + 2 * d  # biases, two norms, LayerScale
        qk_norm = 4 * (d // c.heads)
        positions = ((c.img_size // c.patch_size) ** 2 + 1) * d
        patch = 3 * c.patch_size**2 * d + d
        encoder = patch + d + c.registers * d + d + positions + c.patch_depth * block + 2 * d
        specials = 2 * d + 2 * c.registers * d
        return encoder + specials + 2 * (self.rounds if rounds is None else rounds) * (block + qk_norm)

    @property
    def merger_matrices(self) -> int:
        return 8 * self.config.embed_dim * self.merger_hidden + self.merger_hidden * self.out_hidden

    @property
    def merger_parameters(self) -> int:
        return 2 * self.config.embed_dim + self.merger_matrices + self.merger_hidden + self.out_hidden

    def flops(self, frames: int, patches: int) -> float:
        """``frames`` of ``patches`` patches each; global attention sees all tokens of all frames."""
        c = self.config
        each = patches + 1 + c.registers
        tokens = frames * each
        blocks = c.patch_depth + 2 * self.rounds
        inside = (c.patch_depth + self.rounds) * 4.0 * c.embed_dim * frames * each**2
        across = self.rounds * 4.0 * c.embed_dim * float(tokens) ** 2
        embed = 2.0 * 3 * c.patch_size**2 * c.embed_dim * frames * patches
        return embed + 2.0 * self.block_matrices * tokens * blocks + inside + across


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
        return self.vision.parameters + (self.geometry.parameters() if self.geometry else 0)


def sizes_of(config: Mapping[str, Any], where: str = "config") -> Sizes:
    """Sizes from the ``config.json`` of a saved policy or of Qwen2.5-VL.

    Raises:
        ValueError: another architecture, or a missing field.
    """
    kind = str(config.get("model_type", ""))
    if "qwen2_5_vl" not in kind:
        raise ValueError(f"{where}: model_type {kind!r}; costs are known for Qwen2.5-VL (qwen2_5_vl) only")
    text: Mapping[str, Any] = config.get("text_config") or config  # released configs are flat
    vision: Mapping[str, Any] = config.get("vision_config") or {}
    try:
        language = TextSizes(
            hidden=text["hidden_size"],
            layers=text["num_hidden_layers"],
            heads=text["num_attention_heads"],
            kv_heads=text["num_key_value_heads"],
            intermediate=text["intermediate_size"],
            vocab=text["vocab_size"],
            tied=bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))),
        )
        tower = VisionSizes(
            hidden=vision["hidden_size"],
            depth=vision["depth"],
            intermediate=vision["intermediate_size"],
            out_hidden=vision["out_hidden_size"],
            full_blocks=len(vision["fullatt_block_indexes"]),
            patch=vision["patch_size"],
            merge=vision["spatial_merge_size"],
            temporal=vision["temporal_patch_size"],
        )
    except KeyError as missing:
        raise ValueError(f"{where} has no {missing.args[0]!r}; give the config.json of the model") from None
    geometry = None
    if config.get("use_geometry_encoder", True):
        geometry = GeometrySizes(
            VGGTConfig(**(config.get("geometry_encoder") or {})),
            config.get("geometry_merger_hidden_dim", 4096),
            language.hidden,
        )
    return Sizes(language, tower, geometry)


ARCHITECTURES: Mapping[str, Sizes] = {
    name: sizes_of(full_config(name).to_dict()) for name in ("qwen2.5-vl-3b-vggt", "qwen2.5-vl-7b-vggt")
}
"""Sizes of released models by the names of ``rft3d.models.BACKBONES``."""
