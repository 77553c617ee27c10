"""Clips from disk: a video, a picture, or a folder of pictures (posed or not)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.clips._clip import LONGEST_SIDE, Clip, ClipSampling, spread_indices
from rft3d.scenes.clips._video import read_video
from rft3d.scenes.images import load_rgb, opened_picture
from rft3d.scenes.rooms import RoomConfig
from rft3d.scenes.sources import SCENE_LIKE, open_scenes, scene_folders
from rft3d.scenes.types import Scene

SHORTEST_SIDE = 28
"""One vision token is 28 x 28 pixels; nothing smaller can be shown to a model."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp")

TEXTS = (".json", ".jsonl", ".parquet", ".csv", ".txt", ".py", ".toml")


def read_clip(
    path: Path | str, sampling: ClipSampling | None = None, rooms: RoomConfig | None = None
) -> Clip:
    """The chosen frames of the video, picture, folder or room at ``path``.

    A folder is a scene folder, a posed clip (both know their cameras), a folder of such (the first is taken and
    a note says so), or pictures in the order of their names (``2.jpg`` before ``10.jpg``). ``rooms:7`` is a room,
    made as ``rooms`` says.

    Raises:
        FileNotFoundError: nothing at ``path``.
        ValueError: neither of these, frames of different sizes, or a damaged file.
        ModuleNotFoundError: a video, and PyAV is not installed.
    """
    sampling = sampling or ClipSampling()
    if str(path).startswith("rooms:"):
        scenes = open_scenes(path, rooms)
        return _noted(_first(scenes, path, sampling), sampling)
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"nothing at {path}; give a video, a picture, a folder of them, {SCENE_LIKE}")
    if path.is_dir():
        clip = _read_folder(path, sampling)
    elif path.suffix.lower() in PICTURES:
        clip = _read_pictures(path.stem, [path], sampling)
    elif path.suffix.lower() in TEXTS:
        raise ValueError(
            f"{path} holds text, no pictures; give a video, a picture, a folder of pictures, {SCENE_LIKE} "
            "(rft3d solve and rft3d questions read VSI-Bench's metadata and question files)"
        )
    else:
        clip = read_video(path, sampling)
    if min(clip.frames[0].shape[:2]) < SHORTEST_SIDE:
        raise ValueError(
            f"{path} is {clip.size[0]}x{clip.size[1]}; frames need at least {SHORTEST_SIDE} pixels a side"
        )
    return _noted(clip, sampling)


def _read_folder(path: Path, sampling: ClipSampling) -> Clip:
    if found := scene_folders(path):
        return _first(chain(open_scenes(found[0]), found[1:]), path, sampling)
    files = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=_natural)
    if not files:
        videos = sorted(p.name for p in path.iterdir() if p.suffix.lower() in VIDEOS)
        hint = f"; it holds videos, give one of them: {', '.join(videos[:3])}" if videos else ""
        raise ValueError(f"{path}: neither a scene.json nor pictures ({', '.join(PICTURES)}){hint}")
    return _read_pictures(path.name, files, sampling)


def _first(scenes: Iterator[Any], path: Path | str, sampling: ClipSampling) -> Clip:
    clip = clip_of_scene(next(scenes), sampling.frames)
    if next(scenes, None) is None:
        return clip
    return replace(clip, notes=(f"{path} holds several scenes; this is the first, {clip.name}",))


def _natural(path: Path) -> tuple[tuple[int, str], ...]:
    parts = re.split(r"(\d+)", path.name)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def clip_of_scene(scene: Scene, count: int) -> Clip:
    """``count`` frames spread over ``scene``, with their cameras (all of them when it has fewer).

    ValueError: a scene without frames, or frames of different sizes.
    """
    if not scene.frames:
        raise ValueError(f"scene {scene.id!r} has no frames")
    loaders = {frame.name: partial(load_rgb, frame) for frame in scene.frames}
    clip = _spread(scene.id, scene.id, loaders, count)
    chosen = [scene.frames[index] for index in clip.indices]
    smaller = np.diag([clip.scale, clip.scale, 1.0])
    K = np.stack([smaller @ np.asarray(frame.intrinsics, dtype=np.float64) for frame in chosen])
    poses = np.stack([np.asarray(frame.T_world_camera, dtype=np.float64) for frame in chosen])
    return replace(clip, K=K, T_world_camera=poses, scene=scene)


def _read_pictures(name: str, files: Sequence[Path], sampling: ClipSampling) -> Clip:
    clip = _spread(
        name, files[0].parent, {file.name: partial(_picture, file) for file in files}, sampling.frames
    )
    return clip if len(files) > 1 else replace(clip, sampling="one picture")


def _picture(path: Path) -> NDArray[np.uint8]:
    from PIL import ImageOps

    with opened_picture(path) as image:  # phones turn pictures by a tag, not by their pixels
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _spread(
    name: str, where: Path | str, loaders: Mapping[str, Callable[[], NDArray[np.uint8]]], count: int
) -> Clip:
    """``count`` of the named pictures spread over all of them, no larger than :data:`LONGEST_SIDE`."""
    from PIL import Image

    names, indices = list(loaders), spread_indices(len(loaders), count)
    frames = [loaders[names[index]]() for index in indices]
    height, width = frames[0].shape[:2]
    for frame, index in zip(frames, indices, strict=True):
        if frame.shape[:2] != (height, width):
            raise ValueError(
                f"{where}: {names[index]} is {frame.shape[1]}x{frame.shape[0]} but {names[indices[0]]} is "
                f"{width}x{height}; all frames must have one size"
            )
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pictures = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
        frames = [np.asarray(picture) for picture in pictures]
    how = "spread over the folder"
    return Clip(name, tuple(frames), tuple(indices), len(names), None, (width, height), scale, how)


def _noted(clip: Clip, sampling: ClipSampling) -> Clip:
    notes = list(clip.notes)
    width, height = clip.size
    if len(clip.frames) < sampling.frames:
        notes.append(f"{sampling.frames} frames were asked for, {len(clip.frames)} could be chosen")
    if height > width:
        notes.append(
            f"portrait frames ({width}x{height}): training frames are landscape, and the published "
            "preparation keeps the full width and only the middle square of the height"
        )
    return replace(clip, notes=tuple(notes))
