"""Depth Anything 3's backbone: frames in, per-patch geometry features out; free weights in three sizes.

Architecture of "Depth Anything 3: Recovering the Visual Space from Any Views" (arXiv 2511.10647), written from its
description: one plain DINOv2. From block ``alternate_from`` on, every odd block attends across all frames, with
QK-norm and 2-D rotary positions (across frames all patches share one), and a camera token takes the class token's
place: one for the reference frame, here the first, one for the others. Output, as its depth head gets it:
``(B, S, h, w, 2C)``, the last block inside frames beside the normalised last block. The metric and monocular
models (``alternate_from=-1``) see every frame by itself; their output is ``(B, S, h, w, C)``, normalised.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rft3d.models import blocks

_PREFIX = "model.backbone.pretrained."
_UNUSED = re.compile(r"model\.(head|cam_enc|cam_dec|gs_head|gs_adapter)\.")
_HEAD_DIM = 64
"""Of every released size; where there is no QK-norm, nothing in the weights tells it."""


@dataclass(frozen=True)
class DA3Config(blocks.EncoderSizes):
    """Sizes; the defaults are DA3-BASE's. ``alternate_from=-1``: no block attends across frames."""

    embed_dim: int = 768
    heads: int = 12
    depth: int = 12
    alternate_from: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.alternate_from == -1 or 0 < self.alternate_from < self.depth):
            raise ValueError(
                f"DA3Config.alternate_from={self.alternate_from} must be -1 or lie in (0, depth={self.depth})"
            )

    @property
    def width(self) -> int:
        return self.embed_dim * (1 if self.alternate_from < 0 else 2)

    @property
    def specials(self) -> int:
        return 1

    @property
    def attention(self) -> tuple[int, int]:
        across = sum(self.across(i) for i in range(self.depth))
        return self.depth - across, across

    def across(self, block: int) -> bool:
        """Whether block number ``block`` attends across frames."""
        return 0 <= self.alternate_from <= block and block % 2 == 1


class Backbone(blocks.PatchTokens):
    """The whole of it; ``camera_token`` exists where blocks alternate."""

    def __init__(self, config: DA3Config) -> None:
        super().__init__(config)
        start = config.alternate_from
        if start > 0:
            self.camera_token = nn.Parameter(torch.randn(1, 2, config.embed_dim))
        self.blocks = nn.ModuleList(
            blocks.Block(config, qk_norm=0 < start <= i, eps=blocks.EXACT, scale=1.0)
            for i in range(config.depth)
        )
        self.norm = blocks.WideNorm(config.embed_dim, eps=blocks.CLOSE)

    def resample(self, grid: Tensor, h: int, w: int) -> Tensor:
        """DINOv2's first way: a scale of ``(h + 0.1) / grid``, without anti-aliasing."""
        scale = ((h + 0.1) / self.grid, (w + 0.1) / self.grid)
        return F.interpolate(grid, scale_factor=scale, mode="bicubic")

    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Normalised ``(B, S, 3, H, W)`` of ``grid`` patches -> ``(B * S, h * w, width)``."""
        config, (batch, frames), (h, w) = self.config, images.shape[:2], grid
        x = inside = self.tokens(images.flatten(0, 1))
        own = tuple(t.to(x.device) for t in blocks.rope_tables(config, h, w, 1, x.dtype))
        # across frames: the special token at (0, 0), every patch at (1, 1)
        shared = tuple(t[[0] + [1] * (h * w)].repeat(frames, 1) for t in own)
        for i, block in enumerate(self.blocks):
            if i == config.alternate_from:
                camera = self.camera_token[0, [0] + [1] * (frames - 1)].repeat(batch, 1)[:, None]
                x = torch.cat([camera.to(x), x[:, 1:]], dim=1)
            if config.across(i):
                x = block(x.view(batch, -1, config.embed_dim), shared).view(x.shape)
            else:
                x = inside = block(x, own if 0 < config.alternate_from <= i else None)
        out = self.norm(x)
        return (out if config.alternate_from < 0 else torch.cat([inside, out], dim=-1))[:, 1:]


class DA3(blocks.GeometryEncoder):
    """Holder of the backbone, so that keys read ``model.backbone.pretrained.*`` as in ``depth-anything/DA3-*``."""

    Config = DA3Config
    public = "depth-anything/DA3-BASE"

    def __init__(self, config: DA3Config) -> None:
        super().__init__()
        self.config = config
        backbone = Backbone(config)
        self.model = nn.ModuleDict({"backbone": nn.ModuleDict({"pretrained": backbone})})
        blocks.reset(self, backbone, backbone.cls_token)

    @classmethod
    def sizes(cls, shapes: Mapping[str, tuple[int, ...]]) -> DA3Config:
        own = {n.removeprefix(_PREFIX): shape for n, shape in shapes.items() if n.startswith(_PREFIX)}
        normed = {int(n.split(".")[1]): s[0] for n, s in own.items() if n.endswith("attn.q_norm.weight")}
        return DA3Config(
            **blocks.sizes_in(own, "", "blocks.0", next(iter(normed.values()), _HEAD_DIM)),
            depth=blocks.count_blocks(own, "blocks"),
            alternate_from=min(normed, default=-1),
        )

    def unused(self, name: str) -> bool:
        return _UNUSED.match(name) is not None

    def features(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        return cast(nn.ModuleDict, self.model["backbone"])["pretrained"](images, grid)
