"""What the geometry encoders are made of: pre-norm transformer blocks, 2-D rotary positions, DINOv2's patches.

An encoder is one file (:mod:`rft3d.models.vggt`, which holds Pi3 too, :mod:`rft3d.models.da3`) and one line in
:data:`rft3d.models.geometry.ENCODERS`. Parameter names follow the public checkpoints.

Precision: matrix products and attention run in the weights' type; norms, rotary positions and the residual
stream in at least float32, which is what bf16 autocast makes of the public code.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOKENS_AT_ONCE = 8192
"""Without gradients: tokens whose hidden layer exists together, and that the patch encoder sees together."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
EXACT, CLOSE = 1e-6, 1e-5
"""The two epsilons of norms: DINOv2's and PyTorch's."""


@dataclass(frozen=True)
class EncoderSizes:
    """What all geometry encoders have; ``img_size``: pixels of the pictures whose positions were learned."""

    embed_dim: int = 1024
    patch_size: int = 14
    img_size: int = 518
    heads: int = 16
    mlp_ratio: float = 4.0
    rope_base: float = 100.0

    def __post_init__(self) -> None:
        if self.embed_dim % (4 * self.heads):
            raise ValueError(
                f"{type(self).__name__}.embed_dim={self.embed_dim} must be divisible by 4 * heads={4 * self.heads}"
            )

    def to_dict(self) -> dict[str, float | int]:
        return asdict(self)


