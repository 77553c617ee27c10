"""VGGT and Pi3: frames in, per-patch geometry features out.

Architectures of "VGGT: Visual Geometry Grounded Transformer" (CVPR 2025) and "Pi3: Permutation-Equivariant Visual
Geometry Learning" (arXiv 2507.13347), written from their descriptions: a DINOv2-style patch encoder, then rounds of
attention inside each frame and across all frames, with 2-D rotary positions, QK-norm and LayerScale. Some tokens
stand before the patches of every frame: in VGGT a camera token and registers, of which the first frame has its own
set, which makes it the reference frame; in Pi3 five registers, the same for all frames, so that the order of the
frames only orders the output. The real encoder and the tiny one of the demo are the same code.

Shapes: ``B`` clips, ``S`` frames, ``h × w`` patches, ``C`` width. Output: ``(B, S, h, w, 2C)``, the
frame-block and global-block outputs of one round side by side; only that round's output is kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from rft3d.models import blocks

_HEADS = re.compile(r"(^|\.)((camera|point|depth|track)_head\.|_resnet_(mean|std)$)")
_LATER_BLOCK = re.compile(r"(^|\.)(?:frame|global)_blocks\.(\d+)\.")
_UNUSED = re.compile(r"(point|conf|camera)_(decoder|head)\.|image_(mean|std)$")


@dataclass(frozen=True)
class VGGTConfig(blocks.EncoderSizes):
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
            raise ValueError(f"VGGTConfig.output_round={self.output_round} not in [0, rounds={self.rounds})")

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
    """The parts of VGGT, up to the round that is used."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.patch_embed = blocks.PatchEncoder(config, mask=True)
        self.camera_token = nn.Parameter(torch.zeros(1, 2, 1, dim))
        self.register_token = nn.Parameter(torch.zeros(1, 2, config.registers, dim))
        block = partial(blocks.Block, config, qk_norm=True, eps=blocks.CLOSE, scale=config.layer_scale_init)
        self.frame_blocks = nn.ModuleList(block() for _ in range(config.output_round + 1))
        self.global_blocks = nn.ModuleList(block() for _ in range(config.output_round + 1))


class VGGT(blocks.GeometryEncoder):
    """Holder of the aggregator, so that keys read ``vggt.aggregator.*`` as in released checkpoints."""

    Config = VGGTConfig
    public = "facebook/VGGT-1B"

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.config = config
        self.aggregator = own = Aggregator(config)
        patches = own.patch_embed
        blocks.reset(
            self, patches, own.camera_token, own.register_token, patches.cls_token, patches.register_tokens
        )

    @classmethod
    def sizes(cls, shapes: Mapping[str, tuple[int, ...]]) -> VGGTConfig:
        """The used round is the last but one, as in VG-LLM."""
        rounds = blocks.count_blocks(shapes, "aggregator.frame_blocks")
        return VGGTConfig(
            **blocks.sizes_in(shapes, "aggregator.patch_embed.", "aggregator.frame_blocks.0"),
            patch_depth=blocks.count_blocks(shapes, "aggregator.patch_embed.blocks"),
            rounds=rounds,
            output_round=max(0, rounds - 2),
            registers=shapes["aggregator.register_token"][2],
        )

    def unused(self, name: str) -> bool:
        later = _LATER_BLOCK.search(name)
        beyond = later is not None and int(later[2]) > self.config.output_round
        return beyond or _HEADS.search(name) is not None

    def features(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        own, (batch, frames) = self.aggregator, images.shape[:2]
        pair = torch.cat([own.camera_token, own.register_token], dim=2)
        specials = pair[:, [0] + [1] * (frames - 1)].expand(batch, -1, -1, -1)
        patches = own.patch_embed(images.flatten(0, 1))
        return blocks.alternate(patches, specials, own.frame_blocks, own.global_blocks, grid, self.config)


@dataclass(frozen=True)
class Pi3Config(VGGTConfig):
    """Sizes, by default the released model's. A round: a decoder block inside frames and one across them."""

    rounds: int = 18
    output_round: int = 17


class Pi3(blocks.GeometryEncoder):
    """What is used is the last pair of decoder blocks, as in VG-LLM's second release; names as in
    ``yyfz233/Pi3``."""

    Config = Pi3Config
    public = "yyfz233/Pi3"

    def __init__(self, config: Pi3Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = blocks.PatchEncoder(config)
        self.register_token = nn.Parameter(torch.zeros(1, 1, config.specials, config.embed_dim))
        self.decoder = nn.ModuleList(
            blocks.Block(config, qk_norm=True, eps=blocks.EXACT, scale=config.layer_scale_init)
            for _ in range(2 * config.rounds)
        )
        blocks.reset(
            self, self.encoder, self.register_token, self.encoder.cls_token, self.encoder.register_tokens
        )

    @classmethod
    def sizes(cls, shapes: Mapping[str, tuple[int, ...]]) -> Pi3Config:
        rounds = blocks.count_blocks(shapes, "decoder") // 2
        return Pi3Config(
            **blocks.sizes_in(shapes, "encoder.", "decoder.0"),
            patch_depth=blocks.count_blocks(shapes, "encoder.blocks"),
            rounds=rounds,
            output_round=rounds - 1,
            registers=shapes["register_token"][2] - 1,
        )

    def unused(self, name: str) -> bool:
        return _UNUSED.match(name) is not None

    def features(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        specials = self.register_token.expand(*images.shape[:2], -1, -1)
        patches = self.encoder(images.flatten(0, 1))
        return blocks.alternate(patches, specials, self.decoder[0::2], self.decoder[1::2], grid, self.config)
