"""Checkpoints in every layout that exists: the same model comes out, or an error that names what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.models.real import (
    make_clips,
    make_real,
    stock_qwen,
    tensors_of,
    write_checkpoint,
    write_tensors,
    write_vggt,
)
from tests.tiny import same_weights, weights_of
from transformers import AutoConfig, AutoModelForImageTextToText

from rft3d.models import BACKBONES, PUBLIC_WEIGHTS, Policy, load_policy
from rft3d.models.generate import Asked, Sampling
from rft3d.models.prefix import Row, pack
from rft3d.prompts import Prompt

CLIPS = make_clips(3)
PROMPT = Prompt("<image>" * 3 + "Where?", 3)


def logits_of(policy: Policy) -> torch.Tensor:
    """Log-probabilities of a fixed answer to fixed frames: what "the same model" means."""
    features = policy.encode(CLIPS)
    row = policy.row(PROMPT, features[0].grid)
    answer = [70, 71, 72]
    packed = pack([Row(row.prefix, row.positions, [answer], [3])], policy.pad_id)
    with torch.no_grad():
        return policy.model(packed, features).logps


@pytest.fixture(scope="module")
def policy() -> Policy:
    return make_real()


@pytest.mark.parametrize("layout", ["v1", "v2"])
@pytest.mark.parametrize(("shards", "lm_head"), [(1, True), (3, True), (1, False)])
def test_vgllm_layouts(policy: Policy, tmp_path: Path, layout: str, shards: int, lm_head: bool) -> None:
    """Heads, unused rounds and a stored copy of the tied embeddings are left out; all else must match."""
    folder = write_checkpoint(policy, tmp_path / "m", layout, shards=shards, lm_head=lm_head)
    loaded = load_policy(folder)
    loaded.frame_size = policy.frame_size
    assert loaded.backbone == "qwen2.5-vl-3b-vggt" and loaded.backbone in BACKBONES
    assert same_weights(weights_of(loaded), weights_of(policy))
    assert torch.equal(logits_of(loaded), logits_of(policy))
    assert loaded.box_convention == ("extrinsic_zxy" if layout == "v1" else "intrinsic_zxy")


def test_plain_qwen_with_vggt_beside_it(policy: Policy, tmp_path: Path) -> None:
    base = write_checkpoint(policy, tmp_path / "qwen", "qwen")
    vggt = write_vggt(policy, tmp_path / "vggt")
    with pytest.raises(ValueError, match="say where to take one from"):
        load_policy(base)
    loaded = load_policy(base, geometry=vggt)
    prefix = ("model.", "lm_head", "geometry_encoder")
    assert same_weights(weights_of(loaded, prefix), weights_of(policy, prefix))
    merger = loaded.model.geometry_merger
    assert 0.01 < float(merger.mlp[0].weight.detach().std()) < 0.03
    assert not merger.mlp[0].bias.any() and bool((merger.ln_q.weight == 1).all())
    again = load_policy(base, geometry=vggt)
    assert same_weights(weights_of(loaded), weights_of(again)), "a fresh merger is the same every time"
    assert loaded.model.config.geometry_encoder["output_round"] == 2, "the last round but one"


def test_without_the_geometry_prior(policy: Policy, tmp_path: Path) -> None:
    """``geometry='off'`` on plain Qwen is plain Qwen: the same log-probabilities as transformers' class."""
    base = write_checkpoint(policy, tmp_path / "qwen", "qwen")
    loaded = load_policy(base, geometry="off")
    loaded.frame_size = policy.frame_size
    features = loaded.encode(CLIPS)
    assert features[0].geometry is None and not hasattr(loaded.model, "geometry_encoder")
    ours = logits_of(loaded)
    row = loaded.row(PROMPT, features[0].grid)
    ids = torch.tensor([[*row.prefix, 70, 71, 72]])
    image = loaded.model.config.image_token_id
    stock = stock_qwen(policy)
    from rft3d.models.images import crop_to_cells, qwen_patches

    pixels, grid = qwen_patches(crop_to_cells(loaded.prepare(CLIPS[0]), 28))
    with torch.no_grad():
        out = stock(
            input_ids=ids, pixel_values=pixels, image_grid_thw=grid, mm_token_type_ids=(ids == image).int(),
            attention_mask=torch.ones_like(ids),
        ).logits[0, -4:-1]  # fmt: skip
    out = out.float().index_fill(-1, loaded.model.suppressed, float("-inf"))
    theirs = out.log_softmax(-1).gather(-1, torch.tensor([[70], [71], [72]]))[:, 0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    for layout in ("v1", "v2"):
        ablated = load_policy(write_checkpoint(policy, tmp_path / layout, layout), geometry="off")
        ablated.frame_size = policy.frame_size
        assert torch.equal(logits_of(ablated), ours)
    assert (logits_of(policy) - ours).abs().max() > 1e-3, "geometry must matter"


@pytest.mark.parametrize("kind", ["qwen2.5", "qwen3"])
def test_our_own_save_loads_again(tmp_path: Path, kind: str) -> None:
    """Also through the Auto classes, with nothing missing, and in the released layout on disk."""
    policy = make_real(kind)
    policy.task_options["detection"] = {"decimals": 1}
    policy.save(tmp_path / "m")
    loaded = load_policy(tmp_path / "m")
    assert loaded.frame_size == 70 and loaded.task_options == {"detection": {"decimals": 1}}
    assert loaded.backbone == policy.backbone
    assert same_weights(weights_of(loaded), weights_of(policy))
    assert torch.equal(logits_of(loaded), logits_of(policy))
    loaded.save(tmp_path / "again")
    assert same_weights(weights_of(load_policy(tmp_path / "again")), weights_of(policy))
    config = AutoConfig.from_pretrained(tmp_path / "m")
    assert type(config) is type(policy.model.config)
    auto, info = AutoModelForImageTextToText.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert type(auto) is type(policy.model)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert same_weights({n: p.detach() for n, p in auto.named_parameters()}, weights_of(policy))


@pytest.mark.parametrize("layout", ["v1", "v2", "qwen"])
def test_what_was_loaded_is_saved_in_the_v2_layout(policy: Policy, tmp_path: Path, layout: str) -> None:
    folder = write_checkpoint(policy, tmp_path / layout, layout)
    vggt = write_vggt(policy, tmp_path / "vggt")
    loaded = load_policy(folder, geometry=vggt if layout == "qwen" else None)
    loaded.save(tmp_path / "saved")
    from rft3d.models.checkpoints import tensor_files

    names = set(tensor_files(tmp_path / "saved").files)
    expected = {
        n for n in tensors_of(policy, "v2", lm_head=False) if "_head." not in n and "_blocks.3." not in n
    }
    assert names - {"lm_head.weight"} == expected
    again = load_policy(tmp_path / "saved")
    assert (
        same_weights(weights_of(again), weights_of(loaded)) and again.box_convention == loaded.box_convention
    )


def test_untied_heads(tmp_path: Path) -> None:
    policy = make_real(tied=False)
    assert not torch.equal(policy.model.lm_head.weight, policy.model.model.language_model.embed_tokens.weight)
    loaded = load_policy(write_checkpoint(policy, tmp_path / "m", "v2", tied=False))
    assert same_weights(weights_of(loaded), weights_of(policy))
    loaded.save(tmp_path / "saved")
    assert same_weights(weights_of(load_policy(tmp_path / "saved")), weights_of(policy))
    with pytest.raises(ValueError, match=r"lacks 1 tensors: lm_head.weight"):
        load_policy(write_checkpoint(policy, tmp_path / "n", "v2", tied=False, lm_head=False))
    with pytest.raises(ValueError, match=r"ties the embeddings, but lm_head.weight .* differ"):
        load_policy(write_checkpoint(policy, tmp_path / "o", "v2", tied=True))


@pytest.mark.parametrize(
    ("layout", "drop", "message"),
    [
        ("v2", "geometry_", "says use_geometry_encoder but the weights hold no geometry encoder"),
        ("v1", "vggt.", "says use_vggt_feature but the weights hold no geometry encoder"),
        ("v2", "geometry_merger", "lacks 5 tensors: geometry_merger.ln_q.weight"),
        ("v2", "frame_blocks.1.attn.qkv.bias", "lacks 1 tensors: geometry_encoder.vggt.aggregator.frame_b"),
        ("v2", "model.layers.2.mlp.up_proj", "lacks 1 tensors: model.language_model.layers.2.mlp.up_proj"),
    ],
)
def test_missing_tensors_are_named(
    policy: Policy, tmp_path: Path, layout: str, drop: str, message: str
) -> None:
    folder = write_checkpoint(policy, tmp_path / "m", layout, drop=drop)
    with pytest.raises(ValueError, match=message):
        load_policy(folder)


def test_unknown_tensors_are_named(policy: Policy, tmp_path: Path) -> None:
    folder = write_checkpoint(policy, tmp_path / "m", "v2")
    write_tensors(folder, tensors_of(policy, "v2", True) | {"adapter.weight": torch.ones(2)})
    with pytest.raises(ValueError, match=r"has unknown 1 tensors: adapter.weight"):
        load_policy(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("feature_fusion_method", "gated", "feature_fusion_method='gated'"),
        ("geometry_encoder_type", "dust3r", "geometry_encoder_type='dust3r'"),
        ("geometry_merger_type", "avg", "geometry_merger_type='avg'"),
        ("reference_frame", "middle", "reference_frame='middle'"),
        ("model_type", "llava", "model_type='llava'"),
    ],
)
def test_configs_that_ask_for_what_is_not_here(
    policy: Policy, tmp_path: Path, field: str, value: str, message: str
) -> None:
    folder = write_checkpoint(policy, tmp_path / "m", "v2", **{field: value})
    with pytest.raises(ValueError, match=message):
        load_policy(folder)


