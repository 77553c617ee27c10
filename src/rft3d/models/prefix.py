"""One row for a whole group: ``[prefix | s1 | s2 | .. | sG]`` with a shared prefix.

The prefix (frames and question) is computed once; every suffix attends to the prefix and, causally,
to itself, never to another suffix. Positions restart after the prefix for each suffix. That gives the
same log-probabilities and gradients as G separate rows ``[prefix | s_i]`` (tested), at a fraction of
the tokens. Several groups stand in a batch: prefixes are right-padded to ``P``, suffixes to ``C``, so
a row has ``P + G * C`` tokens.

Two attention paths are registered with transformers under :data:`ATTENTION`:

* packed (training): the prefix by itself, then the suffixes as a batch of queries against
  ``[prefix | own]``.
* cached (sampling): one new token per row against the prefix keys, stored once per group, and the
  row's own keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

ATTENTION = "rft3d_shared_prefix"


@dataclass(frozen=True)
class Layout:
    """Where things are in a packed batch.

    ``prefix_valid``: ``(B, P)`` bool, False at padding. ``groups``: suffixes per row.
    """

    prefix_len: int
    groups: int
    suffix_len: int
    prefix_valid: Tensor


class PrefixCache:
    """Keys and values of sampling: the prefix once per group, the new tokens once per row.

    Duck-types the part of transformers' ``Cache`` that an attention layer uses (``update``). While
    ``filling``, it stores what it is given as the prefix; afterwards it appends to the rows' own part.
    """

    def __init__(self, layers: int, prefix_valid: Tensor, max_new_tokens: int) -> None:
        self.prefix: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self.own: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self.prefix_valid = prefix_valid
        self.max_new_tokens = max_new_tokens
        self.length = 0
        self.filling = True

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if self.filling:
            self.prefix[layer_idx] = (key, value)
            return key, value
        own = self.own[layer_idx]
        if own is None:
            shape = (key.shape[0], key.shape[1], self.max_new_tokens, key.shape[3])
            own = self.own[layer_idx] = (key.new_empty(shape), value.new_empty(shape))
        own[0][:, :, self.length] = key[:, :, 0]
        own[1][:, :, self.length] = value[:, :, 0]
        return own[0][:, :, : self.length + 1], own[1][:, :, : self.length + 1]

    def prefix_of(self, layer_idx: int) -> tuple[Tensor, Tensor]:
        stored = self.prefix[layer_idx]
        assert stored is not None, "PrefixCache was read before the prefix was filled"
        return stored

    def keep_rows(self, rows: Tensor) -> None:
        """Drop the rows' own keys that are not in ``rows`` (index tensor)."""
        self.own = [None if pair is None else (pair[0][rows], pair[1][rows]) for pair in self.own]

    def keep_groups(self, groups: Tensor) -> None:
        """Drop the prefixes that are not in ``groups`` (index tensor)."""
        self.prefix = [None if pair is None else (pair[0][groups], pair[1][groups]) for pair in self.prefix]
        self.prefix_valid = self.prefix_valid[groups]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length


def shared_prefix_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    prefix_cache: PrefixCache | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """For transformers' ``AttentionInterface``: ``(B, H, L, D)`` in, ``(B, L, H, D)`` out."""
    if layout is not None:
        out = _packed(query, key, value, layout, scaling)
    elif prefix_cache is not None and not prefix_cache.filling:
        layer = int(getattr(module, "layer_idx"))  # noqa: B009 - not declared on nn.Module
        out = _cached(query, key, value, *prefix_cache.prefix_of(layer), prefix_cache.prefix_valid, scaling)
    else:
        out = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attention_mask,
            is_causal=attention_mask is None and query.shape[2] > 1,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    return out.transpose(1, 2), None


def _packed(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float | None) -> Tensor:
    batch, heads, _, dim = query.shape
    p, g, c = layout.prefix_len, layout.groups, layout.suffix_len
    gqa = heads != key.shape[1]
    # Right-padding is causal-safe: real prefix tokens never see the padding behind them.
    first = F.scaled_dot_product_attention(
        query[:, :, :p], key[:, :, :p], value[:, :, :p], is_causal=True, scale=scaling, enable_gqa=gqa
    )

    def suffixes(x: Tensor) -> Tensor:
        return x[:, :, p:].reshape(batch, x.shape[1], g, c, dim).transpose(1, 2).flatten(0, 1)

    def with_prefix(x: Tensor) -> Tensor:
        prefix = x[:, None, :, :p].expand(-1, g, -1, -1, -1).flatten(0, 1)
        return torch.cat([prefix, suffixes(x)], dim=2)

    causal = torch.ones(c, c, dtype=torch.bool, device=query.device).tril()
    mask = torch.cat([layout.prefix_valid[:, None].expand(-1, c, -1), causal.expand(batch, -1, -1)], dim=-1)
    mask = mask[:, None, None].expand(-1, g, -1, -1, -1).flatten(0, 1)
    rest = F.scaled_dot_product_attention(
        suffixes(query), with_prefix(key), with_prefix(value), attn_mask=mask, scale=scaling, enable_gqa=gqa
    )
    rest = rest.view(batch, g, heads, c, dim).transpose(1, 2).reshape(batch, heads, g * c, dim)
    return torch.cat([first, rest], dim=2)


