"""ScanNet recordings to the posed pictures that EmbodiedScan's infos name, every 10th frame.

Writes ``<out>/<scan>/{00000.jpg, 00000.txt, intrinsic.txt}``. The JPEG bytes are those of the recording,
not encoded again. Files that are there are kept, so that a stopped run goes on.

A ``.sens`` file, little endian, version 4: ``uint32`` version; ``uint64`` length and bytes of the sensor's
name; four 4x4 ``float32`` matrices row by row (intrinsics and extrinsics of colour, then of depth); ``int32``
colour compression (2 JPEG, 1 PNG, 0 raw) and depth compression (1 zlib, 0 raw); ``uint32`` colour width and
height, depth width and height; ``float32`` depth units per metre; ``uint64`` number of frames; then each frame:
4x4 ``float32`` camera-to-world (-inf where tracking was lost), two ``uint64`` time stamps, two ``uint64`` byte
counts, colour bytes, depth bytes. IMU data may follow and is not read. Source: github.com/ScanNet/ScanNet,
``SensReader/README.md`` and ``SensReader/python/SensorData.py``.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.console import Console

from rft3d.files import write_bytes, write_text
from rft3d.geometry.rotations import Array
from rft3d.locks import only_writer
from rft3d.process import in_turn, progress
from rft3d.scenes.images import MAX_PIXELS
from rft3d.scenes.readers.records import pinhole

VERSION = 4
COLOUR = {0: "raw", 1: "png", 2: "jpeg"}
_FRAME = struct.Struct("<16f4Q")
LARGEST_FRAME = 1 << 28
"""No frame has as many bytes; a larger number means a damaged file."""


@dataclass(frozen=True, eq=False)
class SensFrame:
    """Where one frame lies in the file. ``T_world_camera`` as stored (may be -inf)."""

    T_world_camera: Array
    colour_at: int
    colour_bytes: int


@dataclass(frozen=True, eq=False)
class SensFile:
    """Header and table of frames of a ``.sens`` file; pictures are read when asked for.

    ``truncated``: the file ends before its last frame; ``frames`` are the whole ones.
    """

    path: Path
    K_colour: Array
    colour_kind: str
    declared: int
    frames: tuple[SensFrame, ...]

    @property
    def truncated(self) -> bool:
        return len(self.frames) < self.declared

    def colour_data(self, frame: SensFrame) -> bytes:
        """The stored bytes of the colour picture: a whole JPEG or PNG file where ``colour_kind`` says so."""
        with self.path.open("rb") as file:
            file.seek(frame.colour_at)
            data = file.read(frame.colour_bytes)
        if len(data) < frame.colour_bytes:
            raise ValueError(f"{self.path}: cut off since it was opened; download it again")
        return data


def read_sens(path: Path | str) -> SensFile:
    """Header and table of frames of a ``.sens`` file; reads some 96 bytes a frame.

    ValueError: not a version 4 file, an unknown compression, or cut off inside the header.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        version, length = _unpack(file, "<IQ", path)
        if version != VERSION:
            raise ValueError(f"{path}: not a .sens file of version {VERSION} (its first number is {version})")
        if length > 4096:
            raise ValueError(f"{path}: damaged header, the sensor's name has {length} bytes")
        file.seek(length, io.SEEK_CUR)
        *matrices, colour, depth, cw, ch, dw, dh, shift, declared = _unpack(file, "<64f2i4IfQ", path)
        if colour not in COLOUR or depth not in (0, 1):
            raise ValueError(f"{path}: unknown compression (colour {colour}, depth {depth})")
        if max(cw * ch, dw * dh) > MAX_PIXELS:
            raise ValueError(f"{path}: frames of {cw}x{ch} and {dw}x{dh} pixels, more than {MAX_PIXELS=}")
        if not shift > 0:
            raise ValueError(f"{path}: damaged header, {shift} depth units per metre")
        frames = tuple(_frames(file, declared, size, path))
    K = pinhole(np.array(matrices[:16]).reshape(4, 4))
    return SensFile(path, K, COLOUR[colour], declared, frames)


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
        yield SensFrame(T, at, colour_bytes)
        file.seek(at + colour_bytes + depth_bytes)


def _unpack(file: BinaryIO, layout: str, path: Path) -> tuple:
    raw = file.read(struct.calcsize(layout))
    if len(raw) < struct.calcsize(layout):
        raise ValueError(f"{path}: cut off inside its header; download it again")
    return struct.unpack(layout, raw)


def extract_scan(sens: Path, out: Path, every: int = 10) -> int:
    """Write the pictures and poses of one recording; returns how many pictures are there afterwards.

    Raises:
        ValueError: a damaged or truncated recording, or one whose pictures are not JPEGs.
        InUse: another process writes the same scan.
    """
    recording = read_sens(sens)
    if recording.truncated:
        said = f"cut off after {len(recording.frames)} of {recording.declared} frames"
        raise ValueError(f"{sens}: {said}; download it again")
    if recording.colour_kind != "jpeg":
        raise ValueError(f"{sens}: its pictures are {recording.colour_kind}, only JPEG is copied")
    folder = out / sens.stem
    K = np.eye(4)
    K[:3, :3] = recording.K_colour
    with only_writer(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "intrinsic.txt", _matrix(K))
        for index, frame in enumerate(recording.frames[::every]):
            picture, pose = (folder / f"{index * every:05d}{ending}" for ending in (".jpg", ".txt"))
            if not picture.is_file() or picture.stat().st_size != frame.colour_bytes:
                # not synced: its size is looked at
                write_bytes(picture, recording.colour_data(frame), synced=False)
            text = _matrix(frame.T_world_camera)
            if not pose.is_file() or pose.read_text(encoding="utf-8") != text:
                write_text(pose, text, synced=False)
    return len(recording.frames[::every])


def extract_recordings(scans: Path, out: Path, every: int = 10, workers: int = 1) -> tuple[str, bool]:
    """:func:`extract_scan` of the recording ``scans``, or of those in it or one level below, in parallel processes.

    Returns:
        What was done and what was left out and why, and whether all was done.

    Raises:
        ValueError: no recordings there, or none that can be extracted.
    """
    files = [scans] if scans.is_file() else sorted(scans.glob("*.sens")) + sorted(scans.glob("*/*.sens"))
    if not files:
        raise ValueError(f"{scans}: no .sens file here or one level below")
    total, left_out = 0, []
    with progress(Console(stderr=True), "recordings", len(files)) as advance:
        for found in in_turn(partial(_extract, out=out, every=every), files, workers):
            if isinstance(found, str):
                left_out.append(found)
            else:
                total += found
            advance(1, f"{total} pictures")
    if len(left_out) == len(files):
        raise ValueError(left_out[0])
    words = [f"{total} pictures of {len(files) - len(left_out)} recordings"]
    return "\n".join([*words, *(f"  left out: {reason}" for reason in left_out)]), not left_out


def _extract(sens: Path, out: Path, every: int) -> int | str:
    try:
        return extract_scan(sens, out, every)
    except ValueError as problem:  # one recording must not stop the others
        return str(problem)


def _matrix(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix) + "\n"
