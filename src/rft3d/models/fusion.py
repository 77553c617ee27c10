"""Qwen2.5-VL with a frozen geometry encoder: VG-LLM's architecture, composed at one seam.

Vision tokens of Qwen's tower (after its own 2×2 merger) plus VGGT features (merged 2×2, normalised,
projected by a two-layer MLP), element-wise, before they take their places in the language model's
input. The vision tower, its merger and the geometry encoder are frozen; the language model and the
geometry merger are trained. Facts and names follow the released checkpoints (``docs/papers.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from rft3d.models.prefix import ATTENTION, Packed, PrefixCache
from rft3d.models.vggt import VGGT, VGGTConfig

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class FrozenFeatures:
    """What the frozen encoders say of one clip; computed once, reused by every pass over it.

    Attributes:
        vision: ``(T, hidden)`` Qwen vision tokens of all frames, frame-major.
        geometry: ``(T, 4, 2C)`` the four patches under each vision token, row-major inside the cell;
            None when the geometry prior is off.
        grid: ``(frames, 3)`` Qwen's ``image_grid_thw`` (in patches, before the 2×2 merge).
    """

    vision: Tensor
    geometry: Tensor | None
    grid: Tensor

    def tokens_per_frame(self) -> list[int]:
        return (self.grid.prod(-1) // 4).tolist()


class GeometryMerger(nn.Module):
    """RMSNorm each patch, lay the 2×2 cell side by side, project with a two-layer MLP."""

    def __init__(self, patch_dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.ln_q = nn.RMSNorm(patch_dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(4 * patch_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, out_dim)
        )

    def forward(self, cells: Tensor) -> Tensor:
        """``(T, 4, patch_dim)`` -> ``(T, out_dim)``."""
        return self.mlp(self.ln_q(cells).flatten(-2))


def cells_of(patches: Tensor) -> Tensor:
    """Patches ``(..., h, w, D)`` to 2×2 cells ``(..., h//2 * w//2, 4, D)``; odd borders are dropped."""
    *lead, h, w, dim = patches.shape
    even = patches[..., : h // 2 * 2, : w // 2 * 2, :]
    grouped = even.reshape(*lead, h // 2, 2, w // 2, 2, dim)
    grouped = grouped.transpose(-4, -3)
    return grouped.reshape(*lead, (h // 2) * (w // 2), 4, dim)


def qwen_patches(images: Tensor, temporal: int = 2, patch: int = 14, merge: int = 2) -> tuple[Tensor, Tensor]:
    """Frames to the flat patch rows of Qwen's image processor, without resampling.

    Each frame is an *image* of its own (repeated to fill the temporal patch), as VG-LLM feeds them.

    Args:
        images: ``(N, 3, H, W)`` in [0, 1], H and W multiples of ``patch * merge``.

    Returns:
        ``(N * h * w, 3 * temporal * patch * patch)`` rows and ``(N, 3)`` grid (1, h, w).
    """
    n, _, height, width = images.shape
    if height % (patch * merge) or width % (patch * merge):
        raise ValueError(f"frames are {height}x{width}; both must be multiples of {patch * merge}")
    mean = torch.tensor(CLIP_MEAN, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(CLIP_STD, device=images.device).view(1, 3, 1, 1)
    x = ((images - mean) / std)[:, None].expand(-1, temporal, -1, -1, -1)
    h, w = height // patch, width // patch
    x = x.reshape(n, temporal, 3, h // merge, merge, patch, w // merge, merge, patch)
    x = x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    grid = torch.tensor([[1, h, w]], device=images.device).expand(n, -1)
    return x.reshape(n * h * w, 3 * temporal * patch * patch), grid


class SpatialConfig(Qwen2_5_VLConfig):
    """Qwen2.5-VL's config plus the geometry branch (field names of VG-LLM V2 where they exist)."""

    model_type = "rft3d_qwen2_5_vl"

    use_geometry_encoder: bool = True
    geometry_encoder_type: str = "vggt"
    geometry_encoder: dict[str, Any] | None = None
    geometry_merger_hidden_dim: int = 4096
    feature_fusion_method: str = "add"
    reference_frame: str = "first"
    box_convention: str = "intrinsic_zxy"


@dataclass(frozen=True)
class Scored:
    """Log-probabilities and entropies of the scored tokens, both ``(N,)`` fp32, in ``Packed`` order."""

    logps: Tensor
    entropy: Tensor


class SpatialQwen(Qwen2_5_VLForConditionalGeneration):
    """The policy network. ``forward`` takes a packed batch; ``next_logits`` serves sampling."""

    config_class = SpatialConfig
    config: SpatialConfig  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, config: SpatialConfig) -> None:
        super().__init__(config)
        if config.feature_fusion_method != "add" or config.reference_frame != "first":
            raise ValueError(
                f"feature_fusion_method={config.feature_fusion_method!r}, reference_frame="
                f"{config.reference_frame!r}: only 'add' and 'first' are supported"
            )
        if config.use_geometry_encoder:
            geometry = VGGTConfig(**(config.geometry_encoder or {}))
            self.geometry_encoder = nn.ModuleDict({"vggt": VGGT(geometry)})
            self.geometry_merger = GeometryMerger(
                2 * geometry.embed_dim, config.geometry_merger_hidden_dim, self.lm_head.in_features
            )
        self.register_buffer("suppressed", torch.zeros(0, dtype=torch.long), persistent=False)
        self.set_attn_implementation({"text_config": ATTENTION})
        self.freeze_encoders()

    def freeze_encoders(self) -> None:
        """Vision tower, its merger and the geometry encoder never train (a test hashes them)."""
        for name, parameter in self.named_parameters():
            if name.startswith(("model.visual.", "geometry_encoder.")):
                parameter.requires_grad_(False)

    @property
    def vggt(self) -> VGGT:
        """The geometry encoder; AttributeError when the config has none."""
        return cast(VGGT, self.geometry_encoder["vggt"])

    def suppress(self, token_ids: list[int]) -> None:
        """Give these tokens probability 0 in sampling and in log-probabilities alike (one distribution)."""
        self.suppressed = torch.tensor(sorted(token_ids), dtype=torch.long, device=self.lm_head.weight.device)

    @torch.no_grad()
    def encode(self, images: Tensor) -> list[FrozenFeatures]:
        """Frozen features of ``B`` clips ``(B, S, 3, H, W)`` in [0, 1], H and W multiples of 28."""
        batch, frames = images.shape[:2]
        rows, grid = qwen_patches(images.flatten(0, 1))
        vision = self.model.visual(rows.to(self.model.visual.dtype), grid_thw=grid).pooler_output
        vision = vision.view(batch, -1, vision.shape[-1])
        geometry: Tensor | None = None
        if self.config.use_geometry_encoder:
            patches = self.vggt(images)
            geometry = cells_of(patches).flatten(1, 2)
            if geometry.shape[1] != vision.shape[1]:
                raise ValueError(
                    f"{vision.shape[1]} vision tokens but {geometry.shape[1]} geometry cells for frames of "
                    f"{tuple(images.shape[-2:])} pixels"
                )
        return [
            FrozenFeatures(
                vision[i], None if geometry is None else geometry[i], grid[i * frames : (i + 1) * frames]
            )
            for i in range(batch)
        ]

    def fuse(self, features: list[FrozenFeatures]) -> Tensor:
        """Vision tokens of all clips, one after the other, with their projected geometry added."""
        weight = self.lm_head.weight
        vision = torch.cat([f.vision.to(weight) for f in features])
        if not self.config.use_geometry_encoder:
            return vision
        if any(f.geometry is None for f in features):
            raise ValueError("use_geometry_encoder is set but a clip's features hold no geometry")
        cells = torch.cat([f.geometry.to(weight) for f in features if f.geometry is not None])
        return vision + self.geometry_merger(cells)

    def _hidden(self, input_ids: Tensor, position_ids: Tensor, fused: Tensor | None, **kwargs: Any) -> Tensor:
        embeds = None
        if fused is not None:
            embeds = {"image": BaseModelOutputWithPooling(pooler_output=(fused,))}  # pyright: ignore[reportArgumentType]
        return self.model(
            input_ids=input_ids,
            position_ids=position_ids,
            attention_mask={"full_attention": None},
            mm_encoder_outputs=embeds,
            use_cache=False,
            **kwargs,
        )[0]

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = self.lm_head(hidden).float()
        return logits.index_fill(-1, self.suppressed, float("-inf")) if len(self.suppressed) else logits

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        packed: Packed,
        features: list[FrozenFeatures],
        temperature: float = 1.0,
        chunk: int = 8192,
        fused: Tensor | None = None,
    ) -> Scored:
        """Log-probabilities of the scored tokens of a packed batch, at the sampling temperature.

        The language-model head runs on the scored positions only, ``chunk`` at a time. ``fused`` may be
        given when nothing before the language model is trained.
        """
        fused = self.fuse(features) if fused is None else fused
        hidden = self._hidden(packed.input_ids, packed.position_ids, fused, layout=packed.layout)
        hidden = hidden.flatten(0, 1)[packed.predict_at]
        logps: list[Tensor] = []
        entropies: list[Tensor] = []
        for rows, targets in zip(hidden.split(chunk), packed.targets.split(chunk), strict=True):
            logits = self._logits(rows) / temperature
            all_logps = logits.log_softmax(-1)
            logps.append(all_logps.gather(-1, targets[:, None])[:, 0])
            with torch.no_grad():
                entropies.append(-(all_logps.exp() * all_logps.clamp_min(-1e4)).sum(-1))
        return Scored(torch.cat(logps), torch.cat(entropies))

    def prefill(self, packed: Packed, features: list[FrozenFeatures], cache: PrefixCache) -> Tensor:
        """Run the prefixes once, fill ``cache``; returns ``(B, vocab)`` logits of each first new token."""
        p = packed.layout.prefix_len
        hidden = self._hidden(
            packed.input_ids[:, :p],
            packed.position_ids[:, :, :p],
            self.fuse(features),
            past_key_values=cache,
            prefix_cache=cache,
        )
        cache.filling = False
        last = packed.layout.prefix_valid.sum(-1) - 1
        return self._logits(hidden[torch.arange(len(hidden), device=hidden.device), last])

    def next_logits(self, tokens: Tensor, positions: Tensor, cache: PrefixCache) -> Tensor:
        """``(R,)`` tokens at ``(R,)`` positions -> ``(R, vocab)`` logits of the tokens after them."""
        hidden = self._hidden(
            tokens[:, None],
            positions.view(1, -1, 1).expand(3, -1, -1),
            None,
            past_key_values=cache,
            prefix_cache=cache,
        )
        cache.length += 1
        return self._logits(hidden[:, 0])