def test_vggt_release_that_does_not_fit(policy: Policy, tmp_path: Path) -> None:
    from rft3d.models.checkpoints import load_geometry

    vggt = make_real(seed=1).model.geometry_net
    name = "aggregator.global_blocks.0.attn.k_norm.weight"
    left = load_geometry(vggt, write_vggt(policy, tmp_path / "good"))
    assert len([n for n in left if "_head" in n]) == 4 and any("frame_blocks.3." in n for n in left)
    assert same_weights(
        {n: p.detach() for n, p in vggt.named_parameters()},
        {n: p.detach() for n, p in policy.model.geometry_net.named_parameters()},
    )
    with pytest.raises(ValueError, match=r"has unknown 1 tensors: aggregator.pose"):
        load_geometry(vggt, write_vggt(policy, tmp_path / "more", **{"aggregator.pose": torch.ones(1)}))
    with pytest.raises(ValueError, match=r"k_norm.weight \(8,\) instead of \(16,\)"):
        load_geometry(vggt, write_vggt(policy, tmp_path / "other", **{name: torch.ones(8)}))


def test_folders_that_are_no_checkpoint(policy: Policy, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nor a folder nor a hub repository"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no rft3d_policy.json and no config.json"):
        load_policy(tmp_path)
    folder = write_checkpoint(policy, tmp_path / "m", "v2", shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"names model-00002-of-00002.safetensors"):
        load_policy(folder)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    with pytest.raises(ValueError, match="is not a file name"):
        load_policy(folder)
    index.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="is a pickle, which is not read"):
        load_policy(folder)


