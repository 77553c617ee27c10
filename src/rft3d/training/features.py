"""Frozen features of many clips, read without holding them all in memory.

:class:`FeatureStore`: two ``.npy`` files in half precision, memory-mapped, made once for a fixed list of
clips; the operating system keeps the hot part. :class:`ClipFeatures`: clips of any size through the
policy's cache (:mod:`rft3d.models.feature_cache`), which other runs share and which may lose some.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rft3d.models.feature_cache import content_key
from rft3d.models.geometry import FrozenFeatures
from rft3d.models.policy import Policy

FILES = ("grid.npy", "geometry.npy", "vision.npy")


class FeatureStore(Sequence[FrozenFeatures]):
    """``store[i]`` are clip ``i``'s features; all clips have the same number of tokens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vision = np.load(folder / "vision.npy", mmap_mode="r")
        self.geometry = (
            np.load(folder / "geometry.npy", mmap_mode="r") if (folder / "geometry.npy").is_file() else None
        )
        self.grid = torch.from_numpy(np.load(folder / "grid.npy"))

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        return FeatureStore, (self.folder,)  # another process maps the same files

    def __len__(self) -> int:
        return len(self.vision)

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        geometry = None if self.geometry is None else torch.from_numpy(np.array(self.geometry[index]))
        return FrozenFeatures(torch.from_numpy(np.array(self.vision[index])), geometry, self.grid)


def write_features(
    folder: Path, count: int, batches: Iterable[list[FrozenFeatures]], on_done: Callable[[int], None]
) -> FeatureStore:
    """Store ``count`` clips' features; the files appear under their names only when all are written."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.memmap] = {}
    done = 0
    grid: torch.Tensor | None = None
    for name in FILES:  # of an earlier store: a crash must not leave a mixture
        (folder / name).unlink(missing_ok=True)
    for batch in batches:
        if done + len(batch) > count:
            raise ValueError(f"write_features was promised {count} clips but got more")
        for features in batch:
            parts = {"vision": features.vision, "geometry": features.geometry}
            for name, value in parts.items():
                if value is None:
                    continue
                if name not in arrays:
                    arrays[name] = np.lib.format.open_memmap(
                        folder / f"{name}.npy.tmp", mode="w+", dtype=np.float16, shape=(count, *value.shape)
                    )
                half = value.half()
                if not half.isfinite().all():
                    raise ValueError(
                        f"clip {done}: its {name} features reach {float(value.abs().max()):.3g}, beyond "
                        "float16; the encoder is broken, or the features need the cache with bfloat16"
                    )
                arrays[name][done] = half.numpy()
            grid = features.grid
            done += 1
        on_done(done)
    if done != count or grid is None:
        raise ValueError(f"write_features was promised {count} clips but got {done}; one at least is needed")
    for array in arrays.values():
        array.flush()
    with (folder / "grid.npy.tmp").open("wb") as file:
        np.save(file, grid.numpy())
    for name in FILES:  # vision.npy is the last to get its name: where it stands, all of them do
        temporary = folder / f"{name}.tmp"
        if temporary.is_file():
            temporary.rename(folder / name)
    return FeatureStore(folder)


class ClipFeatures(Sequence[FrozenFeatures]):
    """``features[i]`` of clip ``i``: from memory, else from the policy's cache, else from the encoders.

    A clip that was evicted from the cache, or is not cached at all, is encoded again: that costs time and
    nothing else. ``policy`` may be replaced by another with the same frozen encoders.
    """

    def __init__(
        self,
        policy: Policy,
        count: int,
        load: Callable[[int], Sequence[NDArray[np.uint8]]],
        keep: int = 512,
    ) -> None:
        self.policy, self.load, self.keep = policy, load, keep
        self.content: list[str | None] = [None] * count
        self.recent: OrderedDict[int, FrozenFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self.content)

    def prepare(self, at_once: int, on_done: Callable[[int], None]) -> None:
        """Encode what the cache lacks, ``at_once`` clips at a time; pictures that are missing show here."""
        for first in range(0, len(self), at_once):
            chosen = range(first, min(first + at_once, len(self)))
            self._encode(chosen)
            on_done(chosen.stop)

    def _encode(self, chosen: Iterable[int]) -> None:
        clips = {i: self.load(i) for i in chosen}
        was_training = self.policy.model.training
        found = self.policy.encode(list(clips.values()))
        self.policy.model.train(was_training)
        self.policy.features.clear()  # they are kept here
        for (i, clip), features in zip(clips.items(), found, strict=True):
            self.content[i] = content_key(clip)
            self._remember(i, features.cpu())

    def _remember(self, index: int, features: FrozenFeatures) -> None:
        self.recent[index] = features
        self.recent.move_to_end(index)
        while len(self.recent) > self.keep:
            self.recent.popitem(last=False)

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        index %= len(self)
        if index not in self.recent:
            content, cache = self.content[index], self.policy.cache
            known = cache.get(self.policy.cache_key(content)) if cache and content else None
            if known is None:
                self._encode([index])
            else:
                self._remember(index, known)
        return self.recent[index]