def _cached(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor,
    prefix_value: Tensor,
    prefix_valid: Tensor,
    scaling: float | None,
) -> Tensor:
    """One query per row; rows are ``groups × rows per group``, in that order."""
    rows, heads, _, dim = query.shape
    groups, kv_heads, p, _ = prefix_key.shape
    per, ratio = rows // groups, heads // kv_heads
    q = query.view(groups, per, kv_heads, ratio, dim) * (dim**-0.5 if scaling is None else scaling)
    grouped = q.permute(0, 2, 1, 3, 4).reshape(groups, kv_heads, per * ratio, dim)
    to_prefix = grouped @ prefix_key.transpose(-1, -2)
    to_prefix = to_prefix.masked_fill(~prefix_valid[:, None, None], float("-inf"))
    to_prefix = (
        to_prefix.view(groups, kv_heads, per, ratio, p).transpose(1, 2).reshape(rows, kv_heads, ratio, p)
    )
    to_own = q.view(rows, kv_heads, ratio, dim) @ key.transpose(-1, -2)
    weights = torch.cat([to_prefix, to_own], dim=-1).softmax(dim=-1)
    of_prefix = weights[..., :p].view(groups, per, kv_heads, ratio, p).transpose(1, 2)
    of_prefix = of_prefix.reshape(groups, kv_heads, per * ratio, p) @ prefix_value
    of_prefix = (
        of_prefix.view(groups, kv_heads, per, ratio, dim).transpose(1, 2).reshape(rows, kv_heads, ratio, dim)
    )
    out = of_prefix + weights[..., p:] @ value
    return out.reshape(rows, heads, 1, dim)


AttentionInterface.register(ATTENTION, shared_prefix_attention)


@dataclass(frozen=True)
class Row:
    """One group to pack: token ids of the prefix, its positions, and the suffixes.

    Attributes:
        prefix: ``P_i`` token ids.
        positions: ``(3, P_i)`` M-RoPE positions of the prefix.
        suffixes: token ids that follow the prefix, one list per continuation (may be empty lists).
        scored: per suffix, how many of its *last* tokens are scored (the answer); the tokens before
            them (a question) are only read.
    """

    prefix: Sequence[int]
    positions: Tensor
    suffixes: Sequence[Sequence[int]]
    scored: Sequence[int]


@dataclass(frozen=True)
class Packed:
    """A packed batch, ready for the model.

    ``predict_at`` ``(N,)`` are flat indices into ``(B * L)`` of the tokens *before* each scored token;
    ``targets`` ``(N,)`` the scored tokens; ``owner`` ``(N, 2)`` the (row, suffix) each belongs to, in
    reading order.
    """

    input_ids: Tensor
    position_ids: Tensor
    layout: Layout
    predict_at: Tensor
    targets: Tensor
    owner: Tensor

    def to(self, device: torch.device) -> Packed:
        layout = self.layout
        moved = Layout(layout.prefix_len, layout.groups, layout.suffix_len, layout.prefix_valid.to(device))
        return Packed(
            self.input_ids.to(device),
            self.position_ids.to(device),
            moved,
            self.predict_at.to(device),
            self.targets.to(device),
            self.owner.to(device),
        )


def pack(rows: Sequence[Row], pad_id: int) -> Packed:
    """Right-pad and lay out ``rows``; every row gets as many suffix slots as the largest has."""
    if not rows:
        raise ValueError("pack() needs at least one row")
    p = max(len(row.prefix) for row in rows)
    g = max(1, max(len(row.suffixes) for row in rows))
    c = max(1, max((len(s) for row in rows for s in row.suffixes), default=1))
    length = p + g * c
    ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    positions = torch.ones((3, len(rows), length), dtype=torch.long)
    valid = torch.zeros((len(rows), p), dtype=torch.bool)
    at: list[int] = []
    targets: list[int] = []
    owner: list[tuple[int, int]] = []
    for b, row in enumerate(rows):
        n = len(row.prefix)
        ids[b, :n] = torch.as_tensor(row.prefix)
        positions[:, b, :n] = row.positions
        valid[b, :n] = True
        start = int(row.positions.max()) + 1
        for i, (suffix, scored) in enumerate(zip(row.suffixes, row.scored, strict=True)):
            if scored > len(suffix):
                raise ValueError(f"row {b} suffix {i}: scored={scored} tokens but it has only {len(suffix)}")
            offset = p + i * c
            ids[b, offset : offset + len(suffix)] = torch.as_tensor(suffix, dtype=torch.long)
            positions[:, b, offset : offset + c] = torch.arange(start, start + c)
            for k in range(len(suffix) - scored, len(suffix)):
                at.append(b * length + (offset + k - 1 if k else n - 1))
                targets.append(suffix[k])
                owner.append((b, i))
    return Packed(
        ids,
        positions,
        Layout(p, g, c, valid),
        torch.tensor(at, dtype=torch.long),
        torch.tensor(targets, dtype=torch.long),
        torch.tensor(owner, dtype=torch.long).view(-1, 2),
    )
