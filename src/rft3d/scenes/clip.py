"""A clip that somebody wants answers about: a video, a picture, or a folder of pictures (posed or not).

    clip = read_clip("kitchen.mp4", ClipSampling(frames=4, every_s=1.0))
    clip.frames[0].shape        # (H, W, 3) uint8, turned as a player would show it

Unlike a :class:`rft3d.scenes.types.Scene` a clip may know neither camera nor poses. It holds the chosen
frames only, and nothing larger than :data:`LONGEST_SIDE`, so that an hour of video fits into memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.fields import read_fields
from rft3d.scenes.folder import read_scene
from rft3d.scenes.images import load_rgb
from rft3d.scenes.posed_clip import read_posed_clip
from rft3d.scenes.types import Scene

LONGEST_SIDE = 1920
"""Frames with a longer side are made smaller; models see 518 pixels of width at most."""
SHORTEST_SIDE = 28
"""One vision token is 28 x 28 pixels; nothing smaller can be shown to a model."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp")


@dataclass(frozen=True, slots=True)
class ClipSampling:
    """Which frames of a clip are looked at.

    Attributes:
        frames: how many. The benchmarks use 4 for detection, 32 for grounding and spatial questions.
        every_s: seconds from one frame to the next, as detection's windows are cut (1 frame a second); None
            spreads the frames over the whole clip. Clips too short for it, and folders (which know no
            time), are spread.
        start_s, end_s: the part of a video to look at; None is its end.
    """

    frames: int = 4
    every_s: float | None = None
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames must be at least 1, got {self.frames}")
        if self.every_s is not None and not 0 < self.every_s < float("inf"):
            raise ValueError(f"every must be a positive number of seconds, got {self.every_s}")
        if not 0 <= self.start_s < float("inf"):
            raise ValueError(f"start must be 0 or more seconds, got {self.start_s}")
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end must lie after start={self.start_s:g} s, got {self.end_s:g}")


@dataclass(frozen=True, eq=False)
class Clip:
    """The chosen frames of a video or folder.

    Attributes:
        name: file or folder name without its ending.
        frames: ``(H, W, 3)`` uint8 RGB each, all of one size, upright.
        indices: of each frame among ``total`` frames, counted from 0.
        total: frames that there were to choose from.
        times_s: seconds from the start of the video; None for folders.
        size: ``(width, height)`` as a player shows it; the frames may be smaller by ``scale``.
        scale: size of ``frames`` over ``size``.
        sampling: in words.
        K: ``(n, 3, 3)`` intrinsics in pixels of ``frames``, or None when unknown.
        T_world_camera: ``(n, 4, 4)``, or None when unknown.
        notes: what a reader of the answer should know about the frames.
    """

    name: str
    frames: tuple[NDArray[np.uint8], ...]
    indices: tuple[int, ...]
    total: int
    times_s: tuple[float, ...] | None
    size: tuple[int, int]
    scale: float
    sampling: str
    K: NDArray[np.float64] | None = None
    T_world_camera: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """A short name for each frame: its time, or its index where there is no time."""
        if self.times_s is None:
            return tuple(f"picture {index}" for index in self.indices)
        return tuple(f"{time:.2f} s" for time in self.times_s)


def read_clip(path: Path | str, sampling: ClipSampling | None = None) -> Clip:
    """The chosen frames of the video, picture or folder at ``path``.

    A folder is a scene folder, a posed clip (both know their cameras), or pictures in the order of their
    names (``2.jpg`` before ``10.jpg``).

    Raises:
        FileNotFoundError: nothing at ``path``.
        ValueError: neither of these, frames of different sizes, or a damaged file.
        ModuleNotFoundError: a video, and PyAV is not installed.
    """
    path, sampling = Path(path), sampling or ClipSampling()
    if not path.exists():
        raise FileNotFoundError(f"no video or folder at {path}")
    if path.is_dir():
        clip = _read_folder(path, sampling)
    elif path.suffix.lower() in PICTURES:
        clip = _read_pictures(path.stem, [path], sampling)
    else:
        from rft3d.scenes.video import read_video

        clip = read_video(path, sampling)
    return _noted(_checked(clip, path), sampling)


def with_intrinsics(clip: Clip, fx: float, fy: float, cx: float, cy: float) -> Clip:
    """``clip`` with one camera for all frames; pixels of the video as a player shows it.

    Raises:
        ValueError: focal lengths that aren't positive, or a principal point outside the picture.
    """
    width, height = clip.size
    if not (0 < fx < float("inf") and 0 < fy < float("inf")):
        raise ValueError(f"intrinsics: fx and fy must be positive pixels, got {fx:g} and {fy:g}")
    if not (0 < cx < width and 0 < cy < height):
        raise ValueError(
            f"intrinsics: the principal point ({cx:g}, {cy:g}) is outside the {width}x{height} picture; "
            "give them in pixels of the video as a player shows it"
        )
    K = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    K = np.diag([clip.scale, clip.scale, 1.0]) @ K
    return replace(clip, K=np.repeat(K[None], len(clip.frames), axis=0))


