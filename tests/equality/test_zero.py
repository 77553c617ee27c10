"""DeepSpeed ZeRO-2: the order in which the engine calls it, and, where it is installed, two real ranks.

The stand-in of the first tests has the part of DeepSpeed's engine that is used here, and its habits: gradients
pile up until the boundary, ``step`` clips, updates and resets, and leaves a step out whose gradient is no number.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.equality import two_ranks, zero_ranks
from tests.tiny import farthest

from rft3d.training import engine as engine_module
from rft3d.training import placement
from rft3d.training.config import OptimConfig
from rft3d.training.engine import Engine
from rft3d.training.optim import NonFiniteError, build_optimizers
from rft3d.training.placement import SplitState

TOLERANCE = 1e-4


class StandIn:
    """One process of DeepSpeed's engine around plain weights."""

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, limit: float) -> None:
        self.module, self.inner, self.limit = model, optimizer, limit
        self.optimizer = SimpleNamespace(overflow=False)
        self.calls: list[str] = []
        self.boundary = False
        self.norm = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def train(self, mode: bool = True) -> None:
        self.module.train(mode)

    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None:
        self.boundary = is_boundary
        self.calls.append("last" if is_boundary else "more")

    def backward(self, loss: torch.Tensor) -> None:
        self.calls.append("backward")
        loss.backward()

    def step(self) -> None:
        assert self.boundary, "DeepSpeed would do nothing"
        self.calls.append("step")
        trained = [p for p in self.module.parameters() if p.requires_grad and p.grad is not None]
        self.norm = float(torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None]))
        self.optimizer.overflow = not math.isfinite(self.norm)
        if not self.optimizer.overflow:
            torch.nn.utils.clip_grad_norm_(trained, self.limit or math.inf)
            self.inner.step()
        self.inner.zero_grad()

    def get_global_grad_norm(self) -> float:
        return self.norm


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(self: SplitState) -> tuple[Any, Any]:
        optimizers = build_optimizers(self.model, self.config)
        return StandIn(self.model, optimizers[0], self.config.max_grad_norm), optimizers

    monkeypatch.setattr(engine_module, "wants_zero", lambda: True)
    monkeypatch.setattr(SplitState, "place", place)
    monkeypatch.setattr(SplitState, "plain", lambda self: self.model)


@pytest.mark.parametrize("name", zero_ranks.NAMES)
def test_the_engine_trains_the_same_through_deepspeeds_calls(
    name: str, tmp_path: Path, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[Engine] = []
    made = Engine.__post_init__
    monkeypatch.setattr(Engine, "__post_init__", lambda self: made(self) or engines.append(self))
    through = two_ranks.trained_weights(two_ranks.train(name, tmp_path / "zero"))
    calls = engines[0].network.calls
    assert calls[0] in ("more", "last") and calls[-1] == "step"
    for at, call in enumerate(calls):  # a boundary is said before each backward, and true before a step
        if call == "step":
            assert calls[at - 2 : at] == ["last", "backward"]
        elif call == "more":
            assert calls[at + 1] == "backward" and calls[at + 2] != "step"
    assert "more" in calls
    monkeypatch.setattr(engine_module, "wants_zero", lambda: False)
    plain = two_ranks.trained_weights(two_ranks.train(name, tmp_path / "plain"))
    assert farthest(through, plain) < 1e-12


def test_a_gradient_that_is_no_number_updates_nothing(tmp_path: Path, stand_in: None) -> None:
    policy, _ = two_ranks.setting()
    engine = Engine(policy, OptimConfig(), 2)
    before = two_ranks.trained_weights(policy)
    with engine.accumulating(last=True):
        engine.backward(policy.model.lm_head.weight.sum() * float("nan"))
    with pytest.raises(NonFiniteError):
        engine.step(0)
    assert farthest(before, two_ranks.trained_weights(policy)) == 0 and engine.updates == 0


def test_what_zero_cannot_do_is_said(stand_in: None, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = two_ranks.setting()
    with pytest.raises(ValueError, match=r"optim\.name='muon'.*use adamw"):
        Engine(policy, OptimConfig(name="muon"), 1)
    with pytest.raises(ValueError, match=r"optim\.interpolate=0\.5 .*use 1"):
        Engine(policy, OptimConfig(interpolate=0.5), 1)
    monkeypatch.undo()
    accelerator: Any = SimpleNamespace(deepspeed_plugin=SimpleNamespace(zero_stage=3))
    with pytest.raises(ValueError, match=r"zero_stage=3: only ZeRO-2"):
        SplitState(accelerator, policy.model, OptimConfig())
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="not installed"):
        placement.wants_zero()


def test_a_checkpoint_of_another_launch_is_refused(
    tmp_path: Path, stand_in: None, new_run: Callable[[Path], Engine]
) -> None:
    engine = new_run(tmp_path)
    with pytest.raises(ValueError, match="was saved without DeepSpeed"):
        engine.resume(tmp_path)


@pytest.fixture
def new_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Engine]:
    """A maker of engines under DeepSpeed, beside a checkpoint that was saved without it."""

    def make(folder: Path) -> Engine:
        monkeypatch.setattr(engine_module, "wants_zero", lambda: False)
        Engine(two_ranks.setting()[0], OptimConfig(), 2).save(folder, 1)
        monkeypatch.setattr(engine_module, "wants_zero", lambda: True)
        return Engine(two_ranks.setting()[0], OptimConfig(), 2)

    return make


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two ranks trained under DeepSpeed itself."""
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed: pip install '.[deepspeed]'")
    out = tmp_path_factory.mktemp("zero")
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    script = Path(zero_ranks.__file__)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(script), str(out)], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", zero_ranks.NAMES)
def test_two_ranks_of_deepspeed_train_as_one_process(
    name: str, ranks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_ranks, "setting", zero_ranks.setting)
    alone = two_ranks.trained_weights(two_ranks.train(name, tmp_path))
    found = load_file(ranks / f"{name}.safetensors")
    start = two_ranks.trained_weights(zero_ranks.setting()[0])
    assert farthest(found, alone) < TOLERANCE < 0.1 * farthest(found, start)
    logs = [
        [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        for place in (tmp_path, ranks / name)
    ]
    for ours, theirs in zip(*logs, strict=True):
        for key in ("loss", "grad_norm"):
            assert ours[key] == pytest.approx(theirs[key], abs=1e-4)


@pytest.mark.slow
def test_deepspeed_resumes_and_refuses_nan(ranks: Path) -> None:
    whole, cut = load_file(ranks / "sft.safetensors"), load_file(ranks / "cut.safetensors")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    assert (ranks / "nan-kept").is_file()