def test_bf16_weights_stay_bf16_and_run(policy: Policy, tmp_path: Path) -> None:
    """On a processor: a whole greedy answer; numbers near those of float32."""
    folder = write_checkpoint(policy, tmp_path / "m", "v2")
    low = load_policy(folder, dtype=torch.bfloat16)
    low.frame_size = policy.frame_size
    assert {p.dtype for p in low.model.parameters()} == {torch.bfloat16}
    features = low.encode(CLIPS)[0]
    assert features.vision.dtype == torch.bfloat16 and features.geometry is not None
    exact = policy.encode(CLIPS)[0]
    assert exact.geometry is not None
    error = (features.geometry.float() - exact.geometry).norm() / exact.geometry.norm()
    assert error < 0.03
    rows = [low.row(PROMPT, features.grid)]
    assert len(low.sample([Asked(rows[0], features, "a")], 2, Sampling(4, 1.0, 0))[0]) == 2


def test_a_backbone_by_its_name(policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name alone stands for its public parts, here in local folders."""
    base = write_checkpoint(policy, tmp_path / "qwen", "qwen")
    vggt = write_vggt(policy, tmp_path / "vggt")
    name = "qwen2.5-vl-7b-vggt"
    monkeypatch.setitem(PUBLIC_WEIGHTS, name, (str(base), str(vggt)))
    loaded = load_policy(name)
    assert loaded.backbone == name and loaded.model.config.use_geometry_encoder
    assert not load_policy(name, geometry="off").model.config.use_geometry_encoder
    loaded.save(tmp_path / "saved")
    assert load_policy(tmp_path / "saved").backbone == name
    assert set(PUBLIC_WEIGHTS) < set(BACKBONES)
