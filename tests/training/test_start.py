"""Where a recipe's policy comes from: device, number formats, geometry, and what is said of missing files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.models.real import make_real
from tests.tiny import Digits, farthest, make_policy, weights_of

from rft3d.cli import main
from rft3d.models import Policy, load_policy, start
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.start import LoadConfig, load_start, local_device
from rft3d.training.clips import Clips, encode_clips
from rft3d.training.config import LoRAConfig, OptimConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.lora import add_lora, merge_lora
from rft3d.training.recipes import Recipe, apply_overrides, load_recipe, require_files

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
FROZEN = ("model.visual.", "geometry_encoder.")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``load_policy`` is asked for; it gives a tiny policy on the CPU whatever the device."""
    calls: list[dict[str, Any]] = []

    def load(path: Any, device: str = "cpu", **options: Any) -> Policy:
        calls.append({"path": path, "device": device, **options})
        policy = make_policy()
        policy.model.to(options["dtype"] or torch.float32)
        return policy

    monkeypatch.setattr(start, "load_policy", load)
    return calls


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, rank: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setenv("LOCAL_RANK", str(rank))


def test_a_gpu_gets_bf16_encoders_before_anything_is_encoded(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, 8, 3)
    load_start("qwen2.5-vl-3b-vggt", LoadConfig(), "stored")
    assert asked[-1] == {"path": "qwen2.5-vl-3b-vggt", "device": "cuda:3", "dtype": torch.bfloat16}
    policy = load_start("owner/name", LoadConfig(geometry="off", box_convention="extrinsic_zxy"), "float32")
    assert asked[-1]["dtype"] == torch.float32, "trained weights are never rounded on the way"
    assert asked[-1]["geometry"] == "off" and asked[-1]["box_convention"] == "extrinsic_zxy"
    for name, parameter in policy.model.named_parameters():
        assert parameter.dtype == (torch.bfloat16 if name.startswith(FROZEN) else torch.float32), name
    load_start("runs/x", LoadConfig(geometry="facebook/VGGT-1B"), "stored", own=True)
    assert "geometry" not in asked[-1], "a stage's own folder has its encoder"
    load_start("x", LoadConfig(device="cpu", dtype="stored"), "stored")
    assert asked[-1]["device"] == "cpu" and asked[-1]["dtype"] is None


