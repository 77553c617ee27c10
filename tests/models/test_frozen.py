"""The whole vision side is frozen: its bytes are the same before and after a step of each kind."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.models.real import make_clips, make_real
from tests.tiny import Digits, digits_corpus

from rft3d.models import Policy
from rft3d.models.prefix import Row, pack
from rft3d.prompts import Prompt

FROZEN = ("model.visual.", "geometry_encoder.")
TRAINED = ("model.language_model.", "geometry_merger.", "lm_head.")


def digest(policy: Policy, prefixes: tuple[str, ...]) -> str:
    """A hash of names and bytes, parameters and buffers."""
    found = hashlib.sha256()
    for name, tensor in sorted(policy.model.state_dict().items()):
        if name.startswith(prefixes):
            found.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("kind", ["qwen2.5", "qwen3"])
def test_the_trainable_names(kind: str) -> None:
    model = make_real(kind).model
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trainable == {n for n, _ in model.named_parameters() if n.startswith(TRAINED)}
    assert any(n.startswith("geometry_merger.") for n in trainable)
    assert all(not p.requires_grad for n, p in model.named_parameters() if n.startswith(FROZEN))


@pytest.mark.parametrize("kind", ["qwen2.5", "qwen3"])
def test_a_step_over_all_parameters_moves_only_the_trained_ones(kind: str) -> None:
    """Even an optimizer that is given everything, with weight decay."""
    policy = make_real(kind)
    frozen, trained = digest(policy, FROZEN), digest(policy, TRAINED)
    features = policy.encode(make_clips(2))
    row = policy.row(Prompt("<image><image>", 2), features[0].grid)
    policy.model.train()
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.1, weight_decay=0.5)
    scored = policy.model(pack([Row(row.prefix, row.positions, [[70, 71]], [2])], policy.pad_id), features)
    (-scored.logps.mean()).backward()
    without = [n for n, p in policy.model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, "every trained parameter gets a gradient"
    assert all(p.grad is None for n, p in policy.model.named_parameters() if n.startswith(FROZEN))
    optimizer.step()
    assert digest(policy, FROZEN) == frozen
    assert digest(policy, TRAINED) != trained
    assert digest(policy, ("geometry_merger.",)) != digest(make_real(kind), ("geometry_merger.",))


@pytest.mark.parametrize("kind", ["qwen2.5", "qwen3"])
def test_the_engine_keeps_them_too(kind: str, tmp_path: Path) -> None:
    """One step of SFT, one of RFT, through the same engine as the tiny policy."""
    from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
    from rft3d.training.grpo import train_rft
    from rft3d.training.loop import Watch
    from rft3d.training.sft import train_sft

    policy = make_real(kind)
    frozen, trained = digest(policy, FROZEN), digest(policy, TRAINED)
    task = Digits()
    corpus = digits_corpus(policy, make_clips(2, 2))
    console = Console(quiet=True)
    optim = OptimConfig(name="adamw", lr=1e-2, weight_decay=0.1)
    sft = SFTConfig(steps=1, scenes_per_step=2, per_scene={task.name: 2}, optim=optim)
    train_sft(policy, corpus, sft, tmp_path / "sft", Watch(console))
    assert digest(policy, FROZEN) == frozen
    after_sft = digest(policy, TRAINED)
    assert after_sft != trained
    rft = RFTConfig(
        steps=1, group_size=4, prompts_per_step={task.name: 2}, max_new_tokens={task.name: 3}, beta=0.05,
        skip_zero_advantage=False, optim=optim,
    )  # fmt: skip
    train_rft(policy, {task.name: task}, corpus, rft, tmp_path / "rft", Watch(console))
    assert digest(policy, FROZEN) == frozen


@pytest.mark.parametrize("kind", ["qwen2.5", "qwen3"])
def test_checkpointed_layers_give_the_same_gradients(kind: str) -> None:
    """What a real run needs to fit: layers made again in the backward pass, through the packed attention."""
    grads = []
    for again in (False, True):
        policy = make_real(kind)
        features = policy.encode(make_clips(2))
        row = policy.row(Prompt("<image><image>", 2), features[0].grid)
        policy.model.train()
        if again:
            policy.model.checkpoint_layers(True)
            assert any(getattr(m, "gradient_checkpointing", False) for m in policy.model.modules())
        packed = pack([Row(row.prefix, row.positions, [[70, 71], [72]], [2, 1])], policy.pad_id)
        policy.model(packed, features).logps.sum().backward()
        grads.append([p.grad for p in policy.model.parameters() if p.requires_grad])
    for a, b in zip(*grads, strict=True):
        assert a is not None and b is not None
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
