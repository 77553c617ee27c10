"""The feature store: what is written is read back, and a crash leaves nothing that looks complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rft3d.files import CacheFolder
from rft3d.models.features import FeatureCache
from rft3d.models.fusion import FrozenFeatures
from rft3d.training.data import Corpus
from rft3d.training.features import ClipFeatures, FeatureStore, write_features


def fake(index: int, geometry: bool = True) -> FrozenFeatures:
    generator = torch.Generator().manual_seed(index)
    cells = torch.randn(12, 4, 6, generator=generator) if geometry else None
    return FrozenFeatures(torch.randn(12, 8, generator=generator), cells, torch.tensor([[1, 4, 6]] * 2))


@pytest.mark.parametrize("geometry", [True, False])
def test_round_trip(tmp_path: Path, geometry: bool) -> None:
    clips = [fake(i, geometry) for i in range(5)]
    seen: list[int] = []
    store = write_features(tmp_path, 5, iter([clips[:3], clips[3:]]), seen.append)
    assert seen == [3, 5]
    for again in (store, FeatureStore(tmp_path)):
        assert len(again) == 5
        for clip, read in zip(clips, again, strict=True):
            assert torch.equal(read.vision, clip.vision.half())
            assert torch.equal(read.grid, clip.grid)
            assert (read.geometry is None) == (clip.geometry is None)
            if read.geometry is not None and clip.geometry is not None:
                assert torch.equal(read.geometry, clip.geometry.half())
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("leftover", [False, True])
def test_a_crash_leaves_nothing_under_a_final_name(tmp_path: Path, leftover: bool) -> None:
    if leftover:  # an older store in the same folder must not survive in parts
        write_features(tmp_path, 1, iter([[fake(9)]]), lambda done: None)

    def batches() -> Iterator[list[FrozenFeatures]]:
        yield [fake(0), fake(1)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(tmp_path, 4, batches(), lambda done: None)
    with pytest.raises(FileNotFoundError):
        FeatureStore(tmp_path)
    store = write_features(tmp_path, 4, iter([[fake(i) for i in range(4)]]), lambda done: None)
    assert torch.equal(store[3].vision, fake(3).vision.half())


@pytest.mark.parametrize("count", [1, 3])
def test_the_promised_number_is_checked(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match=f"promised {count} clips but got"):
        write_features(tmp_path, count, iter([[fake(0), fake(1)]]), lambda done: None)
    with pytest.raises(FileNotFoundError):
        FeatureStore(tmp_path)


def test_a_damaged_clip_of_a_store_is_an_error(tmp_path: Path) -> None:
    write_features(tmp_path, 2, iter([[fake(0), fake(1)]]), lambda done: None)
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(b"half")
    with pytest.raises(ValueError, match="features of clip 1 are gone or damaged"):
        FeatureStore(tmp_path)[1]


def test_features_of_a_real_encoder_survive_half_precision(tmp_path: Path, corpus: Corpus) -> None:
    store = write_features(tmp_path, len(corpus.features), iter([list(corpus.features)]), lambda done: None)
    for kept, read in zip(corpus.features, store, strict=True):
        assert read.tokens_per_frame() == kept.tokens_per_frame()
        torch.testing.assert_close(read.vision.float(), kept.vision, atol=1e-3, rtol=1e-3)


def test_features_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    large = FrozenFeatures(1e6 * fake(0).vision, None, fake(0).grid)
    with pytest.raises(ValueError, match=r"vision features reach .* beyond float16"):
        write_features(tmp_path, 1, iter([[large]]), lambda done: None)


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
    assert done == [4, 6] and loads == [0, 1, 2, 3, 4, 5]
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
