"""Frozen features of clips: the latest in memory, in front of a folder that stages, runs and processes share.

On disk, one safetensors file a clip::

    FOLDER/3f/3f9a...c1.safetensors   vision, geometry, grid; a digest of the three in the header
    FOLDER/3f/.3f9a...c1.safetensors.HOST.THREAD.4711.tmp   being written by process 4711 of HOST

The name is a hash of the frames' pixels, the frozen encoders' weights, how frames are prepared and the number
format, so a changed encoder never meets old features. Files appear by renaming: writers that race write the
same bytes and the first stays; a kill leaves a temporary file, which is removed once its process is gone. A
damaged file counts as absent. :class:`ClipFeatures` are a corpus's, by the numbers of its clips.
"""

import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rft3d.files import replacing
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


def encoder_key(model: torch.nn.Module, preparation: object, prefixes: tuple[str, ...]) -> str:
    """A hash of the tensors of ``model`` named ``prefixes...``, and of how frames are prepared."""
    state = model.state_dict()
    return _digest({name: state[name] for name in state if name.startswith(prefixes)}, repr(preparation))


@dataclass
class FeatureCache:
    """See the module's docstring. Features come back in main memory, whatever device they were made on.

    ``folder``: made when needed; None: memory only, in the encoders' own number format. ``dtype``: of the files;
    features are rounded to it before they are used. ``keep``, ``keep_bytes``: clips and bytes in memory at most;
    the least recently used go first. (A clip of 32 frames of 518x392 takes 165 MB in bf16.)
    """

    folder: Path | None = None
    dtype: Format = "bfloat16"
    keep: int = 512
    keep_bytes: int = 4 << 30
    _memory: OrderedDict[str, FrozenFeatures] = field(default_factory=OrderedDict, repr=False)
    _memory_bytes: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self.folder = None if self.folder is None else Path(self.folder)
        if self.dtype not in FORMATS:
            raise ValueError(f"feature cache: dtype {self.dtype!r}: must be one of {', '.join(FORMATS)}")

    def path_of(self, key: str) -> Path:
        """The file of the clip ``key`` (frames and encoder; the number format is added here)."""
        assert self.folder is not None
        name = hashlib.blake2b(f"{key}/{self.dtype}".encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def get(self, key: str) -> FrozenFeatures | None:
        """The features kept under ``key``; None when there are none, or only damaged ones."""
        found = self.remembered(key)
        if found is None and self.folder is not None:
            found = self._read(self.path_of(key))
            if found is not None:
                self._remember(key, found)
        return found

    def remembered(self, key: str) -> FrozenFeatures | None:
        """The features under ``key`` if they are in memory."""
        if key in self._memory:
            self._memory.move_to_end(key)
        return self._memory.get(key)

    def _remember(self, key: str, features: FrozenFeatures) -> FrozenFeatures:
        self._memory[key] = features
        self._memory_bytes += features.nbytes()
        while self._memory and (len(self._memory) > self.keep or self._memory_bytes > self.keep_bytes):
            self._memory_bytes -= self._memory.popitem(last=False)[1].nbytes()
        return features

    def _read(self, path: Path) -> FrozenFeatures | None:
        found: dict[str, torch.Tensor] = {}
        try:
            with safe_open(str(path), framework="pt") as file:
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                expected = (file.metadata() or {}).get("digest")
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, RuntimeError):  # the last one where torch cannot map the file
            expected = None
        if not {"vision", "grid"} <= set(found) or expected != _digest(found):
            path.unlink(missing_ok=True)  # damaged; or evicted by another process between two looks at it
            return None
        with contextlib.suppress(OSError):  # evicted by another process meanwhile: we have it already
            os.utime(path)
        return FrozenFeatures(found["vision"], found.get("geometry"), found["grid"])

    def put(self, key: str, features: FrozenFeatures) -> FrozenFeatures:
        """Keep ``features``; returns what :meth:`get` will, so that a run with and without hits agrees.

        ValueError: a value is not finite, or not in the number format. OSError: the disk is full; nothing
        half-written stays.
        """
        if (known := self.get(key)) is not None:
            return known  # the first writer's stay
        return self._remember(key, features.cpu() if self.folder is None else self._write(key, features))

    def _write(self, key: str, features: FrozenFeatures) -> FrozenFeatures:
        path = self.path_of(key)
        tensors = {"vision": self._converted("vision", features.vision), "grid": features.grid.cpu()}
        if features.geometry is not None:
            tensors["geometry"] = self._converted("geometry", features.geometry)
        tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
        try:
            with replacing(path, synced=False) as unfinished:  # its digest is looked at
                save_file(tensors, str(unfinished), {"digest": _digest(tensors), "dtype": self.dtype})
        except SafetensorError as error:
            raise OSError(f"feature cache {self.folder}: cannot write {path.name} ({error})") from error
        return FrozenFeatures(tensors["vision"], tensors.get("geometry"), tensors["grid"])

    def _converted(self, name: str, value: torch.Tensor) -> torch.Tensor:
        value = value.detach().cpu()
        stored = value.to(FORMATS[self.dtype])
        if not stored.isfinite().all():
            if not value.isfinite().all():
                raise ValueError(f"feature cache: {name} features hold NaN or inf; the encoder is broken")
            raise ValueError(
                f"feature cache: {name} features reach {float(value.abs().max()):.3g}, beyond {self.dtype}; "
                "use bfloat16 or float32"
            )
        return stored


@dataclass(eq=False)
class ClipFeatures(Sequence[FrozenFeatures]):
    """``features[i]`` of clip ``i``, from ``cache``; clips that it lacks are encoded, which costs time only.

    ``keys``: of each clip in ``cache``; "" until it is encoded for the first time. ``encode``: makes the keys and
    features of the clips of these numbers, and puts them into ``cache``.
    """

    cache: FeatureCache
    keys: list[str]
    encode: Callable[[Sequence[int]], list[tuple[str, FrozenFeatures]]]

    def __len__(self) -> int:
        return len(self.keys)

    def prepare(self, chosen: Sequence[int]) -> list[FrozenFeatures]:
        """Encode the clips ``chosen``, together; returns their features."""
        made = self.encode(chosen)
        for clip, (key, _) in zip(chosen, made, strict=True):
            self.keys[clip] = key
        return [features for _, features in made]

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        index = range(len(self))[index]
        known = self.cache.get(self.keys[index]) if self.keys[index] else None
        return self.prepare([index])[0] if known is None else known


def _digest(tensors: dict[str, torch.Tensor], start: str = "") -> str:
    digest = hashlib.blake2b(start.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
