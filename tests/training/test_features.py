"""The feature store: what is written is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rft3d.files import CacheFolder
from rft3d.models.features import FeatureCache
from rft3d.models.geometry import FrozenFeatures
from rft3d.training.clips import ClipFeatures, FeatureStore, write_features
from rft3d.training.data import Corpus


def fake(index: int, geometry: bool = True) -> FrozenFeatures:
    generator = torch.Generator().manual_seed(index)
    cells = torch.randn(12, 4, 6, generator=generator) if geometry else None
    return FrozenFeatures(torch.randn(12, 8, generator=generator), cells, torch.tensor([[1, 4, 6]] * 2))


@pytest.mark.parametrize("geometry", [True, False])
def test_round_trip(tmp_path: Path, geometry: bool) -> None:
    clips = [fake(i, geometry) for i in range(5)]
    write_features(tmp_path, [fake(9), *clips])  # an older store in the same folder
    store = write_features(tmp_path, clips)
    for again in (store, FeatureStore(tmp_path, 5)):
        assert len(again) == 5
        for clip, read in zip(clips, again, strict=True):
            assert torch.equal(read.vision, clip.vision.half())
            assert torch.equal(read.grid, clip.grid)
            assert (read.geometry is None) == (clip.geometry is None)
            if read.geometry is not None and clip.geometry is not None:
                assert torch.equal(read.geometry, clip.geometry.half())
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_damaged_clip_of_a_store_is_an_error(tmp_path: Path) -> None:
    store = write_features(tmp_path, [fake(0), fake(1)])
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(b"half")
    with pytest.raises(ValueError, match="features of clip 1 are gone or damaged"):
        store[1]


def test_features_of_a_real_encoder_survive_half_precision(tmp_path: Path, corpus: Corpus) -> None:
    store = write_features(tmp_path, corpus.features)
    for kept, read in zip(corpus.features, store, strict=True):
        assert read.tokens_per_frame() == kept.tokens_per_frame()
        torch.testing.assert_close(read.vision.float(), kept.vision, atol=1e-3, rtol=1e-3)


def test_features_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    large = FrozenFeatures(1e6 * fake(0).vision, None, fake(0).grid)
    with pytest.raises(ValueError, match=r"vision features reach .* beyond float16"):
        write_features(tmp_path, [large])


def test_clips_come_from_memory_cache_or_encoders(tmp_path: Path, new_policy: Any, clips: Any) -> None:
    policy = new_policy()
    policy.use_features(FeatureCache(tmp_path, keep=2))
    loads: list[int] = []

    def load(index: int) -> Any:
        loads.append(index)
        return clips[index]

    features = ClipFeatures(policy, len(clips), load)
    done: list[int] = []
    features.prepare(4, done.append)
    assert done == [4, 2] and loads == [0, 1, 2, 3, 4, 5]
    first = [features[i] for i in range(6)]
    assert loads == [0, 1, 2, 3, 4, 5], "neither pictures nor encoders are needed again"
    policy.model.train()
    CacheFolder(tmp_path).clear()
    policy.features.forget()
    again = [features[i] for i in range(6)]  # evicted: read and encoded again, alone this time
    assert len(loads) > 6 and policy.model.training
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a.vision.float(), b.vision.float(), atol=1e-2, rtol=1e-2)
    assert features[-1] is features[5]
    other = new_policy()
    other.use_features(policy.features)
    features.serve(other)
    assert features[5] is features[-1], "another policy with the same encoders goes on with the store"
    with pytest.raises(IndexError):
        features[6]


def test_without_a_cache_what_is_not_in_memory_is_encoded_again(new_policy: Any, clips: Any) -> None:
    loads: list[int] = []

    def load(index: int) -> Any:
        loads.append(index)
        return clips[index]

    policy = new_policy()
    policy.use_features(FeatureCache(keep=1))
    features = ClipFeatures(policy, len(clips), load)
    first, other, again = features[2], features[4], features[2]
    assert loads == [2, 4, 2] and other is not first
    torch.testing.assert_close(first.vision, again.vision, atol=0, rtol=0)
