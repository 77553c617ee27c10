"""Sampling with a shared prefix: the prompt is run once, G rows continue from it.

Every row has its own random numbers, drawn from (seed, row key), so a completion does not depend on
what else stands in the batch or on which process sampled it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rft3d.models.fusion import FrozenFeatures, SpatialQwen
from rft3d.models.prefix import Packed, PrefixCache, Row, pack


@dataclass(frozen=True)
class Completion:
    """One sampled continuation: token ids, with the stop token if it stopped, and their log-probabilities."""

    tokens: tuple[int, ...]
    logps: tuple[float, ...]
    truncated: bool


@dataclass(frozen=True)
class Sampling:
    """How to sample. ``temperature=0`` is greedy. The log-probabilities are at the same temperature.

    ``top_p``/``top_k`` are deliberately absent: they make rollouts off-policy.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    seed: int = 0


def row_uniforms(seed: int, key: str, row: int, count: int) -> np.ndarray:
    """``count`` uniforms in [0, 1) that depend on nothing but their arguments."""
    digest = hashlib.blake2b(f"{seed}/{key}/{row}".encode(), digest_size=8).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(count)


@torch.no_grad()
def generate(
    model: SpatialQwen,
    prefixes: Sequence[Row],
    features: Sequence[FrozenFeatures],
    keys: Sequence[str],
    rows_per_prefix: int,
    sampling: Sampling,
    stop_ids: frozenset[int],
    pad_id: int,
) -> list[list[Completion]]:
    """Sample ``rows_per_prefix`` continuations of every prefix.

    Args:
        prefixes: rows to continue; their suffixes are ignored.
        features: frozen features of each prefix's frames.
        keys: a stable name per prefix (the sample id); with the seed it fixes the random numbers.
        stop_ids: tokens that end a row; the stop token is part of the completion.

    Returns:
        ``len(prefixes)`` lists of ``rows_per_prefix`` completions.
    """
    was_training = model.training
    model.eval()
    device = model.lm_head.weight.device
    packed = pack([Row(row.prefix, row.positions, [], []) for row in prefixes], pad_id).to(device)
    cache = PrefixCache(
        len(model.model.language_model.layers), packed.layout.prefix_valid, sampling.max_new_tokens
    )
    logits = model.prefill(packed, list(features), cache).repeat_interleave(rows_per_prefix, 0)
    decoder = _Decoder(packed, keys, rows_per_prefix, sampling, stop_ids, pad_id, device)
    while True:
        tokens = decoder.step(logits)
        if decoder.finished():
            break
        keep_groups, keep_rows = decoder.compact()
        if keep_rows is not None and keep_groups is not None:
            cache.keep_rows(keep_rows)
            cache.keep_groups(keep_groups)
            tokens = tokens[keep_rows]
        logits = model.next_logits(tokens, decoder.positions(), cache)
    model.train(was_training)
    return decoder.completions()


class _Decoder:
    """Book-keeping of one batch of rows; groups whose rows have all stopped leave the batch."""

    def __init__(
        self,
        packed: Packed,
        keys: Sequence[str],
        per: int,
        sampling: Sampling,
        stop_ids: frozenset[int],
        pad_id: int,
        device: torch.device,
    ) -> None:
        groups = len(keys)
        self.per, self.sampling, self.pad_id = per, sampling, pad_id
        last = packed.position_ids.amax(0).masked_fill(
            torch.arange(packed.input_ids.shape[1], device=device) >= packed.layout.prefix_len, 0
        )[:, : packed.layout.prefix_len]
        start = torch.where(packed.layout.prefix_valid, last, 0).amax(-1) + 1
        self.start = start.repeat_interleave(per)
        self.rows = torch.arange(groups * per, device=device)
        self.stops = torch.tensor(sorted(stop_ids), device=device)
        limit = sampling.max_new_tokens
        self.tokens = torch.full((groups * per, limit), pad_id, device=device)
        self.logps = torch.zeros((groups * per, limit), device=device)
        self.done = torch.zeros(groups * per, dtype=torch.bool, device=device)
        self.lengths = torch.zeros(groups * per, dtype=torch.long, device=device)
        self.time = 0
        self.uniforms: Tensor | None = None
        if sampling.temperature > 0:
            draws = [row_uniforms(sampling.seed, key, i, limit) for key in keys for i in range(per)]
            self.uniforms = torch.as_tensor(np.stack(draws), dtype=torch.float32, device=device)

    def step(self, logits: Tensor) -> Tensor:
        """Choose a token for every live row from ``(R, vocab)`` logits."""
        if self.uniforms is None:
            logps = logits.log_softmax(-1)
            chosen = logps.argmax(-1)
        else:
            logps = (logits / self.sampling.temperature).log_softmax(-1)
            cumulative = logps.exp().cumsum(-1)
            draw = self.uniforms[self.rows, self.time, None] * cumulative[:, -1:]
            # right=True: a token of probability 0 spans an empty interval and can never be chosen.
            chosen = torch.searchsorted(cumulative, draw, right=True)[:, 0].clamp_max(logits.shape[-1] - 1)
        live = ~self.done[self.rows]
        chosen = torch.where(live, chosen, self.pad_id)
        self.tokens[self.rows, self.time] = chosen
        self.logps[self.rows, self.time] = logps.gather(-1, chosen[:, None])[:, 0]
        self.lengths[self.rows] += live
        self.done[self.rows] |= torch.isin(chosen, self.stops)
        self.time += 1
        return chosen

    def finished(self) -> bool:
        return self.time >= self.sampling.max_new_tokens or bool(self.done[self.rows].all())

    def compact(self) -> tuple[Tensor | None, Tensor | None]:
        """Indices of groups and rows that go on, when at least a quarter of the groups has ended."""
        alive = ~self.done[self.rows].view(-1, self.per).all(-1)
        if int(alive.sum()) > 0.75 * len(alive):
            return None, None
        groups = alive.nonzero()[:, 0]
        rows = (groups[:, None] * self.per + torch.arange(self.per, device=groups.device)).flatten()
        self.rows = self.rows[rows]
        return groups, rows

    def positions(self) -> Tensor:
        return self.start[self.rows] + (self.time - 1)

    def completions(self) -> list[list[Completion]]:
        tokens, logps = self.tokens.tolist(), self.logps.tolist()
        lengths, done = self.lengths.tolist(), self.done.tolist()
        flat = [
            Completion(tuple(tokens[r][: lengths[r]]), tuple(logps[r][: lengths[r]]), not done[r])
            for r in range(len(tokens))
        ]
        return [flat[i : i + self.per] for i in range(0, len(flat), self.per)]
