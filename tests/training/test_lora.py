"""LoRA: adapters only, the reference is the policy without them, merged and saved at the end."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from tests.tiny import Digits, farthest, same_weights, sampled_groups, weights_of

from rft3d.models import Policy, load_policy
from rft3d.tasks import Task
from rft3d.training.config import LoRAConfig, OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.lora import adapters_off, add_lora, merge_lora
from rft3d.training.optim import build_optimizers, trainable_parameters
from rft3d.training.sft import train_sft
from rft3d.training.update import forward_logps

TASKS: Mapping[str, Task] = {"digits": Digits("3")}
LORA = LoRAConfig(rank=4, alpha=8)
BASE = RFTConfig(
    3, {"digits": 4}, 4, {"digits": 3}, beta=0.1, lora=LORA, save_every=1,
    optim=OptimConfig(lr=1e-2, weight_decay=0.0, schedule="constant", warmup=0.1),
)  # fmt: skip


def logps(policy: Policy, digits: Corpus) -> torch.Tensor:
    groups = sampled_groups(policy, TASKS, digits, BASE)
    return forward_logps(policy.model, policy, digits, groups, 1.0)[0].detach()


def perturb(policy: Policy) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in policy.model.named_parameters():
            if ".lora_B." in name:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.1)


def test_only_adapters_train_and_fresh_ones_change_nothing(
    new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    policy = new_speaker()
    before = logps(policy, digits)
    add_lora(policy.model, LORA, seed=3)
    names = set(trainable_parameters(policy.model))
    assert names and all(".lora_" in name and "language_model.layers." in name for name in names)
    assert len(names) == 2 * 7 * 2, "two matrices on seven of two layers"
    assert torch.equal(logps(policy, digits), before)
    again = new_speaker()
    add_lora(again.model, LORA, seed=3)
    assert same_weights(weights_of(policy), weights_of(again)), "the seed fixes the adapters"
    muon = build_optimizers(policy.model, OptimConfig(name="muon"))
    assert len(muon) == 1, "Muon is for whole matrices"
    with pytest.raises(ValueError, match="no such matrices"):
        add_lora(new_speaker().model, dataclasses.replace(LORA, targets=("nothing",)), 0)
    with pytest.raises(ValueError, match=r"optim\.interpolate=0\.5 .*adapters"):
        Engine(new_speaker(), OptimConfig(interpolate=0.5), 1, lora=LORA)


def test_adapters_off_is_the_policy_before_and_merging_keeps_the_policy(
    new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    policy = new_speaker()
    groups = sampled_groups(policy, TASKS, digits, BASE)

    def score() -> torch.Tensor:
        return forward_logps(policy.model, policy, digits, groups, 1.0)[0].detach()

    names, before = set(weights_of(policy)), score()
    add_lora(policy.model, LORA, 0)
    perturb(policy)
    changed = score()
    assert (changed - before).abs().max() > 1e-2
    with adapters_off(policy.model):
        assert torch.equal(score(), before)
    assert torch.equal(score(), changed)
    assert all(".lora_" in name for name in trainable_parameters(policy.model)) and trainable_parameters(
        policy.model
    )
    merge_lora(policy.model)
    torch.testing.assert_close(score(), changed, atol=1e-4, rtol=1e-4)
    assert set(weights_of(policy)) == names
    with pytest.raises(ValueError, match="no adapters"), adapters_off(policy.model):
        pass


def test_a_stage_with_kl_saves_adapters_and_hands_on_a_plain_policy(
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    tmp_path: Path,
    console: Console,
    stop_after: Callable[[int], Callable[[int], None]],
    stopped: type[Exception],
) -> None:
    policy, start = new_speaker(), new_speaker()
    train_rft(policy, TASKS, digits, BASE, tmp_path / "whole", Watch(console))
    log = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert abs(log[0]["kl"]) < 1e-9 < log[-1]["kl"], "the reference is where the stage began"
    moved = {n for n, p in weights_of(policy).items() if not torch.equal(p, weights_of(start)[n])}
    assert moved and all(name.endswith("_proj.weight") for name in moved)
    policy.save(tmp_path / "merged")
    assert same_weights(weights_of(load_policy(tmp_path / "merged")), weights_of(policy))
    # the adapters alone, on the policy of the start, give the same
    add_lora(start.model, LORA, 99)
    stored = load_file(tmp_path / "whole/adapter/adapter_model.safetensors")
    found = {
        name.removeprefix("base_model.model.").replace(".weight", ".default.weight"): tensor
        for name, tensor in stored.items()
    }
    assert set(found) == {name for name in start.model.state_dict() if ".lora_" in name}
    start.model.load_state_dict(found, strict=False)
    merge_lora(start.model)
    assert same_weights(weights_of(start), weights_of(policy))
    described = json.loads((tmp_path / "whole/adapter/adapter_config.json").read_text())
    assert described["peft_type"] == "LORA" and described["r"] == 4
    # and a stopped run ends with the same weights
    with pytest.raises(stopped):
        train_rft(new_speaker(), TASKS, digits, BASE, tmp_path / "cut", Watch(console, on_step=stop_after(2)))
    resumed = new_speaker()
    train_rft(resumed, TASKS, digits, BASE, tmp_path / "cut", Watch(console))
    assert same_weights(weights_of(resumed), weights_of(policy))


def test_the_merger_can_train_beside_the_adapters(
    new_speaker: Callable[[], Policy], digits: Corpus, tmp_path: Path, console: Console
) -> None:
    lora = dataclasses.replace(LORA, merger=True)
    policy, start = new_speaker(), new_speaker()
    train_rft(policy, TASKS, digits, dataclasses.replace(BASE, lora=lora), tmp_path, Watch(console))
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert abs(log[0]["kl"]) < 1e-9 < log[-1]["kl"], "here the reference is a copy"
    assert farthest(weights_of(policy, "geometry_merger."), weights_of(start, "geometry_merger.")) > 1e-4


def test_sft_with_adapters_learns(
    new_policy: Callable[[], Policy], corpus: Corpus, tmp_path: Path, console: Console
) -> None:
    config = SFTConfig(8, 4, {"spatial": 2}, {}, OptimConfig(lr=3e-2), lora=LoRAConfig(rank=8, alpha=16))
    train_sft(new_policy(), corpus, config, tmp_path, Watch(console))
    log = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert log[-1] < 0.9 * log[0]


def test_engine_seed_reaches_the_adapters(new_policy: Callable[[], Policy]) -> None:
    a, b = new_policy(), new_policy()
    for policy, seed in ((a, 0), (b, 1)):
        Engine(policy, OptimConfig(), 1, lora=LORA, seed=seed)
    assert not same_weights(weights_of(a), weights_of(b))


def test_adapters_under_fsdp2_are_refused_before_anything_is_changed(
    new_policy: Callable[[], Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not supported: the gathered model at a stage's end has no place for them. DDP serves."""
    monkeypatch.setattr("rft3d.training.engine.wants_fsdp2", lambda: True)
    policy = new_policy()
    names = set(policy.model.state_dict())
    with pytest.raises(ValueError, match=r"lora.rank > 0 is not supported with FSDP2; use DDP"):
        Engine(policy, OptimConfig(), 1, lora=LORA)
    assert set(policy.model.state_dict()) == names
