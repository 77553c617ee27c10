"""The features of a corpus: from memory, from disk or from the encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rft3d.files import CacheFolder
from rft3d.models.features import ClipFeatures, FeatureCache
from rft3d.training.clips import Clips, clip_features


class Loaded(Clips):
    """Clips from memory that note which of them were looked at."""

    def __init__(self, clips: Sequence[Any]) -> None:
        super().__init__([(Path(), ("a", "b"))] * len(clips), {})
        self.__dict__.update(pictures=clips, loads=[])

    def load(self, clip: int) -> Any:
        self.__dict__["loads"].append(clip)
        return self.__dict__["pictures"][clip]


def of(policy: Any, clips: Any) -> tuple[ClipFeatures, list[int]]:
    loaded = Loaded(clips)
    return clip_features(policy, loaded), loaded.__dict__["loads"]


def test_clips_come_from_memory_cache_or_encoders(tmp_path: Path, new_policy: Any, clips: Any) -> None:
    policy = replace(new_policy(), features=FeatureCache(tmp_path, keep=2))
    features, loads = of(policy, clips)
    features.prepare(range(4))
    features.prepare(range(4, 6))
    assert loads == [0, 1, 2, 3, 4, 5]
    first = [features[i] for i in range(6)]
    assert loads == [0, 1, 2, 3, 4, 5], "neither pictures nor encoders are needed again"
    policy.model.train()
    CacheFolder(tmp_path).clear()
    again = [features[i] for i in range(6)]  # evicted: read and encoded again, alone this time
    assert len(loads) > 6 and policy.model.training
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(a.vision.float(), b.vision.float(), atol=1e-2, rtol=1e-2)
    assert features[-1] is features[5]
    with pytest.raises(IndexError):
        features[6]


def test_without_a_folder_what_is_not_in_memory_is_encoded_again(new_policy: Any, clips: Any) -> None:
    features, loads = of(replace(new_policy(), features=FeatureCache(keep=1)), clips)
    first, other, again = features[2], features[4], features[2]
    assert loads == [2, 4, 2] and other is not first
    torch.testing.assert_close(first.vision, again.vision, atol=0, rtol=0)


def test_features_survive_half_precision(tmp_path: Path, new_policy: Any, clips: Any) -> None:
    exact, _ = of(new_policy(), clips)
    half, _ = of(replace(new_policy(), features=FeatureCache(tmp_path, "float16")), clips)
    for kept, read in zip(exact, half, strict=True):
        assert torch.equal(read.grid, kept.grid)
        torch.testing.assert_close(read.vision.float(), kept.vision, atol=1e-3, rtol=1e-3)
