"""What every backbone with a geometry encoder shares: encode once, fuse, run the language model.

A backbone is a transformers model of the Qwen-VL family. It gives the vision tower (``model.visual``) and the
language model; :class:`SpatialModel` adds the geometry encoder, the merger, and the three ways in which the
project runs a model: a packed batch, a prefill, a step of sampling.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache as once
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from rft3d.models.blocks import GeometryEncoder
from rft3d.models.geometry import ENCODERS, FrozenFeatures, GeometryMerger, cells_of, check_geometry_fields
from rft3d.models.images import CLIP_MEAN, CLIP_STD, GEOMETRY_PATCH, crop_to_cells, qwen_patches
from rft3d.models.kv_cache import PrefixCache
from rft3d.models.prefix import ATTENTION, Packed, chunk_size, token_logps

if TYPE_CHECKING:
    from transformers import PreTrainedModel as _Base
else:
    _Base = nn.Module


class Scored(NamedTuple):
    """Log-probabilities and entropies of the scored tokens, both ``(N,)`` fp32, in ``Packed`` order. A tuple,
    because FSDP2 and DeepSpeed look for a forward's tensors in tuples, not in dataclasses."""

    logps: Tensor
    entropy: Tensor


class SpatialModel(_Base):
    """The policy network. ``forward`` takes a packed batch; ``next_logits`` serves sampling.

    A backbone derives from this *and* from its transformers class, calls :meth:`add_geometry` at the end of
    its constructor, and says how its tower wants pixels.
    """

    model: Any
    lm_head: nn.Linear
    config: Any
    suppressed: Tensor

    patch: ClassVar[int] = GEOMETRY_PATCH
    """Pixels of the tower's patches; 2×2 of them become a token."""
    pixel_mean: ClassVar[Sequence[float]] = CLIP_MEAN
    pixel_std: ClassVar[Sequence[float]] = CLIP_STD

    def add_geometry(self, config: Any) -> None:
        """Build the geometry branch if the config asks for it, set attention, freeze the encoders."""
        check_geometry_fields(config)
        if config.use_geometry_encoder:
            kind = ENCODERS[config.geometry_encoder_type]
            encoder = kind(kind.Config(**(config.geometry_encoder or {})))
            self.geometry_encoder = nn.ModuleDict({config.geometry_encoder_type: encoder})
            self.geometry_merger = GeometryMerger(
                encoder.config.width, config.geometry_merger_hidden_dim, self.lm_head.in_features
            )
        self.register_buffer("suppressed", torch.zeros(0, dtype=torch.long), persistent=False)
        self.set_attn_implementation({"text_config": ATTENTION})
        self.freeze_encoders()

    def freeze_encoders(self) -> None:
        """Vision tower, its merger and the geometry encoder never train (a test hashes them)."""
        for name, parameter in self.named_parameters():
            if name.startswith(("model.visual.", "geometry_encoder.")):
                parameter.requires_grad_(False)

    def checkpoint_layers(self, on: bool) -> None:
        """Switch gradient checkpointing: layers are recomputed in the backward pass, not stored."""
        # transformers renamed it in 5.2x and warns of the old name
        name = "activation" if hasattr(self, "activation_checkpointing_enable") else "gradient"
        if on:
            getattr(self, f"{name}_checkpointing_enable")({"use_reentrant": False})
        else:
            getattr(self, f"{name}_checkpointing_disable")()

    @property
    def geometry_net(self) -> GeometryEncoder:
        """The geometry encoder; AttributeError when the config has none."""
        return cast(GeometryEncoder, self.geometry_encoder[self.config.geometry_encoder_type])

    def suppress(self, token_ids: list[int]) -> None:
        """Give these tokens probability 0 in sampling and in log-probabilities alike (one distribution)."""
        self.suppressed = torch.tensor(sorted(token_ids), dtype=torch.long, device=self.lm_head.weight.device)

    @torch.no_grad()
    def encode(self, images: Tensor, tower_images: Tensor | None = None) -> list[FrozenFeatures]:
        """Frozen features of ``B`` clips.

        ``images``: ``(B, S, 3, H, W)`` in [0, 1], H and W multiples of 14; the geometry encoder sees them whole, a
        tower with patches of 14 pixels without odd borders. ``tower_images``: the same frames for a tower with
        other patches, as many patches high and wide.
        """
        batch, frames = images.shape[:2]
        if tower_images is None:
            if self.patch != GEOMETRY_PATCH:
                raise ValueError(f"this tower has patches of {self.patch} pixels; give tower_images too")
            tower_images = images
        cropped = crop_to_cells(tower_images.flatten(0, 1), 2 * self.patch)
        rows, grid = qwen_patches(cropped, self.patch, self.pixel_mean, self.pixel_std)
        tower = self.model.visual
        seen = see(tower, rows.to(tower.dtype), grid)
        levels = getattr(seen, "deepstack_features", None) or []
        vision = torch.cat([seen.pooler_output, *levels], dim=-1)
        vision = vision.view(batch, -1, vision.shape[-1])
        geometry: Tensor | None = None
        if self.config.use_geometry_encoder:
            geometry = self._geometry(images, grid).to(vision.dtype)
        own = [None] * batch if geometry is None else geometry
        return [FrozenFeatures(*each) for each in zip(vision, own, grid.split(frames), strict=True)]

    def _geometry(self, images: Tensor, grid: Tensor) -> Tensor:
        """``(B, T, 4, width)`` cells, checked against the tower's grid."""
        last = self.config.reference_frame == "last"
        patches = self.geometry_net(images.flip(1) if last else images)
        patches = patches.flip(1) if last else patches
        h, w = patches.shape[-3] // 2, patches.shape[-2] // 2
        tokens_h, tokens_w = (grid[0, 1:] // 2).tolist()
        if (tokens_h, tokens_w) != (h, w):
            raise ValueError(
                f"an image has {tokens_h * tokens_w} vision tokens ({tokens_h}x{tokens_w}) but {h * w} geometry "
                f"cells ({h}x{w}) for frames of {tuple(images.shape[-2:])} pixels; both must come from one crop"
            )
        return cells_of(patches).flatten(1, 2)

    def fuse(self, features: list[FrozenFeatures]) -> Tensor:
        """Vision tokens of all clips, one after the other, with their projected geometry added; deepstack levels
        stay behind the tokens, ``(T, (1 + levels) * hidden)``."""
        weight = self.lm_head.weight
        vision = torch.cat([f.vision.to(weight) for f in features])
        if not self.config.use_geometry_encoder:
            return vision
        if any(f.geometry is None for f in features):
            raise ValueError("use_geometry_encoder is set but a clip's features hold no geometry")
        own = cast(Tensor, self.geometry_merger.ln_q.weight)  # fp32 where it trains beside adapters
        cells = torch.cat([f.geometry.to(own) for f in features if f.geometry is not None])
        merged = self.geometry_merger(cells).to(vision.dtype)
        levels = vision.shape[-1] - merged.shape[-1]
        return vision + (F.pad(merged, (0, levels)) if levels else merged)

    def _hidden(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        fused: Tensor | None,
        cache: PrefixCache | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The language model over tokens whose picture places hold ``fused``, levels as its layers take them. They
        are filled here: transformers takes features by names that differ by release, and ignores unknown ones."""
        embeds: Tensor = self.model.get_input_embeddings()(input_ids)
        if fused is not None:
            at = input_ids == self.config.image_token_id
            tokens, *levels = fused.split(self.lm_head.in_features, dim=-1)
            wanted = len(getattr(self.model.visual, "deepstack_visual_indexes", ()))
            if len(levels) != wanted:
                raise ValueError(f"features hold {len(levels)} deepstack levels, the model needs {wanted}")
            if (places := int(at.sum())) != len(tokens):
                raise ValueError(f"{places} picture tokens in the ids but {len(tokens)} features")
            embeds = embeds.masked_scatter(at[..., None], tokens.to(embeds.dtype))
            if levels:
                kwargs |= {"visual_pos_masks": at, "deepstack_visual_embeds": levels}
        if cache is not None:
            kwargs |= {_cache_name(type(self.model.language_model)): cache, "prefix_cache": cache}
        return self.model.language_model(
            inputs_embeds=embeds, position_ids=position_ids, attention_mask=None, use_cache=False, **kwargs
        ).last_hidden_state

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = self.lm_head(hidden).float()
        return logits.index_fill(-1, self.suppressed, float("-inf")) if len(self.suppressed) else logits

    def forward(
        self,
        packed: Packed,
        features: list[FrozenFeatures],
        temperature: float = 1.0,
        chunk: int = 0,
        fused: Tensor | None = None,
    ) -> Scored:
        """Log-probabilities of the scored tokens of a packed batch, at the sampling temperature.

        The language-model head runs on the scored positions only, ``chunk`` at a time (0: as many as fit
        256 MiB), and never holds the logits of two chunks. ``fused`` may be given when nothing before the
        language model is trained.
        """
        fused = self.fuse(features) if fused is None else fused
        hidden = self._hidden(packed.input_ids, packed.position_ids, fused, layout=packed.layout)
        hidden = hidden.flatten(0, 1)[packed.predict_at]
        chunk = chunk_size(self.config.text_config.vocab_size, chunk)
        return Scored(*token_logps(self._logits, hidden, packed.targets, temperature, chunk))

    def prefill(self, packed: Packed, features: list[FrozenFeatures], cache: PrefixCache) -> Tensor:
        """Run the prefixes once, add them to ``cache``; ``(B, vocab)`` logits of each first new token. May be
        called for one part of the groups after the other; the caller then ends the filling."""
        p = packed.layout.prefix_valid.shape[1]
        ids, positions = packed.input_ids[:, :p], packed.position_ids[:, :, :p]
        hidden = self._hidden(ids, positions, self.fuse(features), cache=cache)
        last = packed.layout.prefix_valid.sum(-1) - 1
        return self._logits(hidden[torch.arange(len(hidden), device=hidden.device), last])

    def next_logits(self, tokens: Tensor, positions: Tensor, cache: PrefixCache) -> Tensor:
        """``(R,)`` tokens at ``(R,)`` positions -> ``(R, vocab)`` logits of the tokens after them."""
        hidden = self._hidden(tokens[:, None], positions.view(1, -1, 1).expand(3, -1, -1), None, cache=cache)
        cache.advance()
        return self._logits(hidden[:, 0])


def see(tower: Any, rows: Tensor, grid: Tensor) -> Any:
    """``tower(rows, grid_thw=grid)``; ``grid`` ``(N, 3)`` with equal rows, as ``qwen_patches`` gives it.

    transformers runs the attention of every picture by itself and works out positions picture by picture, which
    on a GPU costs more than the arithmetic. Where no block looks through windows, the same numbers come out of one
    batched attention (tested against transformers).
    """
    full = getattr(tower, "fullatt_block_indexes", None)
    if full is None or set(full) != set(range(len(tower.blocks))) or len(grid) == 1:
        return tower(rows, grid_thw=grid)
    count, one = len(grid), grid[:1].cpu()
    order, _ = get_vision_window_index(one, tower.spatial_merge_size, tower.window_size, tower.patch_size)
    steps = torch.arange(count)[:, None] * len(order)
    ends = torch.arange(count + 1, dtype=torch.int32) * int(one.prod())
    positions = get_vision_position_ids(one, tower.spatial_merge_size).repeat(count, 1)
    with _batched(tower, count):
        return tower(
            rows,
            grid_thw=grid,
            position_ids=positions.to(rows.device),
            window_index=(order + steps).flatten().to(rows.device),
            cu_window_seqlens=ends,
            cu_seqlens=ends,
        )


@contextmanager
def _batched(tower: Any, count: int) -> Iterator[None]:
    """Inside, the blocks' attention takes ``count`` pictures of equal length at once."""

    def replaced(attention: Any) -> Any:
        def forward(hidden_states: Tensor, *_: Any, position_embeddings: Any = None, **__: Any) -> Tensor:
            length = len(hidden_states)
            q, k, v = attention.qkv(hidden_states).reshape(length, 3, attention.num_heads, -1).unbind(1)
            q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
            q, k, v = (x.unflatten(0, (count, -1)).transpose(1, 2) for x in (q, k, v))
            out = F.scaled_dot_product_attention(q, k, v, scale=attention.scaling)
            return attention.proj(out.transpose(1, 2).reshape(length, -1))

        return forward

    try:
        for block in tower.blocks:
            block.attn.forward = replaced(block.attn)
        yield
    finally:
        for block in tower.blocks:
            del block.attn.forward


@once
def _cache_name(kind: type[nn.Module]) -> str:
    """How a language model's ``forward`` calls its cache: transformers 5.24 renamed it."""
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"
