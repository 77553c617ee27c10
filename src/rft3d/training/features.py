"""The frozen features of a fixed list of clips, by their place in it; kept by a ``FeatureCache``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.files import CacheFolder, write_text
from rft3d.models.features import FeatureCache
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.policy import Policy

_COUNT = "count"


class FeatureStore(Sequence[FrozenFeatures]):
    """``store[i]`` are clip ``i``'s features, in half precision in a folder, made by :func:`write_features`.

    Raises:
        FileNotFoundError: nothing was written to ``folder``, or not all of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._count = int((folder / _COUNT).read_text())
        self._cache = FeatureCache(folder, "float16")

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return FeatureStore, (self.folder,)  # another process reads the same files

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


def write_features(
    folder: Path, count: int, batches: Iterable[list[FrozenFeatures]], on_done: Callable[[int], None]
) -> FeatureStore:
    """Store ``count`` clips' features; the store can be opened only when all are written.

    Raises:
        ValueError: more or fewer clips than promised, or values that float16 cannot hold.
    """
    (folder / _COUNT).unlink(missing_ok=True)
    CacheFolder(folder).clear()  # of an earlier store
    cache, done = FeatureCache(folder, "float16", keep=0), 0
    for batch in batches:
        for features in batch:
            cache.put(str(done), features)
            done += 1
        on_done(done)
    if done != count or not count:
        raise ValueError(f"write_features was promised {count} clips but got {done}; one at least is needed")
    write_text(folder / _COUNT, str(count))
    return FeatureStore(folder)


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
            on_done(chosen.stop)

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
