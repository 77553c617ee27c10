"""ScanNet's raw ``.sens`` recordings, without unpacking them.

Little endian, version 4: ``uint32`` version; ``uint64`` length and bytes of the sensor's name; four 4x4
``float32`` matrices row by row (intrinsics and extrinsics of colour, then of depth); ``int32`` colour
compression (2 JPEG, 1 PNG, 0 raw) and depth compression (1 zlib, 0 raw); ``uint32`` colour width and
height, depth width and height; ``float32`` depth units per metre; ``uint64`` number of frames; then each
frame: 4x4 ``float32`` camera-to-world, two ``uint64`` time stamps, two ``uint64`` byte counts, colour
bytes, depth bytes. IMU data may follow and is not read. Source: github.com/ScanNet/ScanNet,
``SensReader/README.md`` and ``SensReader/python/SensorData.py``.

Poses that tracking lost are filled with -inf; those frames are left out of the scene.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rft3d.files import blaming
from rft3d.scenes.images import MAX_PIXELS, opened_picture
from rft3d.scenes.readers._files import nearest_rigid, pinhole
from rft3d.scenes.readers.scannet_labels import axis_alignment
from rft3d.scenes.types import Frame, Scene
from rft3d.scenes.validate import validate_scene

VERSION = 4
COLOUR = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH = {0: "raw", 1: "zlib"}
_FRAME = struct.Struct("<16f4Q")
LARGEST_FRAME = 1 << 28
"""No frame has as many bytes; a larger number means a damaged file."""


@dataclass(frozen=True, eq=False)
class SensFrame:
    """Where one frame lies in the file. ``T_world_camera`` as stored (may be -inf)."""

    index: int
    T_world_camera: NDArray[np.float64]
    colour_at: int
    colour_bytes: int
    depth_at: int
    depth_bytes: int

    @property
    def posed(self) -> bool:
        """Whether tracking knew the camera."""
        return bool(np.isfinite(self.T_world_camera).all())


@dataclass(frozen=True, eq=False)
class SensFile:
    """Header and table of frames of a ``.sens`` file; pixels are read when asked for.

    ``truncated``: the file ends before its last frame; ``frames`` are the whole ones.
    """

    path: Path
    sensor: str
    K_colour: NDArray[np.float64]
    K_depth: NDArray[np.float64]
    colour_kind: str
    depth_kind: str
    colour_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    declared: int
    frames: tuple[SensFrame, ...]

    @property
    def truncated(self) -> bool:
        return len(self.frames) < self.declared

    def whole(self) -> SensFile:
        """The recording itself. ValueError: it is cut off."""
        if self.truncated:
            said = f"cut off after {len(self.frames)} of {self.declared} frames"
            raise ValueError(f"{self.path}: {said}; download it again")
        return self

    def colour_data(self, frame: SensFrame) -> bytes:
        """The stored bytes of the colour picture: a whole JPEG or PNG file where ``colour_kind`` says so."""
        return _at(self.path, frame.colour_at, frame.colour_bytes)

    def colour(self, frame: SensFrame) -> NDArray[np.generic]:
        """``(H, W, 3)`` uint8."""
        data, (width, height) = self.colour_data(frame), self.colour_size
        if self.colour_kind == "raw":
            with blaming(self.path, ValueError):
                return np.frombuffer(data, np.uint8).reshape(height, width, 3)
        with opened_picture(io.BytesIO(data), f"{self.path}: frame {frame.index}") as image:
            return np.asarray(image.convert("RGB"))

    def depth(self, frame: SensFrame) -> NDArray[np.generic]:
        """``(H, W)`` float32 metres along z in the *depth* camera, 0 unknown."""
        data = _at(self.path, frame.depth_at, frame.depth_bytes)
        width, height = self.depth_size
        if self.depth_kind == "zlib":
            with blaming(f"{self.path}: frame {frame.index}", zlib.error):
                data = zlib.decompressobj().decompress(data, 2 * width * height + 1)
        values = np.frombuffer(data[: len(data) // 2 * 2], "<u2")
        if values.size != width * height:
            raise ValueError(f"{self.path}: depth of frame {frame.index} is damaged (wrong number of pixels)")
        return (values.reshape(height, width) / np.float32(self.depth_shift)).astype(np.float32)


def read_sens(path: Path | str) -> SensFile:
    """Header and table of frames of a ``.sens`` file; reads some 96 bytes a frame.

    Raises:
        ValueError: not a version 4 file, an unknown compression, or cut off inside the header.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        (version,) = _unpack(file, "<I", path)
        if version != VERSION:
            raise ValueError(f"{path}: not a .sens file of version {VERSION} (its first number is {version})")
        (length,) = _unpack(file, "<Q", path)
        if length > 4096:
            raise ValueError(f"{path}: damaged header, the sensor's name has {length} bytes")
        sensor = file.read(length).decode("latin1")
        matrices = np.array(_unpack(file, "<64f", path)).reshape(4, 4, 4)
        colour, depth = _unpack(file, "<2i", path)
        if colour not in COLOUR or depth not in DEPTH:
            raise ValueError(f"{path}: unknown compression (colour {colour}, depth {depth})")
        cw, ch, dw, dh = _unpack(file, "<4I", path)
        if max(cw * ch, dw * dh) > MAX_PIXELS:
            raise ValueError(f"{path}: frames of {cw}x{ch} and {dw}x{dh} pixels, more than {MAX_PIXELS=}")
        (shift,) = _unpack(file, "<f", path)
        (declared,) = _unpack(file, "<Q", path)
        if not shift > 0:
            raise ValueError(f"{path}: damaged header, {shift} depth units per metre")
        frames = tuple(_frames(file, declared, size, path))
    return SensFile(
        path, sensor, pinhole(matrices[0]), pinhole(matrices[2]), COLOUR[colour], DEPTH[depth],
        (cw, ch), (dw, dh), shift, declared, frames,
    )  # fmt: skip


