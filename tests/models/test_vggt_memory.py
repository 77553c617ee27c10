"""The geometry encoder's memory grows with the frames, not with their square, and not with the rounds.

Counted on a tiny encoder: bytes of all tensors that are alive at once, at the worst moment.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.models.real import GEOMETRY
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from rft3d.cost.estimate import GEOMETRY_BYTES
from rft3d.models import blocks
from rft3d.models.vggt import VGGT


class Alive(TorchDispatchMode):
    """Bytes of the tensors made inside the block: alive now, and at the worst moment."""

    def __init__(self, before: Iterable[torch.Tensor] = ()) -> None:
        """``before``: what was there already, and does not count (weights, of which an operation gives views)."""
        super().__init__()
        self.known: Any = WeakIdKeyDictionary()
        for tensor in before:
            self.known[tensor.untyped_storage()] = True
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage not in self.known:
                    self.known[storage] = True
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._gone, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _gone(self, count: int) -> None:
        self.now -= count


def peak(
    frames: int,
    rounds: int = 3,
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    grad: bool = False,
    dtype: torch.dtype = torch.float32,
) -> int:
    """Bytes alive at once while a clip of ``frames`` frames of 4 x 4 patches goes through."""
    config = replace(GEOMETRY, rounds=rounds, output_round=rounds - 1)
    encoder, images = VGGT(config).to(dtype), torch.rand(1, frames, 3, 56, 56)
    with torch.set_grad_enabled(grad), around(), Alive([*encoder.parameters(), images]) as alive:
        encoder(images)
    return alive.peak


def tokens(frames: int) -> int:
    return frames * (16 + 1 + GEOMETRY.registers)


def test_the_count_is_right() -> None:
    with Alive() as alive:
        a = torch.zeros(1000)
        b = a + 1
        c = b.view(10, 100)
        del a, b
        c = c * 2
        assert alive.now == 4000
    assert alive.peak == 8000


def test_32_frames_take_eight_times_the_memory_of_four() -> None:
    few, many = peak(4), peak(32)
    assert 7.9 * few < many <= 8.1 * few


def test_materialised_attention_would_be_seen() -> None:
    """Scores of every pair of tokens of all frames: 64 times as many at 32 frames as at four."""

    def plain() -> AbstractContextManager[Any]:
        return sdpa_kernel(SDPBackend.MATH)

    few, many = peak(4, around=plain), peak(32, around=plain)
    assert many > 12 * few
    assert many > 2 * GEOMETRY.heads * tokens(32) ** 2


def test_rounds_leave_nothing_behind() -> None:
    assert peak(8, rounds=8) <= 1.01 * peak(8, rounds=2)
    assert peak(8, rounds=8, grad=True) > 2 * peak(8, rounds=2, grad=True), "with gradients they would"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("frames", [4, 32])
def test_rft3d_estimate_knows_the_peak(
    frames: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden layers in pieces, as at full size."""
    monkeypatch.setattr(blocks, "TOKENS_AT_ONCE", 32)
    counted = GEOMETRY_BYTES * tokens(frames) * GEOMETRY.embed_dim
    assert peak(frames, dtype=dtype) == pytest.approx(counted, rel=0.02)
