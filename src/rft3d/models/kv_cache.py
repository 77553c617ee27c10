"""Keys and values while sampling: a prompt's once per group, the new tokens' once per row.

Rows that ended leave; groups may then have different numbers of rows. :class:`StaticCache` has fixed
shapes and addresses, for CUDA graphs.
"""

from typing import Any

import torch
from torch import Tensor


class PrefixCache:
    """Keys and values of sampling: the prefix once per group, the new tokens once per row.

    Duck-types the part of transformers' ``Cache`` that an attention layer uses (``update``). While
    ``filling``, it stores what it is given as the prefix (of the groups ``part``, or of all); afterwards
    it appends to the rows' own part. ``slots``/``place`` say which group a row belongs to
    after rows finish; before that, groups have equally many rows, in order.
    """

    def __init__(self, layers: int, prefix_valid: Tensor, max_new_tokens: int) -> None:
        self.prefix: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self.own: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self.prefix_valid = prefix_valid
        self.max_new_tokens = max_new_tokens
        self.length = 0
        self.filling = True
        self.part: Tensor | None = None
        self.slots: Tensor | None = None
        self.place: Tensor | None = None

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if self.filling:
            self.prefix[layer_idx] = self._filled(self.prefix[layer_idx], key, value)
            return key, value
        return self._append(key, value, layer_idx)

    def _filled(
        self, stored: tuple[Tensor, Tensor] | None, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The prefixes with those of the groups ``part``, which may be shorter than the longest."""
        if self.part is None:  # as they come, heads stand inside tokens: every step would copy them
            return key.contiguous(), value.contiguous()
        if stored is None:  # zeros: padding meets a weight of 0, and 0 times NaN is NaN
            shape = (len(self.prefix_valid), key.shape[1], self.prefix_valid.shape[1], key.shape[3])
            stored = (key.new_zeros(shape), value.new_zeros(shape))
        stored[0][self.part, :, : key.shape[2]] = key
        stored[1][self.part, :, : key.shape[2]] = value
        return stored

    def _append(self, key: Tensor, value: Tensor, layer_idx: int) -> tuple[Tensor, Tensor]:
        own = self.own[layer_idx]
        if own is None or own[0].shape[2] == self.length:
            own = self.own[layer_idx] = (
                self._longer(own and own[0], key),
                self._longer(own and own[1], value),
            )
        own[0][:, :, self.length] = key[:, :, 0]
        own[1][:, :, self.length] = value[:, :, 0]
        return own[0][:, :, : self.length + 1], own[1][:, :, : self.length + 1]

    def _longer(self, stored: Tensor | None, like: Tensor) -> Tensor:
        """Twice the room: few answers use all of what the longest may."""
        length = 0 if stored is None else stored.shape[2]
        room = min(max(2 * length, 32), self.max_new_tokens)
        grown = like.new_empty((like.shape[0], like.shape[1], room, like.shape[3]))
        if stored is not None:
            grown[:, :, :length] = stored
        return grown

    def own_valid(self) -> Tensor | None:
        """Which of the rows' own keys count; None: all that :meth:`update` returned."""
        return None

    def advance(self) -> None:
        self.length += 1

    def prefix_of(self, layer_idx: int) -> tuple[Tensor, Tensor]:
        stored = self.prefix[layer_idx]
        assert stored is not None, "PrefixCache was read before the prefix was filled"
        return stored

    def keep(self, rows: Tensor, groups: Tensor, group_of: Tensor) -> None:
        """Go on with fewer rows: ``rows`` of the present ones stay, and ``groups`` that still have one.
        ``group_of``: for every row that stays, the place of its group in ``groups``; ascending."""
        self.own = [None if pair is None else (pair[0][rows], pair[1][rows]) for pair in self.own]
        self.prefix_valid = self.prefix_valid[groups]
        longest = int(self.prefix_valid.sum(-1).max())
        self.prefix_valid = self.prefix_valid[:, :longest]
        self.prefix = [
            None if pair is None else (pair[0][groups, :, :longest], pair[1][groups, :, :longest])
            for pair in self.prefix
        ]
        counts = torch.bincount(group_of, minlength=len(groups))
        most = int(counts.max())
        first = counts.cumsum(0) - counts
        within = torch.arange(len(rows), device=rows.device) - first[group_of]
        self.place = group_of * most + within
        # A group with fewer rows computes its first row again; the result is ignored.
        self.slots = first[:, None].expand(-1, most).clone().view(-1)
        self.slots[self.place] = torch.arange(len(rows), device=rows.device)
        self.slots = self.slots.view(len(groups), most)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length


class StaticCache(PrefixCache):
    """The same with fixed shapes and its length in a tensor, so that a step can be a CUDA graph."""

    def __init__(self, layers: int, prefix_valid: Tensor, max_new_tokens: int) -> None:
        super().__init__(layers, prefix_valid, max_new_tokens)
        self.at = torch.zeros(1, dtype=torch.long, device=prefix_valid.device)
        self.numbers = torch.arange(max_new_tokens, device=prefix_valid.device)

    def _append(self, key: Tensor, value: Tensor, layer_idx: int) -> tuple[Tensor, Tensor]:
        own = self.own[layer_idx]
        if own is None:
            shape = (key.shape[0], key.shape[1], self.max_new_tokens, key.shape[3])
            # zeros: what is masked still meets a weight of 0, and 0 times NaN is NaN
            own = self.own[layer_idx] = (key.new_zeros(shape), value.new_zeros(shape))
        own[0].index_copy_(2, self.at, key)
        own[1].index_copy_(2, self.at, value)
        return own

    def own_valid(self) -> Tensor | None:
        return self.numbers <= self.at

    def advance(self) -> None:
        self.at += 1

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Not the length: reading it would stop the GPU, and positions are always given explicitly."""
        return 0
