"""Pi3: frames in, per-patch geometry features out, in no frame's coordinates.

Architecture of "Pi3: Permutation-Equivariant Visual Geometry Learning" (arXiv 2507.13347), written from its
description: VGGT's parts, but every frame has the same five register tokens, so that no frame is the reference
and the order of the frames only orders the output. What is used is the last pair of decoder blocks, as VG-LLM's
second release does: ``(B, S, h, w, 2C)``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rft3d.models.blocks import (
    EXACT,
    Block,
    GeometryEncoder,
    PatchEncoder,
    alternate,
    count_blocks,
    reset,
    sizes_in,
)
from rft3d.models.vggt import VGGTConfig

_UNUSED = re.compile(r"(point|conf|camera)_(decoder|head)\.|image_(mean|std)$")


@dataclass(frozen=True)
class Pi3Config(VGGTConfig):
    """Sizes, by default the released model's. A round: a decoder block inside frames and one across them."""

    rounds: int = 18
    output_round: int = 17


class Pi3(GeometryEncoder):
    """See the module; names as in ``yyfz233/Pi3``."""

    Config = Pi3Config
    public = "yyfz233/Pi3"

    def __init__(self, config: Pi3Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = PatchEncoder(config)
        self.register_token = nn.Parameter(torch.zeros(1, 1, config.specials, config.embed_dim))
        self.decoder = nn.ModuleList(
            Block(config, qk_norm=True, eps=EXACT, scale=config.layer_scale_init)
            for _ in range(2 * config.rounds)
        )
        reset(self, self.encoder, self.register_token, self.encoder.cls_token, self.encoder.register_tokens)

    @classmethod
    def sizes(cls, shapes: Mapping[str, tuple[int, ...]]) -> Pi3Config:
        rounds = count_blocks(shapes, "decoder") // 2
        return Pi3Config(
            **sizes_in(shapes, "encoder.", "decoder.0"),
            patch_depth=count_blocks(shapes, "encoder.blocks"),
            rounds=rounds,
            output_round=rounds - 1,
            registers=shapes["register_token"][2] - 1,
        )

    def unused(self, name: str) -> bool:
        return _UNUSED.match(name) is not None

    def features(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        config, (batch, frames) = self.config, images.shape[:2]
        return alternate(
            self.encoder(images.flatten(0, 1)), self.register_token.expand(batch, frames, -1, -1),
            self.decoder[0::2], self.decoder[1::2], grid, config.rope_base, config.embed_dim // config.heads,
        )  # fmt: skip
