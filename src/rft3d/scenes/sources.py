"""Where scenes come from: one named callable per kind of data, each yielding valid :class:`Scene` records.

To add a data set: one file with one reader, one line in :data:`SOURCES`. The contract tests pick it up.
Data sets without scenes (questions, chats) stand in :data:`RECORDS`.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.files import read_json
from rft3d.scenes.folder import read_posed_clip, read_scene
from rft3d.scenes.images import load_rgb, read_image
from rft3d.scenes.readers.embodiedscan import embodiedscan
from rft3d.scenes.readers.mmdet3d import mmdet3d
from rft3d.scenes.readers.scanrefer import scanrefer
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.readers.vsi_bench import spacer, vlm3r, vsi_bench, vsi_meta
from rft3d.scenes.rooms import RoomConfig, iter_rooms, make_room
from rft3d.scenes.types import Scene

_ROOMS = re.compile(r"rooms:(\d+)(?:-(\d+))?")
ROOM_REF = re.compile(r"rooms:(\d+)/(\d+)")


def scene_folders(path: Path | str) -> list[Path]:
    """Scene folders and posed clips at ``path``: itself, else those below it or below its ``scenes``, by name."""
    path = Path(path)
    for pattern in ("scene.json", "*/scene.json", "scenes/*/scene.json"):
        if found := sorted(file.parent for file in path.glob(pattern)):
            return found
    return []


def folder(path: Path | str) -> Iterator[Scene]:
    """The scene folder or posed clip ``path``, or every one below it or below its ``scenes``, by name.

    Raises:
        FileNotFoundError: nothing at ``path``.
        ValueError: no scene there, or a damaged one.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"nothing at {path}; give {SCENE_LIKE}")
    found = scene_folders(path)
    if not found:
        raise ValueError(
            f"{path}: no scene.json here, one level below or in scenes/, so no true boxes; give {SCENE_LIKE} "
            "(pictures and videos alone: rft3d detect, ground, ask and export)"
        )
    for each in found:
        ours = "format" in read_json(each / "scene.json", dict)
        yield read_scene(each) if ours else read_posed_clip(each)


SCENE_LIKE = "a scene folder, a posed clip, a folder of them, rooms:SEED or rooms:FIRST-LAST"


def open_scenes(source: Path | str, config: RoomConfig | None = None) -> Iterator[Scene]:
    """Scenes of whatever ``source`` is (:data:`SCENE_LIKE`); ``config`` is of rooms.

    A file named as VSI-Bench names its scene metadata (``*_meta_info*.json``) gives boxes without pictures.

    Raises:
        FileNotFoundError, ValueError: as :func:`folder` does.

    Examples:
        >>> [scene.id for scene in open_scenes("rooms:7-8")]
        ['rooms-7', 'rooms-8']
    """
    match = _ROOMS.fullmatch(str(source))
    if match is None:
        return vsi_meta(source) if "_meta_info" in Path(source).name else folder(source)
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise ValueError(f"{source}: the last seed is below the first; write rooms:{last}-{first}")
    return iter_rooms(range(first, last + 1), config, workers=1)


def holds_scenes(source: Path | str) -> bool:
    """Whether :func:`open_scenes` opens ``source``; if not, it may still be a video or a folder of pictures."""
    return (
        str(source).startswith("rooms:") or "_meta_info" in Path(source).name or bool(scene_folders(source))
    )


SOURCES: dict[str, Callable[..., Iterator[Scene]]] = {
    "rooms": iter_rooms,
    "folder": folder,
    "embodiedscan": embodiedscan,
    "vsi_meta": vsi_meta,  # boxes only
    "mmdet3d": mmdet3d,  # ScanNet: boxes only
}

RECORDS: dict[str, Callable[..., Iterator[Any]]] = {
    "scanrefer": scanrefer,  # ReferringRow
    "vgllm": vgllm,  # ChatRecord
    "vlm3r": vlm3r,  # ChatRecord
    "spacer": spacer,  # QuestionRecord
    "vsi_bench": vsi_bench,  # QuestionRecord
}
"""Readers of other data than scenes: ``RECORDS[name](path)`` yields the records of
:mod:`rft3d.scenes.readers.records`.
"""


def frame_refs(scene: Scene, root: Path | str | None = None) -> tuple[str, ...]:
    """The name of each frame in a samples file.

    ``"rooms:<seed>/<index>"`` for procedural rooms (drawn again when needed), otherwise the picture's path
    relative to ``root`` (the folder of the samples file), or as it is without one. ValueError: a frame of
    another source whose picture is not a file.
    """
    if scene.source == "rooms":
        seed = scene.id.removeprefix("rooms-")
        return tuple(f"rooms:{seed}/{k}" for k in range(len(scene.frames)))
    out = []
    for frame in scene.frames:
        if not isinstance(frame.rgb, Path):
            raise ValueError(
                f"scene {scene.id!r} frame {frame.name!r}: rgb is not a file, so no samples file can name it; "
                "write the scene with write_scene first"
            )
        out.append(Path(os.path.relpath(frame.rgb, root) if root is not None else frame.rgb).as_posix())
    return tuple(out)


drawn_room = lru_cache(maxsize=8)(make_room)


@lru_cache(maxsize=256)
def _picture(path: Path, _mtime_ns: int, _size: int) -> NDArray[np.uint8]:
    """A picture file, read-only: many questions in a row are about the same few frames."""
    pixels = read_image(path)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = np.array(pixels, dtype=np.uint8, order="C")
    pixels.flags.writeable = False
    return pixels


def picture_folders(folder: Path, pictures: Path | str | None) -> tuple[Path, ...]:
    """Where the pictures of a samples file may lie: ``folder``, which holds it, and ``pictures`` if given."""
    return (folder,) if pictures is None else (folder, Path(pictures))


def frame_file(ref: str, root: Path | str | None = None, inside: Iterable[Path | str] | None = None) -> Path:
    """The file of a frame reference that is not a room's; arguments and errors as :func:`load_frame_ref`."""
    path = Path(root or ".") / ref
    if not os.path.isfile(path):  # False too for a name that is too long
        raise ValueError(
            f"frame reference {ref!r}: no picture at {path}; mend the path, or give the folder that it is "
            "relative to"
        )
    folders = None if inside is None else [Path(each).resolve() for each in inside]
    if folders is not None and not any(path.resolve().is_relative_to(each) for each in folders):
        raise ValueError(
            f"frame reference {ref!r}: {path.resolve()} lies outside {' and '.join(map(str, folders))}; "
            "if you trust the samples file, name the folder of its pictures with --pictures"
        )
    return path


def load_frame_ref(
    ref: str,
    root: Path | str | None = None,
    config: RoomConfig | None = None,
    inside: Iterable[Path | str] | None = None,
) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8 picture that a frame reference names.

    Args:
        ref: as :func:`frame_refs` gives it.
        root: folder to which paths are relative.
        config: with which the referenced rooms were made; the reference holds only seed and index.
        inside: folders one of which must hold the picture, links followed; None: it may lie anywhere.

    Raises:
        DamagedFile: the picture cannot be read.
        ValueError: a room reference beyond the clip, or a picture that doesn't exist or lies outside ``inside``.
    """
    match = ROOM_REF.fullmatch(ref)
    if match:
        frames = drawn_room(int(match[1]), config or RoomConfig()).frames
        index = int(match[2])
        if index >= len(frames):
            raise ValueError(f"frame reference {ref!r}: the room has {len(frames)} frames; pass its config")
        return load_rgb(frames[index])
    path = frame_file(ref, root, inside)
    status = path.stat()
    return _picture(path, status.st_mtime_ns, status.st_size)
