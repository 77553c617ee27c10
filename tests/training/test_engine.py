"""Schedules, optimizers, what trains and what must not, and checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tests.tiny import Digits, farthest, same_weights, weights_of

from rft3d.models import Policy
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.grpo import reference_copy, train_rft
from rft3d.training.loop import Watch
from rft3d.training.optim import Muon, build_optimizers, lr_scale, trainable_parameters
from rft3d.training.runs import Tracking
from rft3d.training.sft import train_sft

TRAINED = ("model.language_model.", "geometry_merger.")
FROZEN = ("model.visual.", "geometry_encoder.")


def scales(steps: int = 10, **settings: object) -> list[float]:
    config = OptimConfig(**settings)  # type: ignore[arg-type]
    return [lr_scale(config, step, steps) for step in range(steps)]


def test_schedules() -> None:
    assert scales(warmup=0.4, schedule="constant") == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]
    assert scales(warmup=0, schedule="constant") == [1] * 10
    linear = scales(11, warmup=0.1, schedule="linear", final=0.5)
    assert linear[:2] == [1, 1] and linear[6] == pytest.approx(0.75) and min(linear) > 0.5
    cosine = scales(101, warmup=0.01, schedule="cosine")
    assert cosine[51] == pytest.approx(0.5) and 0 < cosine[-1] < 1e-3
    assert all(a >= b for a, b in pairwise(cosine[1:]))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_every_trainable_parameter_has_one_optimizer(new_policy: Callable[[], Policy], name: str) -> None:
    model = new_policy().model
    optimizers = build_optimizers(model, OptimConfig(name=name))  # type: ignore[arg-type]
    ids = [id(p) for o in optimizers for g in o.param_groups for p in g["params"]]
    assert len(ids) == len(set(ids))
    assert set(ids) == {id(p) for p in trainable_parameters(model).values()}
    decayed = [p for o in optimizers for g in o.param_groups if g["weight_decay"] for p in g["params"]]
    assert decayed and all(p.ndim >= 2 for p in decayed)
    assert len(optimizers) == (2 if name == "muon" else 1)
    if name == "muon":
        vocabulary = model.lm_head.weight
        assert all(p is not vocabulary for g in optimizers[1].param_groups for p in g["params"])


@pytest.mark.parametrize("shape", [(24, 24), (40, 16), (16, 40)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_torchs_but_for_rounding(shape: tuple[int, int], nesterov: bool) -> None:
    torch.manual_seed(0)
    begin, gradients = torch.randn(shape), torch.randn(4, *shape)
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3, "nesterov": nesterov}
    ends = []
    for kind in (torch.optim.Muon, Muon):
        weight = torch.nn.Parameter(begin.clone())
        idle = torch.nn.Parameter(begin.clone())  # without a gradient
        optimizer = kind([weight, idle], adjust_lr_fn="original", **settings)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        assert torch.equal(idle, begin)
        ends.append((weight.detach(), optimizer.state[weight]["momentum_buffer"]))
    (theirs, kept), (ours, own) = ends
    assert torch.equal(kept, own)
    moved = (theirs - begin).norm()
    assert 0 < (ours - theirs).norm() < 0.02 * moved, "bfloat16 rounds; anything else is another formula"


def test_trainable_names_are_language_model_and_merger(new_policy: Callable[[], Policy]) -> None:
    model = new_policy().model
    names = {name for name, _ in model.named_parameters()}
    trained = {name for name in names if name.startswith(TRAINED)}
    assert set(trainable_parameters(model)) == trained
    assert all(any(name.startswith(prefix) for name in trained) for prefix in TRAINED)
    assert all(name.startswith(FROZEN) for name in names - trained)
    assert model.lm_head.weight is model.model.language_model.embed_tokens.weight


def digest(policy: Policy) -> str:
    """Of every tensor of the frozen side, buffers included."""
    found = hashlib.sha256()
    for name, tensor in sorted(policy.model.state_dict().items()):
        if name.startswith(FROZEN):
            found.update(name.encode() + tensor.numpy().tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("stage", ["sft", "rft"])
def test_frozen_means_frozen(
    stage: str,
    new_speaker: Callable[[], Policy],
    digits: Corpus,
    tmp_path: Path,
    console: Console,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policy = new_speaker()
    before, frozen = weights_of(policy), digest(policy)
    with_gradient: list[set[str]] = []
    step = Engine.step

    def spy(engine: Engine, number: int) -> float:
        named = engine.policy.model.named_parameters()
        with_gradient.append({name for name, p in named if p.grad is not None})
        return step(engine, number)

    monkeypatch.setattr(Engine, "step", spy)
    if stage == "sft":
        train_sft(policy, digits, SFTConfig(1, 2, {"digits": 2}), tmp_path, Watch(console))
    else:
        config = RFTConfig(1, {"digits": 4}, 4, {"digits": 3}, beta=0.1)
        train_rft(policy, {"digits": Digits("3")}, digits, config, tmp_path, Watch(console))
    assert with_gradient == [set(trainable_parameters(policy.model))]
    assert digest(policy) == frozen
    assert not same_weights(weights_of(policy, TRAINED), {n: before[n] for n in weights_of(policy, TRAINED)})


def test_the_reference_shares_encoders_only(new_policy: Callable[[], Policy]) -> None:
    policy = new_policy()
    reference = reference_copy(policy.model)
    assert reference.model.visual is policy.model.model.visual
    assert reference.geometry_encoder is policy.model.geometry_encoder
    assert reference.lm_head.weight is reference.model.language_model.embed_tokens.weight
    assert not any(p.requires_grad for p in reference.parameters())
    assert set(trainable_parameters(policy.model)), "copying must not freeze the original"
    ours = {id(p) for n, p in policy.model.named_parameters() if n.startswith(TRAINED)}
    assert not ours & {id(p) for p in reference.parameters()}


def one_step(engine: Engine, corpus: Corpus, step: int) -> None:
    from rft3d.training.sft import task_loss

    loss, _ = task_loss(engine, corpus, corpus.items("digits")[step : step + 3])
    engine.backward(loss)
    engine.step(step)


def test_checkpoints_restore_everything_and_replace_each_other(
    new_policy: Callable[[], Policy], digits: Corpus, tmp_path: Path
) -> None:
    policy = new_policy()
    engine = Engine(policy, OptimConfig(name="muon"), 10)
    assert engine.resume(tmp_path) == 0
    one_step(engine, digits, 0)
    engine.save(tmp_path, 1)
    one_step(engine, digits, 1)
    (tmp_path / "step-000009.tmp").mkdir()  # of an interrupted save
    (tmp_path / "step-000000").mkdir()
    engine.save(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000001", "step-000002"]
    saved = weights_of(policy)
    one_step(engine, digits, 2)
    assert farthest(weights_of(policy), saved) > 1e-4
    assert engine.resume(tmp_path) == 2
    assert same_weights(weights_of(policy), saved)
    with pytest.raises(ValueError, match="run of 10 steps, this one has 11"):
        Engine(new_policy(), OptimConfig(name="muon"), 11).resume(tmp_path)


def test_the_result_lies_part_of_the_way(new_policy: Callable[[], Policy], digits: Corpus) -> None:
    first, ends = weights_of(new_policy()), []
    for share in (1.0, 0.25):
        policy = new_policy()
        engine = Engine(policy, OptimConfig(lr=1e-2, interpolate=share), 2)
        for step in range(2):
            assert farthest(weights_of(policy), first) < 0.02, "only the last step goes back"
            one_step(engine, digits, step)
        ends.append(weights_of(policy))
    between = {name: value.lerp(ends[0][name], 0.25) for name, value in first.items()}
    assert farthest(ends[1], between) < 1e-7 < 1e-3 < farthest(ends[0], first)


def test_a_save_that_breaks_leaves_the_older_checkpoint(
    new_policy: Callable[[], Policy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(new_policy(), OptimConfig(), 10)
    engine.save(tmp_path, 1)

    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(engine.accelerator, "save_state", broken)
    with pytest.raises(OSError, match="disk full"):
        engine.save(tmp_path, 2)
    assert engine.resume(tmp_path) == 1


def test_clipping_bounds_the_step_and_reports_the_norm(
    new_policy: Callable[[], Policy], digits: Corpus
) -> None:
    from rft3d.training.sft import task_loss

    for limit, clipped in ((0.0, False), (0.01, True)):
        engine = Engine(new_policy(), OptimConfig(max_grad_norm=limit), 10)
        loss, _ = task_loss(engine, digits, digits.items("digits"))
        engine.backward(loss)
        whole = torch.cat([p.grad.flatten() for p in engine.placement.parameters if p.grad is not None])
        for optimizer in engine.placement.optimizers:
            optimizer.step = lambda: None  # type: ignore[method-assign]
            optimizer.zero_grad = lambda set_to_none=True: None  # type: ignore[method-assign]
        before = float(whole.norm())
        assert engine.step(0) == pytest.approx(before, rel=1e-4)
        after = torch.cat([p.grad.flatten() for p in engine.placement.parameters if p.grad is not None])
        assert float(after.norm()) == pytest.approx(0.01 if clipped else before, rel=1e-3)


def test_a_missing_tracker_is_named(new_policy: Callable[[], Policy], tmp_path: Path) -> None:
    """Trackers are accelerate's; one whose package is absent must not be dropped in silence."""
    with pytest.raises(ValueError, match="tracker clearml is not installed"):
        Engine(new_policy(), OptimConfig(), 1, Tracking(("clearml",), tmp_path, "run"))
