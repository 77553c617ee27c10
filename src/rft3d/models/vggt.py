"""VGGT's aggregator: frames in, per-patch geometry features out.

Architecture of "VGGT: Visual Geometry Grounded Transformer" (CVPR 2025), written from its
description: a DINOv2-style patch encoder, then rounds of attention inside each frame and across all
frames, with 2-D rotary positions, QK-norm and LayerScale. One camera token and some register tokens
stand before the patches of every frame; the first frame has its own set, which is what makes it the
reference frame. Parameter names follow the public checkpoints, so that the real encoder and the tiny
one of the demo are the same code.

Shapes: ``B`` clips, ``S`` frames, ``h × w`` patches, ``C`` width. Output: ``(B, S, h, w, 2C)``, the
frame-block and global-block outputs of one round side by side; only that round's output is kept.

Precision: matrix products and attention run in the weights' type; norms, rotary positions and the
residual stream in at least float32, which is what bf16 autocast makes of the public code.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOKENS_AT_ONCE = 8192
"""Without gradients: tokens whose hidden layer exists together, and that the patch encoder sees together."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class VGGTConfig:
    """Sizes of the aggregator; the defaults are VGGT-1B's.

    ``output_round`` is the 0-based round whose output is used. VG-LLM takes index 22 of 24, so later
    rounds are neither built nor computed (their checkpoint keys are ignored).
    """

    embed_dim: int = 1024
    patch_size: int = 14
    img_size: int = 518
    patch_depth: int = 24
    rounds: int = 24
    output_round: int = 22
    heads: int = 16
    mlp_ratio: float = 4.0
    registers: int = 4
    rope_base: float = 100.0
    layer_scale_init: float = 0.01

    def __post_init__(self) -> None:
        if self.embed_dim % (4 * self.heads):
            raise ValueError(
                f"VGGTConfig.embed_dim={self.embed_dim} must be divisible by 4 * heads={4 * self.heads}"
            )
        if not 0 <= self.output_round < self.rounds:
            raise ValueError(
                f"VGGTConfig.output_round={self.output_round} must lie in [0, rounds={self.rounds})"
            )

    def to_dict(self) -> dict[str, float | int]:
        return asdict(self)


class LayerScale(nn.Module):
    def __init__(self, dim: int, init: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), init))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.fc1.weight.dtype)
        if torch.is_grad_enabled() or x.numel() <= TOKENS_AT_ONCE * x.shape[-1]:
            return self.fc2(F.gelu(self.fc1(x)))
        # Without gradients nothing needs the four times wider hidden layer of all tokens at once.
        parts = x.flatten(0, -2).split(TOKENS_AT_ONCE)
        return torch.cat([self.fc2(F.gelu(self.fc1(part))) for part in parts]).view(x.shape)


class WideNorm(nn.LayerNorm):
    """LayerNorm that computes and answers in at least float32, whatever the weights' type."""

    def forward(self, input: Tensor) -> Tensor:
        wide = wide_type(input.dtype)
        return F.layer_norm(
            input.to(wide), self.normalized_shape, self.weight.to(wide), self.bias.to(wide), self.eps
        )


