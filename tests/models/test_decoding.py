"""Sampling many prompts together: ragged lengths and limits, rows that leave, static shapes, parts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from rft3d.models.generate import Asked, Completion, Sampling, generate
from rft3d.models.kv_cache import PrefixCache, StaticCache
from rft3d.models.policy import Policy
from rft3d.models.prefix import parts_alike
from rft3d.prompts import Prompt

LONG = Prompt("<image>" * 4 + "Detect the boxes. " * 9, 4)
SHORT = Prompt("Frame <image>" * 3 + "What? zebra", 3)


class Batch:
    """Ragged prompts, and tokens that end a row often enough for rows to leave at many different times."""

    def __init__(self, policy: Policy, clips: Any) -> None:
        long, short = policy.encode(clips)
        self.policy = policy
        self.features = [long, short, long, short, short]
        prompts = [LONG, SHORT, LONG, SHORT, SHORT]
        pairs = enumerate(zip(prompts, self.features, strict=True))
        self.asked = [Asked(policy.row(p, f.grid), f, str(i)) for i, (p, f) in pairs]
        self.stops = frozenset(range(0, len(policy.tokenizer), 6))

    def sample(self, sampling: Sampling, chosen: tuple[int, ...] = (0, 1, 2, 3, 4)) -> list[list[Completion]]:
        asked = [self.asked[i] for i in chosen]
        return generate(self.policy.model, asked, 4, sampling, self.stops, self.policy.pad_id)

    def limited(self, limits: tuple[int, ...], sampling: Sampling) -> list[list[Completion]]:
        asked = [each._replace(limit=limit) for each, limit in zip(self.asked, limits, strict=True)]
        return generate(self.policy.model, asked, 4, sampling, self.stops, self.policy.pad_id)


@pytest.fixture
def batch(policy: Policy, clips: Any) -> Batch:
    return Batch(policy, clips)


def tokens(sampled: list[list[Completion]]) -> list[list[tuple[int, ...]]]:
    return [[c.tokens for c in group] for group in sampled]


def close(a: list[list[Completion]], b: list[list[Completion]]) -> bool:
    flat = [[x for group in s for c in group for x in c.logps] for s in (a, b)]
    return tokens(a) == tokens(b) and torch.allclose(torch.tensor(flat[0]), torch.tensor(flat[1]), atol=1e-4)


def test_single_rows_leave_and_the_others_do_not_notice(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[int, int, int]] = []
    keep = PrefixCache.keep

    def spy(cache: PrefixCache, rows: Any, groups: Any, group_of: Any) -> None:
        keep(cache, rows, groups, group_of)
        counts = torch.bincount(group_of)
        kept.append((len(rows), int(counts.min()), int(counts.max())))

    monkeypatch.setattr(PrefixCache, "keep", spy)
    together = batch.sample(Sampling(24, 1.0, 5))
    sizes = [rows for rows, _, _ in kept]
    assert len(sizes) > 2 and sizes == sorted(sizes, reverse=True) and sizes[-1] < 5
    assert any(fewest < most for _, fewest, most in kept), "groups of unequal numbers of rows must occur"
    monkeypatch.setattr("rft3d.models.generate.STAY", 0.0)
    nobody_leaves = batch.sample(Sampling(24, 1.0, 5))
    assert close(together, nobody_leaves)
    for i in range(5):
        assert close(batch.sample(Sampling(24, 1.0, 5), (i,)), [together[i]])


def test_every_prompt_has_its_own_limit(batch: Batch) -> None:
    sampling = Sampling(24, 1.0, 7)
    free = batch.sample(sampling)
    limits = (3, 24, 1, 24, 5)
    cut = batch.limited(limits, dataclasses.replace(sampling, max_new_tokens=1))
    for limit, whole, short in zip(limits, free, cut, strict=True):
        for a, b in zip(whole, short, strict=True):
            assert b.tokens == a.tokens[:limit]
            assert b.truncated == (a.truncated or len(a.tokens) > limit)
    with pytest.raises(ValueError, match="at least 1"):
        batch.limited((3, 3, 0, 3, 3), sampling)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_static_shapes_sample_the_same(batch: Batch, temperature: float) -> None:
    """The cache that CUDA graphs need, without the graphs."""
    sampling = Sampling(20, temperature, 2)
    static = batch.sample(dataclasses.replace(sampling, decode="static"))
    assert close(static, batch.sample(sampling))


def test_graphs_need_a_gpu_and_capture_once_a_shape(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="needs a CUDA device"):
        batch.sample(Sampling(4, decode="graphs"))
    # Everything but the capture itself: a stand-in for GraphStep that runs each step eagerly.
    made: list[int] = []

    class Eager:
        def __init__(self, model: Any, cache: Any) -> None:
            assert isinstance(cache, StaticCache)
            made.append(1)
            self.model = model

        def __call__(self, *arguments: Any) -> torch.Tensor:
            return self.model.next_logits(*arguments)

    monkeypatch.setattr("rft3d.models.generate.GraphStep", Eager)
    monkeypatch.setattr("rft3d.models.generate.decode_mode", lambda sampling, device: "graphs")
    graphs = batch.sample(Sampling(24, 1.0, 5))
    assert 1 < len(made) < 8
    monkeypatch.undo()
    assert close(graphs, batch.sample(Sampling(24, 1.0, 5)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the capture would succeed")
def test_a_capture_that_fails_is_said_and_the_steps_run_eagerly(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No stand-in: the real capture, which fails where there is no GPU."""
    monkeypatch.setattr("rft3d.models.generate.decode_mode", lambda sampling, device: "graphs")
    with pytest.warns(RuntimeWarning, match="no CUDA graph for decoding"):
        graphs = batch.sample(Sampling(24, 1.0, 5))
    monkeypatch.undo()
    assert close(graphs, batch.sample(Sampling(24, 1.0, 5)))


@pytest.mark.gpu
def test_cuda_graphs_sample_the_same(policy: Policy, clips: Any) -> None:
    torch.nn.Module.to(policy.model, torch.device("cuda"))
    batch = Batch(policy, clips)
    graphs = batch.sample(Sampling(24, 1.0, 5, decode="graphs"))
    eager = batch.sample(Sampling(24, 1.0, 5, decode="eager"))
    assert tokens(graphs) == tokens(eager)


def test_prefilling_in_parts_changes_nothing(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = Sampling(16, 1.0, 4)
    whole = batch.sample(sampling)
    for at_once in (1, 2, 3):
        assert close(batch.sample(dataclasses.replace(sampling, prefill=at_once)), whole)
    monkeypatch.setattr("rft3d.models.prefix.ALIKE", 0.0)
    assert close(batch.sample(sampling), whole), "padded to the longest prompt"


def test_parts_are_of_like_length() -> None:
    assert parts_alike([10, 9, 10], 8) == [[0, 1, 2]]
    assert parts_alike([10, 100, 90, 11], 8) == [[1, 2], [3, 0]]
    assert parts_alike([10, 100, 90, 11], 1) == [[1], [2], [3], [0]]


def test_two_draws_of_a_prompt_need_two_keys(batch: Batch) -> None:
    batch.asked = [a._replace(key=k) for a, k in zip(batch.asked, ("a", "b", "a", "b", "b#1"), strict=True)]
    sampled = tokens(batch.sample(Sampling(16, 1.0, 0)))
    assert sampled[0] == sampled[2] and sampled[1] == sampled[3], "equal keys, equal completions"
    assert sampled[3] != sampled[4]
