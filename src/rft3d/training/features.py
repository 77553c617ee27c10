"""Frozen features of many clips on disk, read without copying them all into memory.

Two ``.npy`` files in half precision, memory-mapped: the operating system keeps the hot part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from rft3d.models.fusion import FrozenFeatures

FILES = ("grid.npy", "geometry.npy", "vision.npy")


class FeatureStore(Sequence[FrozenFeatures]):
    """``store[i]`` are clip ``i``'s features; all clips have the same number of tokens."""

    def __init__(self, folder: Path) -> None:
        self.vision = np.load(folder / "vision.npy", mmap_mode="r")
        self.geometry = (
            np.load(folder / "geometry.npy", mmap_mode="r") if (folder / "geometry.npy").is_file() else None
        )
        self.grid = torch.from_numpy(np.load(folder / "grid.npy"))

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
                arrays[name][done] = value.half().numpy()
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
