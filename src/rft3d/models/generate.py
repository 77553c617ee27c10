"""Sampling with a shared prefix: the prompt is run once, G rows continue from it.

All prompts decode together, whatever their lengths and limits. Every row has its own random numbers,
drawn from (seed, prompt's key, row), so a completion depends neither on what else stands in the batch nor on
which process sampled it (beyond the rounding of a matrix product in another shape).
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rft3d.models.geometry import FrozenFeatures
from rft3d.models.kv_cache import PrefixCache, StaticCache
from rft3d.models.prefix import Packed, Row, pack, parts_alike
from rft3d.models.spatial import SpatialModel

STAY = 0.75
"""Ended rows leave the batch when at most this share of its rows is left (moving rows costs a copy)."""
STAY_STATIC = 0.5
"""The same with CUDA graphs, where a new shape is a new capture."""


@dataclass(frozen=True)
class Completion:
    """One sampled continuation: token ids, with the stop token if it stopped, and their log-probabilities."""

    tokens: tuple[int, ...]
    logps: tuple[float, ...]
    truncated: bool


class Asked(NamedTuple):
    """A prompt to continue: its row (suffixes are ignored) and the frozen features of its frames.

    ``key``: a stable name (the sample id); with the seed it fixes the random numbers, so two equal keys give two
    equal groups. ``limit``: longest continuation; None: ``Sampling.max_new_tokens``.
    """

    row: Row
    features: FrozenFeatures
    key: str
    limit: int | None = None


@dataclass(frozen=True)
class Sampling:
    """How to sample. ``temperature=0`` is greedy. The log-probabilities are at the same temperature.

    ``top_p``/``top_k`` are deliberately absent: they make rollouts off-policy. ``max_new_tokens``: of prompts
    without a limit. ``prefill``: prompts that are run at once (0: all); bounds memory. ``decode``: ``static``
    gives the cache fixed shapes, ``graphs`` also replays each step as a CUDA graph; ``auto`` is ``graphs`` on a
    GPU and ``eager`` elsewhere.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    seed: int = 0
    prefill: int = 0
    decode: Literal["auto", "eager", "static", "graphs"] = "auto"


def row_uniforms(seed: int, key: str, row: int, count: int) -> np.ndarray:
    """``count`` uniforms in [0, 1) that depend on nothing but their arguments."""
    digest = hashlib.blake2b(f"{seed}/{key}/{row}".encode(), digest_size=8).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little"))).random(count)


def decode_mode(sampling: Sampling, device: torch.device) -> Literal["eager", "static", "graphs"]:
    """What ``auto`` means on ``device``; ValueError for graphs without a GPU."""
    if sampling.decode == "auto":
        return "graphs" if device.type == "cuda" else "eager"
    if sampling.decode == "graphs" and device.type != "cuda":
        raise ValueError(f"Sampling.decode='graphs' needs a CUDA device, not {device}; use 'auto'")
    return sampling.decode


WARM_UP = 3
"""Runs before the capture of a CUDA graph, as PyTorch asks for (lazy initialisations must not be captured)."""


