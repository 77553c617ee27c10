"""What bounds memory changes no number: chunked logits, micro-batches, checkpointed layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from tests.tiny import Digits, farthest, sampled_groups, weights_of

from rft3d.models import Policy
from rft3d.models.prefix import chunk_size, token_logps
from rft3d.tasks import Task
from rft3d.training.config import MemoryConfig, OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.loop import Watch
from rft3d.training.sft import micro_parts, task_loss, train_sft, update_on
from rft3d.training.update import update_policy

TASKS: Mapping[str, Task] = {"digits": Digits("3")}
BASE = RFTConfig(
    2,
    {"digits": 4},
    5,
    {"digits": 6},
    beta=0.05,
    optim=OptimConfig(lr=3e-3, weight_decay=0.0),
    micro_groups=3,
)


def gradients(policy: Policy, corpus: Corpus, config: RFTConfig) -> dict[str, torch.Tensor]:
    """Of the first update of a step, in float64."""
    engine = Engine(policy, config.optim, 10, memory=config.memory)
    for optimizer in engine.placement.optimizers:
        optimizer.step = lambda: None  # type: ignore[method-assign]
        optimizer.zero_grad = lambda set_to_none=True: None  # type: ignore[method-assign]
    groups = sampled_groups(policy, TASKS, corpus, config)
    engine.network.train()
    reference = policy.model  # any fixed logps do
    metrics, _ = update_policy(engine, corpus, groups, config, reference, 0)
    engine.finish()
    found = {n: p.grad.clone() for n, p in policy.model.named_parameters() if p.grad is not None}
    return {**found, "loss": torch.tensor(metrics["loss"]), "entropy": torch.tensor(metrics["entropy"])}


@pytest.mark.parametrize(
    "memory",
    [
        MemoryConfig(logit_chunk=3),
        MemoryConfig(prefill=1),
        MemoryConfig(gradient_checkpointing=True),
    ],
)
def test_the_gradient_is_the_same(
    memory: MemoryConfig, new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    def of(config: RFTConfig) -> dict[str, torch.Tensor]:
        policy = new_speaker()
        policy.model.double()
        return gradients(policy, digits, config)

    plain, bounded = of(BASE), of(dataclasses.replace(BASE, memory=memory))
    assert plain.keys() == bounded.keys()
    assert max(float(g.abs().max()) for g in plain.values()) > 1e-3
    for name in plain:
        torch.testing.assert_close(bounded[name], plain[name], atol=1e-7, rtol=1e-5)


def test_a_negative_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="logit_chunk"):
        MemoryConfig(logit_chunk=-1)


def saved_bytes(run: Callable[[], Any]) -> int:
    """Bytes of the different storages that the forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(kept.values())


def test_logits_of_one_chunk_only_are_kept() -> None:
    """With a large vocabulary the logits are most of the memory; chunks make it independent of the tokens."""
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 5000, bias=False)
    hidden = torch.randn(256, 16, requires_grad=True)
    targets = torch.randint(0, 5000, (256,))
    kept = {}
    for chunk in (256, 32):
        kept[chunk] = saved_bytes(lambda chunk=chunk: token_logps(head, hidden, targets, 1.0, chunk))
    table = 256 * 5000 * 4
    assert kept[256] > table and kept[32] < table / 4
    assert chunk_size(5000) == 256 * 2**20 // 20000 and chunk_size(10**12) == 1 and chunk_size(10, 7) == 7


def test_what_a_step_keeps_is_set_by_micro_groups_not_by_the_batch(
    new_speaker: Callable[[], Policy], digits: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Largest amount kept by one forward, for 4 and for 8 prompts a step."""
    most: dict[tuple[int, int], int] = {}
    for prompts in (4, 8):
        for micro in (2, 8):
            policy = new_speaker()
            config = dataclasses.replace(
                BASE,
                prompts_per_step={"digits": prompts},
                micro_groups=micro,
                beta=0.0,
                skip_zero_advantage=False,
            )
            engine = Engine(policy, config.optim, 10)
            forward = policy.model.forward
            sizes: list[int] = []

            def spy(*args: Any, forward: Any = forward, sizes: list[int] = sizes, **kwargs: Any) -> Any:
                out: list[Any] = []
                sizes.append(saved_bytes(lambda: out.append(forward(*args, **kwargs))))
                return out[0]

            monkeypatch.setattr(policy.model, "forward", spy)
            groups = sampled_groups(policy, TASKS, digits, config)
            update_policy(engine, digits, groups, config, None, 0)
            most[prompts, micro] = max(sizes)
    assert most[8, 2] < 1.2 * most[4, 2]
    assert most[8, 8] > 1.6 * most[4, 8] > 1.6 * 1.3 * most[4, 2]


def test_sft_in_parts_of_a_task(new_policy: Callable[[], Policy], corpus: Corpus) -> None:
    """Weights after one step, in float64."""
    items = {
        task: [i for rows in corpus.by_scene[task] for i in rows[:2]] for task in ("detection", "spatial")
    }
    results = []
    for scenes in (0, 1, 4):
        policy = new_policy()
        policy.model.double()
        config = SFTConfig(4, 3, {}, {"spatial": 0.5}, OptimConfig(lr=1e-3), micro_scenes=scenes)
        engine = Engine(policy, config.optim, 4)
        update_on(engine, corpus, items, config, 0)
        results.append(weights_of(policy))
    assert farthest(results[0], results[1]) < 1e-7 and farthest(results[0], results[2]) < 1e-7
    parts = micro_parts(items["spatial"], 4)
    assert [len({i.scene for i in part}) for part in parts] == [4, 2]
    loss, _ = task_loss(Engine(new_policy(), OptimConfig(), 1), corpus, items["spatial"])
    assert float(loss.detach()) > 0


def test_gradient_checkpointing_is_off_after_the_stage(
    new_policy: Callable[[], Policy], corpus: Corpus, tmp_path: Path, console: Console
) -> None:
    policy = new_policy()
    config = SFTConfig(1, 2, {"spatial": 1}, {}, memory=MemoryConfig(gradient_checkpointing=True))
    train_sft(policy, corpus, config, tmp_path, Watch(console))
    assert not any(getattr(m, "gradient_checkpointing", False) for m in policy.model.modules())