def with_fov(clip: Clip, degrees: float) -> Clip:
    """``clip`` with a centred pinhole camera of ``degrees`` horizontal field of view.

    ``f = (width / 2) / tan(fov / 2)``, square pixels. A phone's main camera has 60 to 75 degrees held
    sideways.
    """
    if not 0 < degrees < 180:
        raise ValueError(f"fov must be between 0 and 180 degrees, got {degrees:g}")
    width, height = clip.size
    focal = width / 2 / float(np.tan(np.radians(degrees) / 2))
    return with_intrinsics(clip, focal, focal, width / 2, height / 2)


def spread_indices(total: int, frames: int) -> list[int]:
    """Indices of ``frames`` frames over ``total``, as lmms-eval and VG-LLM choose them from a video.

    All of them when there are no more than ``frames``, otherwise ``linspace(0, total - 1, frames)`` cut to
    whole numbers.
    """
    if total <= frames:
        return list(range(total))
    return np.linspace(0, total - 1, frames).astype(int).tolist()


def _read_folder(path: Path, sampling: ClipSampling) -> Clip:
    if (path / "scene.json").is_file():
        ours = read_fields(path / "scene.json").has("format")
        return _read_posed(read_scene(path) if ours else read_posed_clip(path), path, sampling)
    files = sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=_natural)
    if not files:
        videos = sorted(p.name for p in path.iterdir() if p.suffix.lower() in VIDEOS)
        hint = f"; it holds videos, give one of them: {', '.join(videos[:3])}" if videos else ""
        raise ValueError(f"{path}: neither a scene.json nor pictures ({', '.join(PICTURES)}){hint}")
    return _read_pictures(path.name, files, sampling)


def _natural(path: Path) -> tuple[tuple[int, str], ...]:
    parts = re.split(r"(\d+)", path.name)
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts)


def _read_posed(scene: Scene, path: Path, sampling: ClipSampling) -> Clip:
    indices = spread_indices(len(scene.frames), sampling.frames)
    chosen = [scene.frames[index] for index in indices]
    if not chosen:
        raise ValueError(f"{path}: the scene has no frames")
    frames, size, scale = _fitted([load_rgb(frame) for frame in chosen], [f.name for f in chosen], path)
    smaller = np.diag([scale, scale, 1.0])
    return Clip(
        name=scene.id,
        frames=frames,
        indices=tuple(indices),
        total=len(scene.frames),
        times_s=None,
        size=size,
        scale=scale,
        sampling="spread over the folder",
        K=np.stack([smaller @ np.asarray(frame.intrinsics, dtype=np.float64) for frame in chosen]),
        T_world_camera=np.stack([np.asarray(frame.T_world_camera, dtype=np.float64) for frame in chosen]),
    )


def _read_pictures(name: str, files: Sequence[Path], sampling: ClipSampling) -> Clip:
    indices = spread_indices(len(files), sampling.frames)
    chosen = [files[index] for index in indices]
    frames, size, scale = _fitted([_picture(p) for p in chosen], [p.name for p in chosen], chosen[0].parent)
    return Clip(
        name=name,
        frames=frames,
        indices=tuple(indices),
        total=len(files),
        times_s=None,
        size=size,
        scale=scale,
        sampling="spread over the folder" if len(files) > 1 else "one picture",
    )


def _picture(path: Path) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:  # phones turn pictures by a tag, not by their pixels
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"{path} cannot be read as a picture") from None
    except (OSError, SyntaxError) as error:  # Pillow's PNG reader raises SyntaxError on damaged chunks
        raise ValueError(f"{path} is damaged: {error}") from None


def _fitted(
    frames: Sequence[NDArray[np.uint8]], names: Sequence[str], path: Path
) -> tuple[tuple[NDArray[np.uint8], ...], tuple[int, int], float]:
    """Frames no larger than :data:`LONGEST_SIDE`, their common size before, and the scale."""
    from PIL import Image

    height, width = frames[0].shape[:2]
    for frame, name in zip(frames, names, strict=True):
        if frame.shape[:2] != (height, width):
            raise ValueError(
                f"{path}: {name} is {frame.shape[1]}x{frame.shape[0]} but {names[0]} is {width}x{height}; "
                "all frames must have one size"
            )
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shrink: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = lambda frame: np.asarray(  # noqa: E731
            Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
        )
        frames = [shrink(frame) for frame in frames]
    return tuple(frames), (width, height), scale


def _checked(clip: Clip, path: Path) -> Clip:
    width, height = clip.size
    if min(clip.frames[0].shape[:2]) < SHORTEST_SIDE:
        raise ValueError(
            f"{path} is {width}x{height}; frames need at least {SHORTEST_SIDE} pixels a side to be seen"
        )
    return clip


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