class GraphStep:
    """``SpatialModel.next_logits`` for one batch shape as a CUDA graph, captured at the first call, then replayed.

    Decoding a model of billions of parameters in eager mode is bound by launching some hundred kernels a step, not
    by the GPU; with a :class:`StaticCache` every shape and address stays the same. The cache is tested on CPUs; the
    capture has a test marked ``gpu``, which passed on an H100 (``docs/hardware.md``). A capture that fails does not
    end a run: one warning says so, and the steps run eagerly.
    """

    def __init__(self, model: SpatialModel, cache: StaticCache) -> None:
        self.model, self.cache = model, cache
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failed = False

    def __call__(self, tokens: Tensor, positions: Tensor, cache: PrefixCache) -> Tensor:
        """``(R,)`` tokens at ``(R,)`` positions -> ``(R, vocab)`` logits, valid until the next call."""
        assert cache is self.cache, "a graph has the addresses of the cache that it was captured with"
        if self.graph is None and not self.failed:
            at = self.cache.at.clone()
            try:
                self._capture(tokens, positions, at)
            except (RuntimeError, AssertionError) as error:  # what torch.cuda raises, also without a GPU
                self.failed = True
                self.cache.at.copy_(at)
                why = str(error).strip().splitlines() or [type(error).__name__]
                warnings.warn(
                    f"no CUDA graph for decoding ({why[0]}); the steps run one kernel after the other, slower "
                    "but equal. Sampling.decode='static' or 'eager' asks for that at once",
                    RuntimeWarning,
                    stacklevel=2,
                )
        if self.graph is None:
            return self.model.next_logits(tokens, positions, cache)
        self.tokens.copy_(tokens)
        self.positions.copy_(positions)
        self.graph.replay()
        return self.logits

    def _capture(self, tokens: Tensor, positions: Tensor, at: Tensor) -> None:
        self.tokens, self.positions = tokens.clone(), positions.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):  # each writes the same place again
                self.model.next_logits(self.tokens, self.positions, self.cache)
                self.cache.at.copy_(at)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.logits = self.model.next_logits(self.tokens, self.positions, self.cache)
        self.cache.at.copy_(at)  # capturing records work, it does none; the first replay does it
        self.graph = graph


@torch.no_grad()
def generate(
    model: SpatialModel,
    asked: Sequence[Asked],
    per: int,
    sampling: Sampling,
    stops: frozenset[int],
    pad_id: int,
) -> list[list[Completion]]:
    """Sample ``per`` continuations of every prompt in ``asked``; a list of them for each. ``stops`` end a row;
    the stop token is part of the completion."""
    limits = [sampling.max_new_tokens if each.limit is None else each.limit for each in asked]
    if min(limits, default=0) < 1:
        raise ValueError(f"sampling needs prompts with limits of at least 1, got {limits}")
    was_training = model.training
    model.eval()
    device = model.lm_head.weight.device
    mode = decode_mode(sampling, device)
    packed = pack([Row(each.row.prefix, each.row.positions, [], []) for each in asked], pad_id).to(device)
    kind = PrefixCache if mode == "eager" else StaticCache
    layers = len(model.model.language_model.layers)
    cache: Any = kind(layers, packed.layout.prefix_valid, max(limits))
    features = [each.features for each in asked]
    logits = _prefill(model, packed, features, cache, sampling.prefill or len(asked))
    logits = logits.repeat_interleave(per, 0)
    decoder = _Decoder(packed, [each.key for each in asked], per, sampling, limits, stops, pad_id)
    graphs = mode == "graphs"
    run = GraphStep(model, cache) if graphs else model.next_logits
    while True:
        tokens = decoder.step(logits)
        if decoder.finished():
            break
        kept = decoder.compact(STAY_STATIC if graphs else STAY)
        if kept is not None:
            cache.keep(*kept)
            tokens = tokens[kept[0]]
            run = GraphStep(model, cache) if graphs else model.next_logits  # other shapes, another graph
        logits = run(tokens, decoder.positions(), cache)
    model.train(was_training)
    return decoder.completions()


def _prefill(
    model: SpatialModel, packed: Packed, features: Sequence[FrozenFeatures], cache: PrefixCache, at_once: int
) -> Tensor:
    """All prefixes into ``cache``, prompts of like length together; logits of their first new tokens."""
    device = packed.input_ids.device
    parts = parts_alike(packed.layout.prefix_valid.sum(-1).tolist(), at_once)
    logits: list[Tensor] = []
    for part in parts:
        rows = torch.tensor(part, device=device)
        cache.part = rows if len(parts) > 1 else None
        logits.append(model.prefill(packed.prefixes(rows), [features[i] for i in part], cache))
    cache.filling = False
    order = torch.tensor([i for part in parts for i in part], device=device)
    return torch.cat(logits)[order.argsort()]