def _frames(file: BinaryIO, declared: int, size: int, path: Path) -> Iterator[SensFrame]:
    for index in range(declared):
        raw = file.read(_FRAME.size)
        if len(raw) < _FRAME.size:
            return
        *pose, _, _, colour_bytes, depth_bytes = _FRAME.unpack(raw)
        at = file.tell()
        if max(colour_bytes, depth_bytes) > LARGEST_FRAME:
            raise ValueError(f"{path}: frame {index} claims {max(colour_bytes, depth_bytes)} bytes; damaged")
        if at + colour_bytes + depth_bytes > size:
            return
        T = np.array(pose, dtype=np.float64).reshape(4, 4)
        yield SensFrame(index, T, at, colour_bytes, at + colour_bytes, depth_bytes)
        file.seek(at + colour_bytes + depth_bytes)


def recordings(path: Path | str) -> list[Path]:
    """The recording ``path``, or those in it or one level below it. ValueError: there is none."""
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob("*.sens")) + sorted(path.glob("*/*.sens"))
    if not files:
        raise ValueError(f"{path}: no .sens file here or one level below")
    return files


def scannet_sens(path: Path | str, *, every: int = 10) -> Iterator[Scene]:
    """The recording ``path``, or every ``<scan>/<scan>.sens`` below it, as scenes without objects.

    The world is aligned where the recording has a ``<scan>.txt`` beside it.

    Args:
        every: only frames whose index is a multiple of it (EmbodiedScan: 10).

    Raises:
        ValueError: no recording, a damaged or truncated one, or one without any posed frame.
    """
    for file in recordings(path):
        sens = read_sens(file).whole()
        text = file.with_suffix(".txt")
        T_world_raw = axis_alignment(text) if text.is_file() else np.eye(4)
        frames = tuple(_scene_frame(sens, f, T_world_raw) for f in sens.frames[::every] if f.posed)
        yield validate_scene(Scene(file.stem, "scannet_sens", frames, ()), file=file)


def _scene_frame(sens: SensFile, frame: SensFrame, T_world_raw: NDArray[np.float64]) -> Frame:
    # depth and colour have different sizes and cameras in ScanNet: a frame's depth must fit its picture
    same = sens.colour_size == sens.depth_size
    return Frame(
        name=f"{frame.index:05d}",
        intrinsics=sens.K_colour,
        T_world_camera=nearest_rigid(T_world_raw @ nearest_rigid(frame.T_world_camera)),
        width=sens.colour_size[0],
        height=sens.colour_size[1],
        rgb=partial(sens.colour, frame),
        depth=partial(sens.depth, frame) if same else None,
    )


def _at(path: Path, place: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(place)
        data = file.read(length)
    if len(data) < length:
        raise ValueError(f"{path}: cut off since it was opened; download it again")
    return data


def _unpack(file: BinaryIO, layout: str, path: Path) -> tuple:
    raw = file.read(struct.calcsize(layout))
    if len(raw) < struct.calcsize(layout):
        raise ValueError(f"{path}: cut off inside its header; download it again")
    return struct.unpack(layout, raw)
