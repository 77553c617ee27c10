"""The frozen features of a fixed list of clips, by their place in it; kept by a ``FeatureCache``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.files import CacheFolder
from rft3d.models.features import FeatureCache
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.policy import Policy


class FeatureStore(Sequence[FrozenFeatures]):
    """``store[i]`` are the features of clip ``i`` of ``count``, in half precision in a folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self._count = folder, count
        self._cache = FeatureCache(folder, "float16")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        found = self._cache.get(str(range(self._count)[index]))
        if found is None:
            raise ValueError(
                f"{self.folder}: the features of clip {index} are gone or damaged; "
                "remove the folder and start again"
            )
        return found


def write_features(folder: Path, clips: Iterable[FrozenFeatures]) -> FeatureStore:
    """Store the features of ``clips``, in order, in the place of what is in ``folder``."""
    CacheFolder(folder).clear()
    cache, count = FeatureCache(folder, "float16", keep=0), 0
    for features in clips:
        cache.put(str(count), features)
        count += 1
    return FeatureStore(folder, count)


class ClipFeatures(Sequence[FrozenFeatures]):
    """``features[i]`` of clip ``i``: from the policy's store, else from the encoders.

    A clip that the store has lost, or never had, is encoded again: that costs time and nothing else.
    """

    def __init__(
        self, policy: Policy, count: int, load: Callable[[int], Sequence[NDArray[np.uint8]]]
    ) -> None:
        self._policy, self._load = policy, load
        self._keys: list[str | None] = [None] * count

    def __len__(self) -> int:
        return len(self._keys)

    def serve(self, policy: Policy) -> None:
        """Go on with ``policy``, which has the same frozen encoders, and its store."""
        self._policy = policy

    def prepare(self, at_once: int, on_done: Callable[[int], None]) -> None:
        """Encode what the store lacks, ``at_once`` clips at a time; pictures that are missing show here."""
        for first in range(0, len(self), at_once):
            chosen = range(first, min(first + at_once, len(self)))
            self._encode(chosen)
            on_done(len(chosen))

    def _encode(self, chosen: Sequence[int]) -> list[FrozenFeatures]:
        clips = [self._load(i) for i in chosen]
        was_training = self._policy.model.training
        found = self._policy.encode(clips)
        self._policy.model.train(was_training)
        for i, clip in zip(chosen, clips, strict=True):
            self._keys[i] = self._policy.clip_key(clip)
        return found

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        index = range(len(self))[index]
        key = self._keys[index]
        known = None if key is None else self._policy.features.get(key)
        return self._encode([index])[0] if known is None else known