def wide_type(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class Attention(nn.Module):
    """Multi-head attention with optional QK-norm and 2-D RoPE tables ``(cos, sin)`` of ``(N, head_dim)``."""

    def __init__(self, dim: int, heads: int, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.q_norm = WideNorm(dim // heads) if qk_norm else nn.Identity()
        self.k_norm = WideNorm(dim // heads) if qk_norm else nn.Identity()

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None = None) -> Tensor:
        batch, length, dim = x.shape
        q, k, v = (
            self.qkv(x.to(self.qkv.weight.dtype))
            .view(batch, length, 3, self.heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = _rotate(q, *rope), _rotate(k, *rope)
        out = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v)
        return self.proj(out.transpose(1, 2).reshape(batch, length, dim))


class Block(nn.Module):
    """Pre-norm transformer block with LayerScale."""

    def __init__(self, config: VGGTConfig, *, qk_norm: bool, eps: float, scale: float) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1 = WideNorm(dim, eps=eps)
        self.attn = Attention(dim, config.heads, qk_norm)
        self.ls1 = LayerScale(dim, scale)
        self.norm2 = WideNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio))
        self.ls2 = LayerScale(dim, scale)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), rope))
        return x + self.ls2(self.mlp(self.norm2(x)))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate-half inside each half of the head: the first half carries rows, the second columns."""
    a, b, c, d = x.chunk(4, dim=-1)
    return x * cos + torch.cat((-b, a, -d, c), dim=-1) * sin


def rope_tables(
    h: int, w: int, specials: int, head_dim: int, base: float, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """cos and sin, ``(specials + h*w, head_dim)``; specials sit at (0, 0), patches at (row+1, col+1)."""
    quarter = head_dim // 4
    frequencies = base ** (-torch.arange(quarter, dtype=dtype) / quarter)
    rows, cols = torch.meshgrid(torch.arange(1, h + 1), torch.arange(1, w + 1), indexing="ij")
    position = torch.cat([torch.zeros(specials, 2), torch.stack([rows, cols], -1).reshape(-1, 2)])
    angles = [position[:, axis, None].to(dtype) * frequencies for axis in (0, 1)]
    table = torch.cat([angles[0], angles[0], angles[1], angles[1]], dim=-1)
    return table.cos(), table.sin()


class PatchEncoder(nn.Module):
    """DINOv2 ViT with registers; returns the normalised patch tokens ``(N, h*w, C)``."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        dim, patch = config.embed_dim, config.patch_size
        self.config = config
        self.grid = config.img_size // patch
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.register_tokens = nn.Parameter(torch.zeros(1, config.registers, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid**2 + 1, dim))
        self.blocks = nn.ModuleList(
            Block(config, qk_norm=False, eps=1e-6, scale=1.0) for _ in range(config.patch_depth)
        )
        self.norm = WideNorm(dim, eps=1e-6)
        self.mask_token.requires_grad_(False)  # only masked-image pre-training uses it; kept for its key

    def positions(self, h: int, w: int) -> Tensor:
        """Learned positions resampled to ``h × w``: bicubic with anti-aliasing, fp32, as DINOv2."""
        patches = self.pos_embed[:, 1:]
        if (h, w) != (self.grid, self.grid):
            grid = (
                patches.to(wide_type(patches.dtype)).reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
            )
            grid = F.interpolate(grid, size=(h, w), mode="bicubic", antialias=True)
            patches = grid.flatten(2).transpose(1, 2).to(patches.dtype)
        return patches

    def forward(self, images: Tensor) -> Tensor:
        at_once = max(1, TOKENS_AT_ONCE * self.config.patch_size**2 // (images.shape[-2] * images.shape[-1]))
        if not torch.is_grad_enabled() and len(images) > at_once:
            return torch.cat([self(part) for part in images.split(at_once)])
        x = self.patch_embed["proj"](images.to(self.cls_token.dtype))
        h, w = x.shape[-2:]
        x = (x.flatten(2).transpose(1, 2) + self.positions(h, w)).to(wide_type(x.dtype))
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([cls, self.register_tokens.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1 + self.config.registers :]


class Aggregator(nn.Module):
    """Alternating frame and global attention, up to the round that is used."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.embed_dim
        self.patch_embed = PatchEncoder(config)
        self.camera_token = nn.Parameter(torch.zeros(1, 2, 1, dim))
        self.register_token = nn.Parameter(torch.zeros(1, 2, config.registers, dim))
        used = config.output_round + 1
        scale = config.layer_scale_init
        self.frame_blocks = nn.ModuleList(
            Block(config, qk_norm=True, eps=1e-5, scale=scale) for _ in range(used)
        )
        self.global_blocks = nn.ModuleList(
            Block(config, qk_norm=True, eps=1e-5, scale=scale) for _ in range(used)
        )

    def specials(self, batch: int, frames: int) -> Tensor:
        """Camera and register tokens ``(B, S, 1 + registers, C)``; the first frame has its own."""
        pair = torch.cat([self.camera_token, self.register_token], dim=2)
        index = torch.zeros(frames, dtype=torch.long, device=pair.device)
        index[1:] = 1
        return pair[:, index].expand(batch, -1, -1, -1)

    def forward(self, images: Tensor) -> Tensor:
        """``images``: ``(B, S, 3, H, W)`` in [0, 1], H and W multiples of the patch size."""
        batch, frames, _, height, width = images.shape
        patch = self.config.patch_size
        if height % patch or width % patch:
            raise ValueError(f"images are {height}x{width}; both must be multiples of patch_size={patch}")
        h, w = height // patch, width // patch
        # Built here, not as buffers: loaders that build models on the meta device lose unsaved buffers.
        mean, std = (images.new_tensor(v).view(1, 1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        x = self.patch_embed(((images - mean) / std).flatten(0, 1))
        x = torch.cat([self.specials(batch, frames).flatten(0, 1).to(x), x], dim=1)
        special, dim = 1 + self.config.registers, self.config.embed_dim
        cos, sin = rope_tables(h, w, special, dim // self.config.heads, self.config.rope_base, x.dtype)
        rope = (cos.to(x.device), sin.to(x.device))
        rope_all = (rope[0].repeat(frames, 1), rope[1].repeat(frames, 1))
        of_frame = x
        for frame_block, global_block in zip(self.frame_blocks, self.global_blocks, strict=True):
            of_frame = frame_block(x, rope)
            x = global_block(of_frame.view(batch, -1, dim), rope_all).view(batch * frames, -1, dim)
        both = torch.cat([of_frame[:, special:], x[:, special:]], dim=-1)
        return both.to(self.camera_token.dtype).view(batch, frames, h, w, 2 * dim)


class VGGT(nn.Module):
    """Holder of the aggregator, so that keys read ``vggt.aggregator.*`` as in released checkpoints."""

    def __init__(self, config: VGGTConfig) -> None:
        super().__init__()
        self.config = config
        self.aggregator = Aggregator(config)
        self._init()

    def _init(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        aggregator = self.aggregator
        nn.init.trunc_normal_(aggregator.patch_embed.pos_embed, std=0.02)
        for token in (
            aggregator.camera_token,
            aggregator.register_token,
            aggregator.patch_embed.cls_token,
            aggregator.patch_embed.register_tokens,
        ):
            nn.init.normal_(token, std=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        return self.aggregator(images)
