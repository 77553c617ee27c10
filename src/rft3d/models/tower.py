"""Qwen2.5-VL's vision tower on many pictures of one size: one batch instead of a loop over pictures.

transformers runs the attention of every picture by itself and works out positions picture by picture, which on
a GPU costs more than the arithmetic. Where all pictures have one size and no block looks through windows, the
same numbers come out of one batched attention (tested against transformers).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index


def see(tower: Any, rows: Tensor, grid: Tensor) -> Any:
    """``tower(rows, grid_thw=grid)``; ``grid`` ``(N, 3)`` with equal rows, as ``qwen_patches`` gives it."""
    full = getattr(tower, "fullatt_block_indexes", None)
    if full is None or set(full) != set(range(len(tower.blocks))) or len(grid) == 1:
        return tower(rows, grid_thw=grid)
    count, one = len(grid), grid[:1].cpu()
    order, _ = get_vision_window_index(one, tower.spatial_merge_size, tower.window_size, tower.patch_size)
    steps = torch.arange(count)[:, None] * len(order)
    length = int(one.prod())
    with _batched(tower, count):
        return tower(
            rows,
            grid_thw=grid,
            position_ids=get_vision_position_ids(one, tower.spatial_merge_size)
            .repeat(count, 1)
            .to(rows.device),
            window_index=(order + steps).flatten().to(rows.device),
            cu_window_seqlens=torch.arange(count + 1, dtype=torch.int32) * length,
            cu_seqlens=torch.arange(count + 1, dtype=torch.int32) * length,
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
