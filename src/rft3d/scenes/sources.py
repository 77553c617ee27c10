"""Where scenes come from: one named callable per kind of data, each yielding valid :class:`Scene` records.

To add a data set: one file with one reader, one line in :data:`SOURCES`. The contract tests pick it up.
Data sets that are no scenes (questions, chats, boxes without pictures) stand in :data:`RECORDS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.folder import read_scene
from rft3d.scenes.images import load_rgb, read_image
from rft3d.scenes.readers.arkitscenes import arkitscenes
from rft3d.scenes.readers.embodiedscan import embodiedscan
from rft3d.scenes.readers.posed_clip import read_posed_clip
from rft3d.scenes.readers.scannet_export import scannet_export
from rft3d.scenes.readers.scannet_sens import scannet_sens
from rft3d.scenes.readers.scanrefer import scanrefer
from rft3d.scenes.readers.spacer import spacer
from rft3d.scenes.readers.spar import spar
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.readers.vlm3r import vlm3r
from rft3d.scenes.readers.vsi_bench import vsi_bench
from rft3d.scenes.readers.vsi_meta import vsi_meta
from rft3d.scenes.rooms import RoomConfig, iter_rooms, make_room
from rft3d.scenes.types import Scene
from rft3d.scenes.validate import validate_scene

__all__ = [
    "RECORDS",
    "SOURCES",
    "folder",
    "frame_refs",
    "load_frame_ref",
    "posed_clip",
    "rooms",
    "validate_scene",
]

_ROOM_REF = re.compile(r"rooms:(\d+)/(\d+)")


def rooms(
    seeds: Iterable[int] = range(8), config: RoomConfig | None = None, workers: int = 1
) -> Iterator[Scene]:
    """Procedural rooms of ``seeds``, in order."""
    return iter_rooms(seeds, config, workers)


def folder(path: Path | str) -> Iterator[Scene]:
    """The scene folder ``path``, or every scene folder right below it, by name.

    Raises:
        ValueError: no scene folder there, or a damaged one.
    """
    path = Path(path)
    found = [path] if (path / "scene.json").is_file() else sorted(p.parent for p in path.glob("*/scene.json"))
    if not found:
        raise ValueError(f"{path}: no scene.json here or one level below; write one with write_scene")
    for each in found:
        yield read_scene(each)


def posed_clip(path: Path | str) -> Iterator[Scene]:
    """The one posed RGB-D clip in folder ``path``."""
    yield read_posed_clip(path)


SOURCES: dict[str, Callable[..., Iterator[Scene]]] = {
    "rooms": rooms,
    "folder": folder,
    "posed_clip": posed_clip,
    "embodiedscan": embodiedscan,
    "scannet_export": scannet_export,
    "scannet_sens": scannet_sens,
    "arkitscenes": arkitscenes,
}

RECORDS: dict[str, Callable[..., Iterator[Any]]] = {
    "scanrefer": scanrefer,  # ReferringRow
    "vgllm": vgllm,  # ChatRecord
    "vlm3r": vlm3r,  # ChatRecord
    "spar": spar,  # ChatRecord
    "spacer": spacer,  # QuestionRecord
    "vsi_bench": vsi_bench,  # QuestionRecord
    "vsi_meta": vsi_meta,  # SceneBoxes
}
"""Readers of what is no scene: ``RECORDS[name](path)`` yields the records of
:mod:`rft3d.scenes.readers.records`.
"""


def frame_refs(scene: Scene, root: Path | str | None = None) -> tuple[str, ...]:
    """A text for each frame by which a samples file can name it.

    ``"rooms:<seed>/<index>"`` for procedural rooms (drawn again when needed), otherwise the picture's path
    relative to ``root`` (the folder of the samples file), or as it is without one.

    Raises:
        ValueError: a frame of another source whose picture is not a file.
    """
    if scene.source == "rooms":
        seed = scene.id.removeprefix("rooms-")
        return tuple(f"rooms:{seed}/{k}" for k in range(len(scene.frames)))
    out = []
    for frame in scene.frames:
        if not isinstance(frame.rgb, Path):
            raise ValueError(
                f"scene {scene.id!r} frame {frame.name!r}: rgb is no file, so no samples file can name it; "
                "write the scene with write_scene first"
            )
        out.append(Path(os.path.relpath(frame.rgb, root) if root is not None else frame.rgb).as_posix())
    return tuple(out)


@lru_cache(maxsize=8)
def _room(seed: int, config: RoomConfig) -> Scene:
    return make_room(seed, config)


@lru_cache(maxsize=256)
def _picture(path: Path, _mtime_ns: int, _size: int) -> NDArray[np.uint8]:
    """A picture file, read-only: many questions in a row are about the same few frames."""
    pixels = read_image(path)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = np.array(pixels, dtype=np.uint8, order="C")
    pixels.flags.writeable = False
    return pixels


def load_frame_ref(
    ref: str, root: Path | str | None = None, config: RoomConfig | None = None
) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 picture that a frame reference names.

    Args:
        ref: as :func:`frame_refs` gives it.
        root: folder to which paths are relative.
        config: with which the referenced rooms were made; the reference holds only seed and index.

    Raises:
        ValueError: a room reference beyond the clip, or a picture that doesn't exist.
    """
    match = _ROOM_REF.fullmatch(ref)
    if match:
        frames = _room(int(match[1]), config or RoomConfig()).frames
        index = int(match[2])
        if index >= len(frames):
            raise ValueError(
                f"frame reference {ref!r}: the room has {len(frames)} frames; pass its own config"
            )
        return load_rgb(frames[index])
    path = Path(root or ".") / ref
    if not path.is_file():
        raise ValueError(
            f"frame reference {ref!r}: no picture at {path}; give the folder it is relative to as root"
        )
    status = path.stat()
    return _picture(path, status.st_mtime_ns, status.st_size)