def test_the_device_is_accelerates(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import Accelerator

    assert local_device().type == Accelerator().device.type
    gpus(monkeypatch, 4, 5)
    assert local_device() == torch.device("cuda", 1)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert local_device() == torch.device("cpu")
    gpus(monkeypatch, 0, 0)
    assert local_device() == torch.device("cpu")


def test_a_cpu_widens_what_is_stored_in_bf16(tmp_path: Path) -> None:
    policy = make_policy()
    policy.model.to(torch.bfloat16)
    policy.save(tmp_path / "p")
    loaded = load_start(tmp_path / "p", LoadConfig(), "stored")
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    as_stored = load_start(tmp_path / "p", LoadConfig(dtype="stored"), "stored")
    assert {p.dtype for p in as_stored.model.parameters()} == {torch.bfloat16}


def test_weights_trained_in_float32_reach_the_next_stage_unrounded(tmp_path: Path) -> None:
    """Saved beside bf16 encoders; loading the folder in one format would round them."""
    policy = make_policy()
    start.set_formats(policy, torch.bfloat16, torch.float32)
    wanted = weights_of(policy, ("model.language_model.", "geometry_merger."))
    policy.save(tmp_path / "p")
    again = load_start(tmp_path / "p", LoadConfig(dtype="bfloat16"), "float32", own=True)
    found = weights_of(again, ("model.language_model.", "geometry_merger."))
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert again.model.model.visual.dtype == torch.bfloat16


def test_trained_weights_widen_and_frozen_ones_stay() -> None:
    policy = make_policy()
    policy.model.to(torch.bfloat16)
    buffers = {name: b.dtype for name, b in policy.model.named_buffers()}
    start.set_formats(policy, None, torch.float32)
    for name, parameter in policy.model.named_parameters():
        assert parameter.dtype == (torch.bfloat16 if name.startswith(FROZEN) else torch.float32), name
    assert policy.model.lm_head.weight is policy.model.model.language_model.embed_tokens.weight
    assert {name: b.dtype for name, b in policy.model.named_buffers()} == buffers


def test_geometry_can_be_switched_off_from_the_command_line(tmp_path: Path) -> None:
    make_real().save(tmp_path / "p")
    recipe = apply_overrides(load_recipe(RECIPES / "sft_4b_perception.py"), ["--load.geometry", "off"])
    policy = load_start(tmp_path / "p", recipe.load, "stored")
    assert not policy.model.config.use_geometry_encoder and not hasattr(policy.model, "geometry_encoder")


@pytest.mark.parametrize("merger", [False, True])
def test_adapters_of_a_bf16_model_are_float32_and_take_small_steps(
    merger: bool, new_speaker: Callable[[], Policy], digits: Corpus
) -> None:
    policy = new_speaker()
    policy.model.to(torch.bfloat16)
    add_lora(policy.model, LoRAConfig(rank=2, merger=merger), 0)
    for name, p in policy.model.named_parameters():
        own = ".lora_" in name or (merger and name.startswith("geometry_merger."))
        assert p.requires_grad == own and p.dtype == (torch.float32 if own else torch.bfloat16), name
    from rft3d.training.sft import task_loss

    merge_lora(policy.model)
    engine = Engine(policy, OptimConfig(lr=1e-6, weight_decay=0.0), 1, lora=LoRAConfig(rank=2, merger=merger))
    before = weights_of(policy)
    loss, _ = task_loss(engine, digits, digits.items(Digits.name)[:2])
    engine.backward(loss)
    assert engine.step(0) > 0
    after = weights_of(policy)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved and all(".lora_B" in n or n.startswith("geometry_merger.") for n in moved)
    assert farthest(before, after) < 2e-6, "steps that bf16 could not hold beside a weight of 0.01"
    if merger:
        assert any(n.startswith("geometry_merger.mlp") for n in moved)
    merge_lora(policy.model)
    assert load_policy is not None and policy.model.lm_head.weight.dtype == torch.bfloat16


def test_features_leave_the_device_as_they_are_made(
    monkeypatch: pytest.MonkeyPatch, console: Console
) -> None:
    """A chunk's features are in main memory before the next chunk is encoded."""
    policy, on_device, order = make_policy(), [0], []
    moved = FrozenFeatures.cpu
    encode = Policy.encode_keyed

    def encoding(self: Policy, *args: Any) -> list[tuple[str, FrozenFeatures]]:
        order.append(on_device[0])
        found = encode(self, *args)
        on_device[0] += len(found)
        return found

    def moving(self: FrozenFeatures) -> FrozenFeatures:
        on_device[0] -= 1
        return moved(self)

    monkeypatch.setattr(Policy, "encode_keyed", encoding)
    monkeypatch.setattr(FrozenFeatures, "cpu", moving)
    pictures = [np.full((56, 84, 3), i, np.uint8) for i in range(20)]
    clips = Clips([(Path("."), (str(i),)) for i in range(20)], {})
    monkeypatch.setattr(Clips, "load", lambda self, clip: [pictures[clip]])
    found = encode_clips(policy, clips, console)
    assert len(found) == 20 and order == [0, 0] and on_device == [0]
    assert all(f.vision.device.type == "cpu" for f in found)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.py")), ids=lambda path: path.stem)
def test_a_missing_samples_file_names_recipe_field_file_and_fix(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe: Recipe = load_recipe(path)
    for task, file in recipe.samples.items():
        others = [
            text
            for other in recipe.samples
            if other != task
            for text in (f"--samples.{other}", str(RECIPES / "rooms_sft.py"))  # any file that exists
        ]
        assert main(["train", str(path), "--model", "m", *others]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{path}: samples.{task} is {file}, which does not exist" in line
        assert f"--samples.{task} FILE" in line
    assert not list(tmp_path.iterdir()), "before anything is loaded or written"


def test_a_missing_held_out_file_is_named_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"held_out\.spatial is .*gone\.jsonl.*--held-out\.spatial"):
        require_files(Path("r.py"), {"held_out.spatial": tmp_path / "gone.jsonl"})
