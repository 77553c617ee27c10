"""One row for a whole group: ``[prefix | s1 | s2 | .. | sG]`` with a shared prefix.

The prefix (frames and question) is computed once; every suffix attends to the prefix and, causally,
to itself, never to another suffix. Positions restart after the prefix for each suffix. That gives the
same log-probabilities and gradients as G separate rows ``[prefix | s_i]`` (tested), at a fraction of
the tokens. Several groups stand in a batch: prefixes are right-padded to ``P``. Each row's suffixes stand
longest first, and the n-th of all rows are padded to the longest of them; neighbours of like length share a
width, so that they are one batch for attention.

Two attention paths are registered with transformers under :data:`ATTENTION`:

* packed (training): the prefix by itself, then each band of suffixes as a batch of queries against
  ``[prefix | own]``.
* cached (sampling): one new token per row against the prefix keys, stored once per group, and the
  row's own keys.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, zip_longest
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface

from rft3d.models.kv_cache import PrefixCache

ATTENTION = "rft3d_shared_prefix"
ALIKE = 0.75
"""What is shorter than this share of something else is not padded to its length."""


@dataclass(frozen=True)
class Layout:
    """Where things are in a packed batch: the prefix, then the bands, each so many suffixes of one padded length.
    ``prefix_valid``: ``(B, P)`` bool, False at padding."""

    prefix_valid: Tensor
    bands: tuple[tuple[int, int], ...] = ()


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
        stored = prefix_cache.prefix_of(int(getattr(module, "layer_idx", -1)))
        out = _cached(query, key, value, *stored, prefix_cache, scaling)
    else:
        causal, gqa = attention_mask is None and query.shape[2] > 1, query.shape[1] != key.shape[1]
        out = F.scaled_dot_product_attention(
            query, key, value, attention_mask, is_causal=causal, scale=scaling, enable_gqa=gqa
        )
    return out.transpose(1, 2), None


def _packed(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float | None) -> Tensor:
    """The prefix by itself, then the ``n`` suffixes of each band, each against ``[prefix | own]``."""
    batch, heads, _, dim = query.shape
    gqa = heads != key.shape[1]
    # split, not slices: its backward pass writes each gradient once
    lengths = [layout.prefix_valid.shape[1], *(n * c for n, c in layout.bands)]
    queries, keys, values = (x.split(lengths, dim=2) for x in (query, key, value))
    # Right-padding is causal-safe: real prefix tokens never see the padding behind them.
    out = [
        F.scaled_dot_product_attention(
            queries[0], keys[0], values[0], is_causal=True, scale=scaling, enable_gqa=gqa
        )
    ]

    def by_suffix(x: Tensor, n: int) -> Tensor:
        return x.reshape(batch, x.shape[1], n, -1, dim).transpose(1, 2).flatten(0, 1)

    def with_prefix(prefix: Tensor, x: Tensor, n: int) -> Tensor:
        return torch.cat([prefix[:, None].expand(-1, n, -1, -1, -1).flatten(0, 1), by_suffix(x, n)], dim=2)

    for (n, c), q, k, v in zip(layout.bands, queries[1:], keys[1:], values[1:], strict=True):
        causal = torch.ones(c, lengths[0] + c, dtype=torch.bool, device=query.device).tril(lengths[0])
        mask = causal & F.pad(layout.prefix_valid, (0, c), value=True)[:, None]
        own = F.scaled_dot_product_attention(
            by_suffix(q, n), with_prefix(keys[0], k, n), with_prefix(values[0], v, n),
            attn_mask=mask.repeat_interleave(n, 0)[:, None], scale=scaling, enable_gqa=gqa,
        )  # fmt: skip
        out.append(own.view(batch, n, heads, c, dim).transpose(1, 2).reshape(batch, heads, n * c, dim))
    return torch.cat(out, dim=2)


def _cached(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    prefix_key: Tensor,
    prefix_value: Tensor,
    cache: PrefixCache,
    scaling: float | None,
) -> Tensor:
    """One query per row; rows stand group by group, equally many each or as ``cache.slots`` says."""
    rows, heads, _, dim = query.shape
    groups, kv_heads, p, _ = prefix_key.shape
    slots, place = cache.slots, cache.place
    per = rows // groups if slots is None else slots.shape[1]
    ratio = heads // kv_heads

    def by_row(x: Tensor, last: int) -> Tensor:
        x = x.view(groups, kv_heads, per, ratio, last).transpose(1, 2)
        x = x.reshape(groups * per, kv_heads, ratio, last)
        return x if place is None else x[place]

    def by_group(x: Tensor, last: int) -> Tensor:
        x = x.view(groups, per, kv_heads, ratio, last) if slots is None else x[slots]
        return x.transpose(1, 2).reshape(groups, kv_heads, per * ratio, last)

    q = query.view(rows, kv_heads, ratio, dim) * (dim**-0.5 if scaling is None else scaling)
    to_prefix = by_group(q, dim) @ prefix_key.transpose(-1, -2)
    to_prefix = to_prefix.masked_fill(~cache.prefix_valid[:, None, None], float("-inf"))
    to_own = q @ key.transpose(-1, -2)
    own_valid = cache.own_valid()
    if own_valid is not None:
        to_own = to_own.masked_fill(~own_valid, float("-inf"))
    weights = torch.cat([by_row(to_prefix, p), to_own], dim=-1).softmax(dim=-1)
    of_prefix = by_row(by_group(weights[..., :p].contiguous(), p) @ prefix_value, dim)
    out = of_prefix + weights[..., p:] @ value
    return out.reshape(rows, heads, 1, dim)


AttentionInterface.register(ATTENTION, shared_prefix_attention)


@dataclass(frozen=True)
class Row:
    """One group to pack: token ids of the prefix, its ``(3, P_i)`` M-RoPE positions, and the suffixes.

    ``suffixes``: token ids that follow the prefix, one list per continuation (may be empty). ``scored``: of each,
    how many of its *last* tokens are scored (the answer); those before (a question) are only read.
    """

    prefix: Sequence[int]
    positions: Tensor
    suffixes: Sequence[Sequence[int]]
    scored: Sequence[int]


@dataclass(frozen=True)
class Packed:
    """A packed batch, ready for the model.

    ``predict_at`` ``(N,)``: flat indices into ``(B * L)`` of the tokens *before* each scored one; ``targets``
    ``(N,)``: the scored ones; ``owner`` ``(N, 2)``: the (row, suffix) of each, in reading order.
    """

    input_ids: Tensor
    position_ids: Tensor
    layout: Layout
    predict_at: Tensor
    targets: Tensor
    owner: Tensor

    def prefixes(self, rows: Tensor) -> "Packed":
        """Some of the rows without their suffixes, padded only to the longest of them."""
        valid = self.layout.prefix_valid[rows]
        length = int(valid.sum(-1).max())
        cut = Layout(valid[:, :length])
        ids, positions = self.input_ids[rows, :length], self.position_ids[:, rows, :length]
        return Packed(ids, positions, cut, self.predict_at[:0], self.targets[:0], self.owner[:0])

    def to(self, device: torch.device) -> "Packed":
        layout = replace(self.layout, prefix_valid=self.layout.prefix_valid.to(device))
        moved = {name: each.to(device) for name, each in vars(self).items() if isinstance(each, Tensor)}
        return replace(self, layout=layout, **moved)


def pack(rows: Sequence[Row], pad_id: int) -> Packed:
    """Right-pad and lay out ``rows``; every row gets as many suffix slots as the largest has."""
    if not rows:
        raise ValueError("pack() needs at least one row")
    p = max(len(row.prefix) for row in rows)
    orders = [sorted(range(len(row.suffixes)), key=lambda i: -len(row.suffixes[i])) for row in rows]
    ordered = ([len(row.suffixes[i]) for i in order] for row, order in zip(rows, orders, strict=True))
    widths = [max(1, *nth) for nth in zip_longest(*ordered, fillvalue=0)]
    bands = tuple((len(part), widths[part[0]]) for part in parts_alike(widths, len(widths)) if part)
    starts = list(accumulate((c for n, c in bands for _ in range(n)), initial=p))
    length = starts[-1]
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
        places = dict(zip(orders[b], starts, strict=False))
        for i, (suffix, scored) in enumerate(zip(row.suffixes, row.scored, strict=True)):
            if scored > len(suffix):
                raise ValueError(f"row {b} suffix {i}: scored={scored} tokens but it has only {len(suffix)}")
            offset, end = places[i], places[i] + len(suffix)
            ids[b, offset:end] = torch.as_tensor(suffix, dtype=torch.long)
            positions[:, b, offset:end] = torch.arange(start, start + len(suffix))
            for k in range(len(suffix) - scored, len(suffix)):
                at.append(b * length + (offset + k - 1 if k else n - 1))
                targets.append(suffix[k])
                owner.append((b, i))
    before, wanted, owners = (torch.tensor(each, dtype=torch.long) for each in (at, targets, owner))
    return Packed(ids, positions, Layout(valid, bands), before, wanted, owners.view(-1, 2))


def parts_alike(lengths: Sequence[int], at_once: int) -> list[list[int]]:
    """Which of ``lengths`` stand together: at most ``at_once``, none much shorter than their longest."""
    if len(lengths) <= at_once and min(lengths, default=0) >= ALIKE * max(lengths, default=0):
        return [list(range(len(lengths)))]
    parts: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not parts or len(parts[-1]) >= at_once or lengths[i] < ALIKE * lengths[parts[-1][0]]:
            parts.append([])
        parts[-1].append(i)
    return parts


LOGIT_BYTES = 256 * 2**20
"""What one chunk of float32 logits may take when no chunk size is given."""


def chunk_size(vocabulary: int, chunk: int = 0) -> int:
    """``chunk``, or as many positions as fit into :data:`LOGIT_BYTES`."""
    return chunk if chunk > 0 else max(1, LOGIT_BYTES // (4 * vocabulary))


def token_logps(
    logits_of: Callable[[Tensor], Tensor], hidden: Tensor, targets: Tensor, temperature: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """``(N,)`` log-probabilities of ``targets`` (with gradient) and entropies (without), both float32.

    The language head runs on the scored positions only, ``chunk`` at a time. With gradients a chunk's logits are
    made again in backward, so that no more than one chunk of them exists. ``logits_of``: ``(n, hidden)`` to ``(n,
    vocab)`` float32 logits; ``hidden``: ``(N, hidden)`` states *before* each target.
    """

    def part(rows: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        all_logps = (logits_of(rows) / temperature).log_softmax(-1)
        with torch.no_grad():
            entropy = -(all_logps.exp() * all_logps.clamp_min(-1e4)).sum(-1)
        return all_logps.gather(-1, wanted[:, None])[:, 0], entropy

    parts = list(zip(hidden.split(chunk), targets.split(chunk), strict=True))
    if len(parts) > 1 and torch.is_grad_enabled():
        done = [
            checkpoint(part, rows, wanted, use_reentrant=False, preserve_rng_state=False)
            for rows, wanted in parts
        ]
    else:
        done = [part(rows, wanted) for rows, wanted in parts]
    return torch.cat([logps for logps, _ in done]), torch.cat([entropy for _, entropy in done])
