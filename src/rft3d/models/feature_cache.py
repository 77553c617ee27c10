"""Frozen features on disk, one safetensors file a clip, shared by stages, runs and processes.

::

    FOLDER/3f/3f9a...c1.safetensors   vision, geometry, grid; a digest of the three in the header
    FOLDER/3f/.3f9a...c1.4711.tmp     being written by process 4711

The name is a hash of the frames' pixels, the frozen encoders' weights, how frames are prepared and the number
format, so a changed encoder never meets old features. Files appear by renaming: writers that race write the
same bytes and the first stays; a kill leaves a temporary file, which is removed once its process is gone. A
damaged file counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rft3d.files import CacheFolder, replacing
from rft3d.models.geometry import FrozenFeatures

Format = Literal["bfloat16", "float16", "float32"]
FORMATS: dict[str, torch.dtype] = {name: getattr(torch, name) for name in ("bfloat16", "float16", "float32")}
SUFFIX = ".safetensors"


def content_key(clip: Sequence[NDArray[np.uint8]]) -> str:
    """A hash of the pixels of a clip's frames."""
    digest = hashlib.blake2b(digest_size=16)
    for frame in clip:
        digest.update(str(frame.shape).encode())
        digest.update(np.ascontiguousarray(frame).data)
    return digest.hexdigest()


def encoder_key(model: torch.nn.Module, preparation: object, prefixes: Sequence[str]) -> str:
    """A hash of the tensors of ``model`` named ``prefixes...``, and of how frames are prepared."""
    digest = hashlib.blake2b(repr(preparation).encode(), digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(tuple(prefixes)):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass
class FeatureCache(CacheFolder):
    """See the module's docstring.

    Attributes:
        folder: where the files are; made when needed.
        dtype: number format of the features.
        limit_bytes: when more is stored, the least recently used go until nine tenths are left; 0: no limit.
    """

    dtype: Format = "bfloat16"
    limit_bytes: int = 0
    damaged: int = 0
    """Files found damaged so far (and removed)."""
    _since_count: int = field(default=0, repr=False)
    _stored: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype not in FORMATS:
            raise ValueError(f"feature cache: dtype {self.dtype!r} is none of {', '.join(FORMATS)}")
        if self.limit_bytes < 0:
            raise ValueError(
                f"feature cache: the limit must be 0 (none) or more bytes, got {self.limit_bytes}"
            )

    def path_of(self, key: str) -> Path:
        """The file of the clip ``key`` (frames and encoder; the number format is added here)."""
        name = hashlib.blake2b(f"{key}/{self.dtype}".encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def get(self, key: str) -> FrozenFeatures | None:
        """The features stored under ``key``; None when there are none, or only damaged ones."""
        path = self.path_of(key)
        try:
            with safe_open(str(path), framework="pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                expected = (file.metadata() or {}).get("digest")
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError):
            return self._drop(path)
        if expected != _digest(found) or not {"vision", "grid"} <= set(found):
            return self._drop(path)
        with contextlib.suppress(OSError):  # evicted by another process meanwhile: we have it already
            os.utime(path)
        return FrozenFeatures(found["vision"], found.get("geometry"), found["grid"])

    def _drop(self, path: Path) -> None:
        self.damaged += 1
        path.unlink(missing_ok=True)

    def put(self, key: str, features: FrozenFeatures) -> FrozenFeatures:
        """Store ``features``; returns what :meth:`get` will, so that a run with and without hits agrees.

        Raises:
            ValueError: a value is not finite, or not in the number format.
            OSError: the disk is full; nothing half-written stays.
        """
        path = self.path_of(key)
        if path.is_file() and (known := self.get(key)) is not None:
            return known  # the first writer's stay
        tensors = {"vision": self._converted("vision", features.vision), "grid": features.grid.cpu()}
        if features.geometry is not None:
            tensors["geometry"] = self._converted("geometry", features.geometry)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        try:
            with replacing(path) as unfinished:
                save_file(tensors, str(unfinished), {"digest": _digest(tensors), "dtype": self.dtype})
        except SafetensorError as error:
            raise OSError(f"feature cache {self.folder}: cannot write {path.name} ({error})") from error
        self._count(path.stat().st_size)
        return FrozenFeatures(tensors["vision"], tensors.get("geometry"), tensors["grid"])

    def _converted(self, name: str, value: torch.Tensor) -> torch.Tensor:
        value = value.detach().cpu()
        stored = value.to(FORMATS[self.dtype])
        if not stored.isfinite().all():
            if not value.isfinite().all():
                raise ValueError(
                    f"feature cache: {name} features hold NaN or infinity; the encoder is broken"
                )
            raise ValueError(
                f"feature cache: {name} features reach {float(value.abs().max()):.3g}, beyond {self.dtype}; "
                "use bfloat16 or float32"
            )
        return stored

    def _count(self, written: int) -> None:
        """Evict when it may be needed: other processes write too, so what is stored is read anew at times."""
        if not self.limit_bytes:
            return
        self._since_count += written
        if self._stored is None or self._since_count > self.limit_bytes // 20:
            self._stored, self._since_count = sum(entry.size for entry in self.entries()), 0
        if self._stored + self._since_count > self.limit_bytes:
            self.evict(int(0.9 * self.limit_bytes))

    def evict(self, keep_bytes: int) -> int:
        removed = super().evict(keep_bytes)
        self._stored, self._since_count = None, 0
        return removed


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