class GeometryEncoder(nn.Module):
    """Frames in, features of their patches out; a subclass says how.

    ``config`` holds ``embed_dim``, ``patch_size``, ``img_size``, ``mlp_ratio``; ``width`` of what comes out;
    ``specials``, tokens beside a frame's patches; ``attention``, how many blocks work inside a frame and how many
    across all frames.
    """

    Config: ClassVar[type[Any]]
    public: ClassVar[str]
    """Hub repository of the weights that are taken by default."""
    config: Any

    @classmethod
    def sizes(cls, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """The config that tensors of these names and shapes belong to; KeyError: they are not of this encoder."""
        raise NotImplementedError

    def unused(self, name: str) -> bool:
        """Whether a released checkpoint's tensor ``name`` is knowingly left out (heads, later rounds)."""
        raise NotImplementedError

    def features(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """``(B, S, 3, H, W)``, normalised, and its patches ``(h, w)`` -> ``(B * S, h * w, width)``."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """``images``: ``(B, S, 3, H, W)`` in [0, 1] -> ``(B, S, h, w, width)``; ValueError: H or W is not
        a multiple of the patches' size."""
        batch, frames, _, height, width = images.shape
        patch = self.config.patch_size
        if height % patch or width % patch:
            raise ValueError(f"images are {height}x{width}; both must be multiples of patch_size={patch}")
        grid = (height // patch, width // patch)
        # Built here, not as buffers: loaders that build models on the meta device lose unsaved buffers.
        mean, std = (images.new_tensor(v).view(1, 1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        out = self.features((images - mean) / std, grid).to(next(self.parameters()).dtype)
        return out.view(batch, frames, *grid, self.config.width)


def reset(module: nn.Module, patches: "PatchTokens", *tokens: Tensor) -> None:
    """Fresh weights as DINOv2 starts them: matrices and positions N(0, 0.02), biases 0, tokens near 0."""
    for each in module.modules():
        if isinstance(each, nn.Linear):
            nn.init.trunc_normal_(each.weight, std=0.02)
            nn.init.zeros_(each.bias)
    nn.init.trunc_normal_(patches.pos_embed, std=0.02)
    for token in tokens:
        nn.init.normal_(token, std=1e-6)


def count_blocks(names: Iterable[str], kind: str) -> int:
    """How many numbers N there are in names ``kind.N.*``."""
    return len({m[1] for name in names if (m := re.match(rf"{re.escape(kind)}\.(\d+)\.", name))})


def sizes_in(
    shapes: Mapping[str, tuple[int, ...]], patches: str, block: str, head_dim: int = 0
) -> dict[str, Any]:
    """The fields of :class:`EncoderSizes` that the tensors of a :class:`PatchTokens` named ``patches...`` and one
    block tell; ``head_dim``: where there is no QK-norm. KeyError where there are none."""
    dim, _, _, patch = shapes[f"{patches}patch_embed.proj.weight"]
    grid = round((shapes[f"{patches}pos_embed"][1] - 1) ** 0.5)
    return {
        "embed_dim": dim,
        "patch_size": patch,
        "img_size": patch * grid,
        "heads": dim // (head_dim or shapes[f"{block}.attn.q_norm.weight"][0]),
        "mlp_ratio": shapes[f"{block}.mlp.fc1.weight"][0] / dim,
    }


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
        weight, bias = self.weight.to(wide), self.bias.to(wide)
        return F.layer_norm(input.to(wide), self.normalized_shape, weight, bias, self.eps)


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
    """Pre-norm transformer block with LayerScale; ``config`` gives ``embed_dim``, ``heads``, ``mlp_ratio``."""

    def __init__(self, config: Any, *, qk_norm: bool, eps: float, scale: float) -> None:
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
    config: EncoderSizes, h: int, w: int, specials: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """cos and sin, ``(specials + h*w, head_dim)``; specials sit at (0, 0), patches at (row+1, col+1)."""
    quarter = config.embed_dim // config.heads // 4
    frequencies = config.rope_base ** (-torch.arange(quarter, dtype=dtype) / quarter)
    rows, cols = torch.meshgrid(torch.arange(1, h + 1), torch.arange(1, w + 1), indexing="ij")
    position = torch.cat([torch.zeros(specials, 2), torch.stack([rows, cols], -1).reshape(-1, 2)])
    angles = [position[:, axis, None].to(dtype) * frequencies for axis in (0, 1)]
    table = torch.cat([angles[0], angles[0], angles[1], angles[1]], dim=-1)
    return table.cos(), table.sin()


class PatchTokens(nn.Module):
    """Patches of frames as DINOv2 makes tokens of them: a convolution, learned positions, one class token.

    ``registers`` more tokens stand beside it; ``mask``: the token of masked-image pre-training, for its key only.
    """

    def __init__(self, config: Any, registers: int = 0, mask: bool = False) -> None:
        super().__init__()
        dim, patch = config.embed_dim, config.patch_size
        self.config = config
        self.grid = config.img_size // patch
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, dim, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, dim))
        if mask:
            self.mask_token = nn.Parameter(torch.zeros(1, dim), requires_grad=False)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid**2 + 1, dim))

    def resample(self, grid: Tensor, h: int, w: int) -> Tensor:
        """Learned positions ``(1, C, grid, grid)`` to ``h × w``: bicubic with anti-aliasing."""
        return F.interpolate(grid, size=(h, w), mode="bicubic", antialias=True)

    def positions(self, h: int, w: int) -> Tensor:
        """Learned positions ``(1, h * w, C)``, resampled in fp32 where the trained grid is another."""
        patches = self.pos_embed[:, 1:]
        if (h, w) == (self.grid, self.grid):
            return patches
        grid = patches.to(wide_type(patches.dtype)).reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        return self.resample(grid, h, w).flatten(2).transpose(1, 2).to(patches.dtype)

    def tokens(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` -> ``(N, 1 + h * w, C)`` in at least float32, the class token first."""
        x = self.patch_embed["proj"](images.to(self.cls_token.dtype))
        h, w = x.shape[-2:]
        x = (x.flatten(2).transpose(1, 2) + self.positions(h, w)).to(wide_type(x.dtype))
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        return torch.cat([cls, x], dim=1)


class PatchEncoder(PatchTokens):
    """DINOv2 ViT with registers; returns the normalised patch tokens ``(N, h*w, C)``."""

    def __init__(self, config: Any, mask: bool = False) -> None:
        super().__init__(config, config.registers, mask)
        blocks = (Block(config, qk_norm=False, eps=EXACT, scale=1.0) for _ in range(config.patch_depth))
        self.blocks = nn.ModuleList(blocks)
        self.norm = WideNorm(config.embed_dim, eps=EXACT)

    def forward(self, images: Tensor) -> Tensor:
        at_once = max(1, TOKENS_AT_ONCE * self.config.patch_size**2 // (images.shape[-2] * images.shape[-1]))
        if not torch.is_grad_enabled() and len(images) > at_once:
            return torch.cat([self(part) for part in images.split(at_once)])
        x = self.tokens(images)
        x = torch.cat([x[:, :1], self.register_tokens.expand(len(x), -1, -1), x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1 + self.config.registers :]


def alternate(
    patches: Tensor,
    specials: Tensor,
    frame_blocks: Iterable[nn.Module],
    global_blocks: Iterable[nn.Module],
    grid: tuple[int, int],
    config: EncoderSizes,
) -> Tensor:
    """Rounds of attention inside each frame and across all frames.

    ``patches``: ``(B * S, h * w, C)``; ``specials``: ``(B, S, T, C)``, tokens that stand before every frame's
    patches, at position (0, 0). Returns ``(B * S, h * w, 2C)``: the last round's two outputs side by side.
    """
    batch, frames, count, dim = specials.shape
    x = torch.cat([specials.flatten(0, 1).to(patches), patches], dim=1)
    cos, sin = (t.to(x.device) for t in rope_tables(config, *grid, count, x.dtype))
    everywhere = (cos.repeat(frames, 1), sin.repeat(frames, 1))
    of_frame = x
    for frame_block, global_block in zip(frame_blocks, global_blocks, strict=True):
        of_frame = frame_block(x, (cos, sin))
        x = global_block(of_frame.view(batch, -1, dim), everywhere).view(batch * frames, -1, dim)
    return torch.cat([of_frame[:, count:], x[:, count:]], dim=-1)
