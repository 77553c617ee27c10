"""Depth Anything 3 and Pi3 against the formulas, by the released names, and as the geometry branch of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models import reference
from tests.models.real import make_clips, make_real, shake, write_checkpoint, write_tensors
from tests.tiny import same_weights, weights_of

from rft3d.models import Policy, load_policy
from rft3d.models.blocks import GeometryEncoder
from rft3d.models.checkpoints import geometry_of, load_geometry
from rft3d.models.da3 import DA3, DA3Config
from rft3d.models.geometry import ENCODERS
from rft3d.models.vggt import Pi3, Pi3Config

ANY_VIEW = DA3Config(embed_dim=128, img_size=56, depth=6, heads=2, alternate_from=2)
METRIC = DA3Config(embed_dim=128, img_size=56, depth=3, heads=2, alternate_from=-1)
PI3 = Pi3Config(embed_dim=32, img_size=56, patch_depth=2, rounds=2, output_round=1, heads=2, registers=4)
KINDS = {"da3": (DA3, ANY_VIEW), "da3-metric": (DA3, METRIC), "pi3": (Pi3, PI3)}


def make(kind: str) -> GeometryEncoder:
    encoder, config = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = encoder(config)
    shake(made, 0)
    return made.eval()


def slow(encoder: GeometryEncoder, images: torch.Tensor) -> np.ndarray:
    weights = {n: t.double().numpy() for n, t in encoder.state_dict().items()}
    pixels, config = images.double().numpy(), encoder.config
    if isinstance(encoder, Pi3):
        return reference.permutation_equivariant(
            pixels, weights, depth=config.patch_depth, heads=config.heads, patch=14
        )
    own = {n.removeprefix("model.backbone.pretrained."): t for n, t in weights.items()}
    return reference.depth_anything(
        pixels, own, depth=config.depth, heads=config.heads, start=config.alternate_from, patch=14
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(56, 56), (42, 70), (84, 28)])
def test_the_encoder_equals_the_formulas(kind: str, size: tuple[int, int]) -> None:
    """On the trained grid and on others, whose positions are resampled."""
    encoder = make(kind)
    images = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(1))
    wanted = slow(encoder, images)
    with torch.no_grad():
        fast = encoder(images[None])[0]
        exact = encoder.double()(images[None].double())[0]
    assert fast.shape == (3, size[0] // 14, size[1] // 14, encoder.config.width)
    scale = np.abs(wanted).max()
    assert np.abs(fast.numpy() - wanted).max() <= 1e-5 * scale
    assert np.abs(exact.numpy() - wanted).max() <= 1e-12 * scale
    other = slow(encoder, images.flip(0))[::-1]
    moved = np.abs(other - wanted).max() / scale
    # DA3's first frame is its reference; Pi3 has none; the metric model sees frames alone
    assert moved > 1e-3 if kind == "da3" else moved < 1e-12


def released(encoder: GeometryEncoder) -> dict[str, torch.Tensor]:
    """The encoder's tensors and some that a release holds beside them."""
    heads = {
        "da3": ("model.head.scratch.x", "model.cam_enc.x", "model.cam_dec.fc_t.x"),
        "pi3": ("point_decoder.x", "conf_head.x", "camera_decoder.x", "image_mean", "image_std"),
    }["pi3" if isinstance(encoder, Pi3) else "da3"]
    return {n: t.detach().clone() for n, t in encoder.state_dict().items()} | {
        n: torch.ones(3) for n in heads
    }


