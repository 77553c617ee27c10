"""The price of a run against what is measured on a tiny model, and against known numbers of the large one."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.real import GEOMETRY, make_clips, make_real
from tests.models.test_encoders import KINDS
from tests.tiny import make_policy

from rft3d.cli import main
from rft3d.cost.estimate import (
    Pass,
    QuestionSize,
    activation_bytes,
    kept_memory,
    kv_bytes,
    stage_cost,
    trained_parameters,
)
from rft3d.cost.price import estimate_recipe
from rft3d.cost.sizes import Sizes, full_config, released, sizes_of
from rft3d.models import Policy
from rft3d.models.geometry import ENCODERS
from rft3d.models.prefix import Row, pack
from rft3d.prompts import Prompt
from rft3d.training.config import LoRAConfig, MemoryConfig, OptimConfig, Plan, RFTConfig, SFTConfig
from rft3d.training.optim import build_optimizers

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
THREE_B = released("qwen2.5-vl-3b-vggt")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return make_policy()


@pytest.fixture(scope="module")
def sizes(policy: Policy) -> Sizes:
    return sizes_of(policy.model.config.to_dict())


def counted(policy: Policy, *prefixes: str) -> int:
    return sum(p.numel() for name, p in policy.model.named_parameters() if name.startswith(prefixes))


def packed_row(policy: Policy, frames: int, suffixes: int, length: int) -> tuple[Any, list[Any], Pass]:
    """A packed row, its features, and the same row as the estimate sees it."""
    clip = [np.zeros((56, 84, 3), np.uint8)] * frames
    features = policy.encode([clip])
    start = policy.row(Prompt("<image>" * frames + "Detect the boxes.", frames), features[0].grid)
    row = Row(start.prefix, start.positions, [[5] * length] * suffixes, [length] * suffixes)
    return pack([row], policy.pad_id), features, Pass(1, len(start.prefix), suffixes, length, length)


def test_parameters_of_the_tiny_policy_to_the_last(policy: Policy, sizes: Sizes) -> None:
    assert sizes.geometry is not None
    assert sizes.text.parameters == counted(policy, "model.language_model.", "lm_head.")
    assert sizes.vision.parameters == counted(policy, "model.visual.")
    assert sizes.geometry.parameters == counted(policy, "geometry_encoder.")
    assert sizes.geometry.merger_parameters == counted(policy, "geometry_merger.")
    assert sizes.trained + sizes.frozen == sum(p.numel() for p in policy.model.parameters())
    off = sizes_of(make_policy(use_geometry=False).model.config.to_dict())
    assert off.geometry is None and off.trained == sizes.text.parameters


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("backbone", ["qwen2.5", "qwen3"])
def test_every_backbone_has_a_price(backbone: str, kind: str) -> None:
    small = GEOMETRY if kind == "vggt" else KINDS[kind][1]
    policy = make_real(backbone, geometry_encoder_type=kind, geometry_encoder=small.to_dict())
    sizes = sizes_of(policy.model.config.to_dict())
    assert sizes.geometry is not None and sizes.geometry.parameters == counted(policy, "geometry_encoder.")
    assert sizes.trained + sizes.frozen == sum(p.numel() for p in policy.model.parameters())
    features = policy.encode(make_clips(2))[0]
    assert features.geometry is not None
    held = features.vision.numel() + features.geometry.numel()
    assert sizes.feature_width * len(features.vision) == held
    inside, across = small.attention
    pairs = sizes.geometry.flops(2, 6) - 2 * sizes.geometry.flops(1, 6)  # what only frames together cost
    seen = (6 + small.specials) ** 2
    assert pairs == pytest.approx(4.0 * small.embed_dim * across * 2 * seen) and inside > 0


def test_parameters_of_the_released_models() -> None:
    """Published totals: VGGT-1B's aggregator, VG-LLM's merger, Qwen2.5-VL-3B and -7B."""
    assert THREE_B.geometry is not None
    config = full_config("qwen2.5-vl-3b-vggt").to_dict()
    config["geometry_encoder"] |= {"output_round": 23}  # all that the checkpoint holds
    whole = sizes_of(config).geometry
    assert whole is not None and whole.parameters == 909_112_320
    assert THREE_B.geometry.merger_parameters == 41_951_232
    assert THREE_B.text.parameters + THREE_B.vision.parameters == 3_754_622_976
    seven = released("qwen2.5-vl-7b-vggt")
    assert seven.text.parameters + seven.vision.parameters == 8_292_166_656


@pytest.mark.parametrize(
    ("prompt", "frames", "patches", "expected"),
    [
        (1100, 4, 1100, (5.6, 10.4, 6.3, 8.1, 64.0, 20.5)),
        (2500, 10, 1000, (12.8, 28.7, 14.8, 16.7, 134.0, 30.0)),
        (6000, 24, 1000, (30.8, 99.9, 38.6, 40.8, 327.0, 56.3)),
        (8200, 32, 1025, (42.1, 163.4, 55.4, 57.8, 463.0, 74.6)),
    ],
)
def test_unit_costs_of_the_3b_model(
    prompt: int, frames: int, patches: int, expected: tuple[float, ...]
) -> None:
    """TFLOPs worked out by hand before: tower, VGGT, prefill, one row of 300 tokens, 8 rows, packed row."""
    assert THREE_B.geometry is not None
    row, packed = Pass(1, prompt, 1, 300, 300), Pass(1, prompt, 8, 300, 300)
    found = [
        THREE_B.vision.flops(frames, patches),
        THREE_B.geometry.flops(frames, patches),
        *(THREE_B.text.forward_flops(each.tokens, each.pairs) for each in (Pass(1, prompt, 0, 0, 0), row)),
        8 * THREE_B.text.forward_flops(row.tokens, row.pairs),
        THREE_B.text.forward_flops(packed.tokens, packed.pairs),
    ]
    np.testing.assert_allclose(np.array(found) / 1e12, expected, rtol=0.04)


@pytest.mark.parametrize(("frames", "suffixes", "length"), [(2, 1, 4), (4, 4, 8), (8, 4, 40), (3, 8, 60)])
def test_activations_against_what_autograd_saves(
    policy: Policy, sizes: Sizes, frames: int, suffixes: int, length: int
) -> None:
    packed, features, row = packed_row(policy, frames, suffixes, length)
    parameters = {p.untyped_storage().data_ptr() for p in policy.model.parameters()}
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in parameters:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    fused = policy.model.fuse(features).detach()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        policy.model(packed, features, fused=fused)
    # the table of log-probabilities is counted with the logits
    logits = len(packed.targets) * sizes.text.vocab * 4
    measured = sum(tensor.untyped_storage().nbytes() for tensor in held.values()) - logits
    assert activation_bytes(sizes, row, "fp32") == pytest.approx(measured, rel=0.08)


def test_gradient_checkpointing_keeps_the_layers_inputs(policy: Policy, sizes: Sizes) -> None:
    _, _, row = packed_row(policy, 4, 4, 8)
    whole, light = (activation_bytes(sizes, row, "fp32", on) for on in (False, True))
    inputs = sizes.text.layers * row.tokens * sizes.text.hidden * 4
    assert inputs < light < whole


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_gradients_and_optimizer_state_are_counted(sizes: Sizes, name: Any) -> None:
    policy = make_policy()
    optim = OptimConfig(name=name)
    kept = kept_memory(SFTConfig(optim=optim), sizes, Plan())
    trained = [p for p in policy.model.parameters() if p.requires_grad]
    optimizers = build_optimizers(policy.model, optim)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    state = sum(
        tensor.nbytes
        for optimizer in optimizers
        for values in optimizer.state.values()
        for tensor in values.values()
        if torch.is_tensor(tensor) and tensor.numel() > 1
    )
    assert kept["trained weights"] == sum(p.nbytes for p in trained)
    assert kept["gradients"] == sum(p.grad.nbytes for p in trained if p.grad is not None)
    assert kept["optimizer"] == state
    part_of_the_way = SFTConfig(optim=replace(optim, interpolate=0.5))
    assert kept_memory(part_of_the_way, sizes, Plan())["optimizer"] == state + kept["trained weights"]
    assert kept["frozen encoders"] == sum(p.nbytes for p in policy.model.parameters() if not p.requires_grad)


def test_keys_and_values_are_counted(policy: Policy, sizes: Sizes) -> None:
    from rft3d.models.kv_cache import PrefixCache

    packed, features, row = packed_row(policy, 2, 1, 1)
    cache = PrefixCache(sizes.text.layers, packed.layout.prefix_valid, 8)
    with torch.no_grad():
        policy.model.prefill(packed, features, cache)
    found = sum(t.nbytes for layer in range(sizes.text.layers) for t in cache.prefix_of(layer))
    assert kv_bytes(sizes, row.prefix, "fp32") == found


def test_adapters_are_counted(sizes: Sizes) -> None:
    from rft3d.training.lora import add_lora

    policy, config = make_policy(), LoRAConfig(rank=3)
    add_lora(policy.model, config, 0)
    found = sum(p.numel() for p in policy.model.parameters() if p.requires_grad)
    assert trained_parameters(RFTConfig(lora=config), sizes) == found


def test_what_changes_the_price() -> None:
    q = {"detection": QuestionSize(4, 1008, 140, 300, 2000)}
    base = RFTConfig(
        steps=1, prompts_per_step={"detection": 8}, max_new_tokens={"detection": 2000}, micro_groups=1
    )
    plan = Plan(gpus=8, parallel="fsdp2", precision="bf16")

    def price(stage: RFTConfig = base, where: Plan = plan) -> Any:
        return stage_cost("0", stage, q, THREE_B, where)

    plain = price()
    alone = price(where=replace(plan, parallel="ddp"))
    assert alone.memory["optimizer"] == pytest.approx(8 * plain.memory["optimizer"])
    assert alone.step_flops == plain.step_flops
    light = price(replace(base, memory=MemoryConfig(gradient_checkpointing=True)))
    assert light.phases["update"]["activations"] < 0.2 * plain.phases["update"]["activations"]
    assert light.flops["update"] == pytest.approx(4 / 3 * plain.flops["update"])
    tied = price(replace(base, beta=0.04))
    assert tied.memory["reference"] == 2 * THREE_B.trained
    assert tied.flops["fixed log-probabilities"] == pytest.approx(plain.flops["update"] / 3)
    lora = price(replace(base, beta=0.04, lora=LoRAConfig(rank=16)))
    assert "reference" not in lora.memory and lora.trained < 0.02 * plain.trained
    assert (
        price(replace(base, micro_groups=8), replace(plan, gpus=1)).peak
        > price(where=replace(plan, gpus=1)).peak
    )


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*_4b_*.py")), ids=lambda path: path.stem)
def test_full_size_recipes_have_a_price_that_fits_their_gpus(path: Path) -> None:
    found = estimate_recipe(path, [])
    wanted = "qwen3-vl-4b-da3" if path.stem.endswith("_da3") else "qwen2.5-vl-3b-vggt"
    assert found.assumed == () and found.backbone == wanted
    for stage in found.stages:
        assert 5e9 < stage.peak < 75e9, "an 80 GB GPU, with room for the allocator"
        for question in stage.questions.values():
            assert question.visual == 252 * question.frames


def test_the_verb_reads_a_folder_of_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from rft3d.evaluation.dataset import write_dataset
    from rft3d.scenes import RoomConfig, iter_rooms

    make_policy().save(tmp_path / "model")
    small = RoomConfig(frames=2, width=84, height=56, max_objects=3)
    write_dataset(iter_rooms(range(1), small), tmp_path / "data", seed=0)
    recipe = str(RECIPES / "rooms_sft.py")
    files = [
        text
        for task in ("detection", "grounding", "spatial")
        for text in (f"--samples.{task}", str(tmp_path / "data" / f"samples.{task}.jsonl"))
    ]
    arguments = ["estimate", recipe, "--model", str(tmp_path / "model"), *files]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "assumed: detection:" in text and "peak" in text and "memory of one GPU" in text
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stages"][0]["questions"]["detection"]["visual"] == 2 * (84 // 28) * (56 // 28)
    assert main(["estimate", recipe]) == 2
    assert "give --model FOLDER or --plan.backbone" in capsys.readouterr().err
    assert main(["estimate", recipe, "--plan.backbone", "qwen2.5-vl-3b-vggt"]) == 2
    assert "no samples of detection at data/rooms/samples.detection.jsonl" in capsys.readouterr().err
    assert main(["estimate", recipe, "--plan.backbone", "llama"]) == 2
    assert "'llama'; it must be one of qwen2.5-vl-3b-vggt" in capsys.readouterr().err


def test_other_architectures_are_refused() -> None:
    with pytest.raises(ValueError, match="model_type 'llama'; costs are known for qwen2_5_vl, qwen3_vl only"):
        sizes_of({"model_type": "llama"})
    with pytest.raises(ValueError, match="has no 'hidden_size'"):
        sizes_of({"model_type": "qwen2_5_vl"})


def test_deepspeed_that_is_not_installed_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "deepspeed" else found(name)
    )
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert main(["train", str(RECIPES / "rft_4b_detection.py")]) == 2
    assert "pip install '.[deepspeed]'" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((RECIPES / "accelerate").glob("*.yaml")), ids=lambda path: path.stem)
def test_launch_files_are_what_accelerate_reads(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser
    from accelerate.utils import DistributedType

    config = load_config_from_file(str(path))
    assert config.num_processes == 8 * config.num_machines and config.mixed_precision == "bf16"
    assert config.num_machines == (2 if "_2x8gpu" in path.stem else 1)
    kind = {"ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED"}[path.stem.split("_")[0]]
    assert config.distributed_type == DistributedType(kind)
    options = vars(launch_command_parser().parse_args(["x.py"]))
    for settings in (getattr(config, f"{name}_config", {}) for name in ("fsdp", "deepspeed")):
        unknown = set(settings) - set(options)
        assert not unknown, f"accelerate launch has no {unknown}"
    assert (kind == "FSDP") == (getattr(config, "fsdp_config", {}).get("fsdp_version") == 2)
    assert (kind == "DEEPSPEED") == (getattr(config, "deepspeed_config", {}).get("zero_stage") == 2)


def test_every_launch_exists_for_one_node_and_for_two() -> None:
    names = {path.stem for path in (RECIPES / "accelerate").glob("*.yaml")}
    assert names == {f"{kind}_{where}" for kind in ("ddp", "fsdp2", "zero2") for where in ("8gpu", "2x8gpu")}


def test_without_the_geometry_prior_nothing_of_it_is_priced() -> None:
    plain, full = (
        estimate_recipe(RECIPES / f"{name}.py", [])
        for name in ("sft_4b_perception_plain", "sft_4b_perception")
    )
    assert plain.parameters["geometry encoder"] == plain.parameters["geometry merger"] == 0
    assert plain.parameters["language model"] == full.parameters["language model"]
    assert plain.stages[0].peak < full.stages[0].peak
    assert plain.stages[0].flops["encode"] < full.stages[0].flops["encode"]
