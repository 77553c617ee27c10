"""VGGT's aggregator: frames in, per-patch geometry features out.

Architecture of "VGGT: Visual Geometry Grounded Transformer" (CVPR 2025), written from its
description: a DINOv2-style patch encoder, then rounds of attention inside each frame and across all
frames, with 2-D rotary positions, QK-norm and LayerScale. One camera token and some register tokens
stand before the patches of every frame; the first frame has its own set, which is what makes it the
reference frame. The real encoder and the tiny one of the demo are the same code.

Shapes: ``B`` clips, ``S`` frames, ``h × w`` patches, ``C`` width. Output: ``(B, S, h, w, 2C)``, the
frame-block and global-block outputs of one round side by side; only that round's output is kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rft3d.models.blocks import (
    CLOSE,
    Block,
    EncoderSizes,
    GeometryEncoder,
    PatchEncoder,
    alternate,
    count_blocks,
    reset,
    sizes_in,
)

_HEADS = re.compile(r"(^|\.)((camera|point|depth|track)_head\.|_resnet_(mean|std)$)")
_LATER_BLOCK = re.compile(r"(^|\.)(?:frame|global)_blocks\.(\d+)\.")


@dataclass(frozen=True)
class VGGTConfig(EncoderSizes):
    """Sizes of the aggregator; the defaults are VGGT-1B's. ``output_round``: the 0-based round whose output is
    used. VG-LLM takes 22 of 24, so later rounds are neither built nor computed (their checkpoint keys are
    ignored)."""

    patch_depth: int = 24
    rounds: int = 24
    output_round: int = 22
    registers: int = 4
    layer_scale_init: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.output_round < self.rounds:
            raise ValueError(
                f"VGGTConfig.output_round={self.output_round} must lie in [0, rounds={self.rounds})"
            )

    @property
    def width(self) -> int:
        return 2 * self.embed_dim

    @property
    def specials(self) -> int:
        return 1 + self.registers

    @property
    def attention(self) -> tuple[int, int]:
        return self.patch_depth + self.output_round + 1, self.output_round + 1


class Aggregator(nn.Module):
    """Alternating frame and global attention, up to the round that is used."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim
        self.patch_embed = PatchEncoder(config, mask=True)
        self.camera_token = nn.Parameter(torch.zeros(1, 2, 1, dim))
        self.register_token = nn.Parameter(torch.zeros(1, 2, config.registers, dim))
        used, scale = config.output_round + 1, config.layer_scale_init
        self.frame_blocks = nn.ModuleList(
            Block(config, qk_norm=True, eps=CLOSE, scale=scale) for _ in range(used)
        )
        self.global_blocks = nn.ModuleList(
            Block(config, qk_norm=True, eps=CLOSE, scale=scale) for _ in range(used)
        )

    def specials(self, batch: int, frames: int) -> Tensor:
        """Camera and register tokens ``(B, S, 1 + registers, C)``; the first frame has its own."""
        pair = torch.cat([self.camera_token, self.register_token], dim=2)
        index = torch.zeros(frames, dtype=torch.long, device=pair.device)
        index[1:] = 1
        return pair[:, index].expand(batch, -1, -1, -1)

    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Normalised ``(B, S, 3, H, W)`` of ``grid`` patches -> ``(B * S, h * w, 2C)``."""
        config = self.config
        return alternate(
            self.patch_embed(images.flatten(0, 1)), self.specials(*images.shape[:2]), self.frame_blocks,
            self.global_blocks, grid, config.rope_base, config.embed_dim // config.heads,
        )  # fmt: skip


class VGGT(GeometryEncoder):
    """Holder of the aggregator, so that keys read ``vggt.aggregator.*`` as in released checkpoints."""

    Config = VGGTConfig
    public = "facebook/VGGT-1B"

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.config = config
        self.aggregator = own = Aggregator(config)
        patches = own.patch_embed
        reset(self, patches, own.camera_token, own.register_token, patches.cls_token, patches.register_tokens)

    @classmethod
    def sizes(cls, shapes: Mapping[str, tuple[int, ...]]) -> VGGTConfig:
        """The used round is the last but one, as in VG-LLM."""
        rounds = count_blocks(shapes, "aggregator.frame_blocks")
        return VGGTConfig(
            **sizes_in(shapes, "aggregator.patch_embed.", "aggregator.frame_blocks.0"),
            patch_depth=count_blocks(shapes, "aggregator.patch_embed.blocks"),
            rounds=rounds,
            output_round=max(0, rounds - 2),
            registers=shapes["aggregator.register_token"][2],
        )

    def unused(self, name: str) -> bool:
        later = _LATER_BLOCK.search(name)
        beyond = later is not None and int(later[2]) > self.config.output_round
        return beyond or _HEADS.search(name) is not None

    def features(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        return self.aggregator(images, grid)