@pytest.mark.parametrize("kind", KINDS)
def test_released_names_are_read_and_told_apart(kind: str, tmp_path: Path) -> None:
    encoder = make(kind)
    write_tensors(tmp_path, released(encoder))
    shapes = {n: tuple(t.shape) for n, t in released(encoder).items()}
    if kind == "da3-metric":  # without QK-norm the released sizes' 64 values a head are all that is known
        assert geometry_of(shapes) == ("da3", METRIC)
    else:
        assert geometry_of(shapes) == (kind, encoder.config)
    fresh = KINDS[kind][0](encoder.config)
    left = load_geometry(fresh, tmp_path)
    assert len(left) == len(released(encoder)) - len(encoder.state_dict())
    assert same_weights(dict(fresh.state_dict()), dict(encoder.state_dict()))
    write_tensors(tmp_path, released(encoder) | {"model.other": torch.ones(1)})
    with pytest.raises(ValueError, match=r"has unknown 1 tensors: model\.other"):
        load_geometry(fresh, tmp_path)
    with pytest.raises(ValueError, match="hold none of vggt, da3, pi3"):
        geometry_of({"head.weight": (3,)})


def test_the_full_sizes() -> None:
    """The parameters that the published code builds at these sizes, heads left out."""
    sizes: dict[str, tuple[Any, int]] = {
        "DA3-SMALL": (DA3Config(embed_dim=384, heads=6), 22_059_008),
        "DA3-BASE": (DA3Config(), 86_583_296),
        "DA3METRIC-LARGE": (DA3Config(embed_dim=1024, heads=16, depth=24, alternate_from=-1), 304_367_616),
        "Pi3": (Pi3Config(), 757_923_840),
    }
    for name, (config, count) in sizes.items():
        with torch.device("meta"):
            made = (Pi3 if name == "Pi3" else DA3)(config)
        assert sum(p.numel() for p in made.parameters()) == count, name


@pytest.mark.parametrize("kind", ["da3", "da3-metric", "pi3"])
@pytest.mark.parametrize("backbone", ["qwen2.5", "qwen3"])
def test_a_policy_with_it_is_saved_and_loaded(kind: str, backbone: str, tmp_path: Path) -> None:
    config = KINDS[kind][1]
    named = kind.partition("-")[0]
    policy = make_real(backbone, geometry_encoder_type=named, geometry_encoder=config.to_dict())
    features = policy.encode(make_clips(2))
    assert features[0].geometry is not None and features[0].geometry.shape[-1] == config.width
    policy.save(tmp_path / "saved")
    loaded = load_policy(tmp_path / "saved")
    assert same_weights(weights_of(loaded), weights_of(policy))
    assert type(loaded.model.geometry_net) is ENCODERS[named] and loaded.model.geometry_net.config == config
    again = loaded.encode(make_clips(2))[0].geometry
    assert again is not None and torch.equal(again, features[0].geometry)


@pytest.mark.parametrize("kind", ["da3", "pi3"])
def test_plain_qwen_with_it_beside(kind: str, tmp_path: Path) -> None:
    """And VG-LLM's second layout, whose config names the encoder (``pi3`` is one of its two)."""
    policy: Policy = make_real(geometry_encoder_type=kind, geometry_encoder=KINDS[kind][1].to_dict())
    encoder = policy.model.geometry_net
    (tmp_path / "encoder").mkdir()
    write_tensors(tmp_path / "encoder", released(encoder))
    loaded = load_policy(write_checkpoint(policy, tmp_path / "qwen", "qwen"), geometry=tmp_path / "encoder")
    assert loaded.backbone == f"qwen2.5-vl-3b-{kind}"
    assert same_weights(dict(loaded.model.geometry_net.state_dict()), dict(encoder.state_dict()))
    v2 = write_checkpoint(policy, tmp_path / "v2", "v2", geometry_encoder_type=kind)
    assert same_weights(weights_of(load_policy(v2)), weights_of(policy))


def test_wrong_sizes_name_the_field() -> None:
    with pytest.raises(ValueError, match=r"DA3Config\.embed_dim=30 must be divisible"):
        DA3Config(embed_dim=30)
    with pytest.raises(
        ValueError, match=r"DA3Config\.alternate_from=12 must be -1 or lie in \(0, depth=12\)"
    ):
        DA3Config(alternate_from=12)
    with pytest.raises(ValueError, match="geometry_encoder_type='dust3r' is not supported"):
        make_real(geometry_encoder_type="dust3r")
