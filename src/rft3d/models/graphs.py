"""One decoding step as a CUDA graph: the launch of some hundred kernels becomes one.

Decoding a model of billions of parameters in eager mode is bound by launching kernels, not by the GPU.
With a :class:`~rft3d.models.kv_cache.StaticCache` every shape and address of a step stays the same, so that
it can be captured once and replayed. The static cache is tested on CPUs; the capture itself has a test
marked ``gpu``, which passed on an H100 (``docs/hardware.md``). A capture that fails does not end a run: one
warning says so, and the step runs eagerly on the static cache, which is tested.
"""

import warnings

import torch
from torch import Tensor

from rft3d.models.kv_cache import PrefixCache, StaticCache
from rft3d.models.spatial import SpatialModel

WARM_UP = 3
"""Runs before the capture, as PyTorch asks for (lazy initialisations must not be captured)."""


class GraphStep:
    """``SpatialModel.next_logits`` for one batch shape, captured at the first call, then replayed."""

    def __init__(self, model: SpatialModel, cache: PrefixCache) -> None:
        if not isinstance(cache, StaticCache):
            raise TypeError(f"a CUDA graph needs a StaticCache, got {type(cache).__name__}")
        self.model, self.cache = model, cache
        self.graph: torch.cuda.CUDAGraph | None = None
        self.failed = False

    def __call__(self, tokens: Tensor, positions: Tensor, cache: PrefixCache) -> Tensor:
        """``(R,)`` tokens at ``(R,)`` positions -> ``(R, vocab)`` logits, valid until the next call."""
        if cache is not self.cache:
            raise ValueError("this graph was captured for another cache")
        if self.graph is None and not self.failed:
            at = self.cache.at.clone()
            try:
                self._capture(tokens, positions)
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

    def _capture(self, tokens: Tensor, positions: Tensor) -> None:
        self.tokens, self.positions = tokens.clone(), positions.clone()
        at = self.cache.at.clone()
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