class _Decoder:
    """Book-keeping of one batch of rows; rows that have ended leave it."""

    def __init__(
        self,
        packed: Packed,
        keys: Sequence[str],
        per: int,
        sampling: Sampling,
        limits: Sequence[int],
        stop_ids: frozenset[int],
        pad_id: int,
    ) -> None:
        groups, device = len(keys), packed.input_ids.device
        self.per, self.temperature, self.pad_id = per, sampling.temperature, pad_id
        last = packed.position_ids.amax(0)[:, : packed.layout.prefix_valid.shape[1]]
        start = torch.where(packed.layout.prefix_valid, last, 0).amax(-1) + 1
        self.start = start.repeat_interleave(per)
        self.limits = torch.tensor(limits, device=device).repeat_interleave(per)
        self.rows = torch.arange(groups * per, device=device)
        self.stops = torch.tensor(sorted(stop_ids), device=device)
        longest = max(limits)
        self.tokens = torch.full((groups * per, longest), pad_id, device=device)
        self.logps = torch.zeros((groups * per, longest), device=device)
        self.stopped = torch.zeros(groups * per, dtype=torch.bool, device=device)
        self.ended = torch.zeros_like(self.stopped)
        self.lengths = torch.zeros(groups * per, dtype=torch.long, device=device)
        self.time = 0
        self.uniforms: Tensor | None = None
        if sampling.temperature > 0:
            draws = [row_uniforms(sampling.seed, key, i, longest) for key in keys for i in range(per)]
            self.uniforms = torch.as_tensor(np.stack(draws), dtype=torch.float32, device=device)

    def step(self, logits: Tensor) -> Tensor:
        """Choose a token for every live row from ``(R, vocab)`` logits."""
        if self.uniforms is None:
            logps = logits.log_softmax(-1)
            chosen = logps.argmax(-1)
        else:
            logps = (logits / self.temperature).log_softmax(-1)
            cumulative = logps.exp().cumsum(-1)
            draw = self.uniforms[self.rows, self.time, None] * cumulative[:, -1:]
            # right=True: a token of probability 0 spans an empty interval and can never be chosen.
            chosen = torch.searchsorted(cumulative, draw, right=True)[:, 0].clamp_max(logits.shape[-1] - 1)
        live = ~self.ended[self.rows]
        chosen = torch.where(live, chosen, self.pad_id)
        self.tokens[self.rows, self.time] = chosen
        self.logps[self.rows, self.time] = logps.gather(-1, chosen[:, None])[:, 0]
        self.lengths[self.rows] += live
        self.stopped[self.rows] |= torch.isin(chosen, self.stops) & live
        self.time += 1
        self.ended[self.rows] |= self.stopped[self.rows] | (self.limits[self.rows] <= self.time)
        return chosen

    def finished(self) -> bool:
        return bool(self.ended[self.rows].all())

    def compact(self, share: float) -> tuple[Tensor, Tensor, Tensor] | None:
        """What :meth:`PrefixCache.keep` needs, once at most ``share`` of the rows is left; else None."""
        alive = ~self.ended[self.rows]
        if int(alive.sum()) > share * len(alive):
            return None
        before = self.rows // self.per
        present = before.unique()  # the groups of the batch as it was, in its order
        rows = alive.nonzero()[:, 0]
        self.rows = self.rows[rows]
        left, group_of = (self.rows // self.per).unique(return_inverse=True)
        return rows, torch.searchsorted(present, left), group_of

    def positions(self) -> Tensor:
        return self.start[self.rows] + (self.time - 1)

    def completions(self) -> list[list[Completion]]:
        tokens, logps = self.tokens.tolist(), self.logps.tolist()
        lengths, stopped = self.lengths.tolist(), self.stopped.tolist()
        flat = [
            Completion(tuple(tokens[r][: lengths[r]]), tuple(logps[r][: lengths[r]]), not stopped[r])
            for r in range(len(tokens))
        ]
        return [flat[i : i + self.per] for i in range(0, len(flat), self.per)]
