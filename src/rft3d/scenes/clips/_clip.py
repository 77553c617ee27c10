"""The record of a clip, and which frames of it are looked at."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry.rotations import Array
from rft3d.scenes.types import Scene
from rft3d.settings import Checked, Count, NotNegative, Positive

LONGEST_SIDE = 1920
"""Frames with a longer side are made smaller; models see 518 pixels of width at most."""


@dataclass(frozen=True)
class ClipSampling(Checked):
    """Which frames of a clip are looked at.

    Attributes:
        frames: how many. The benchmarks use 4 for detection, 32 for grounding and spatial questions.
        every_s: seconds from one frame to the next, as detection's windows are cut (1 frame a second); None
            spreads the frames over the whole clip. Clips too short for it, and folders (which know no
            time), are spread.
        start_s, end_s: the part of a video to look at; None is its end.
    """

    frames: Count = 4
    every_s: Positive | None = None
    start_s: NotNegative = 0.0
    end_s: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
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
        scene: that the frames are of, when there is one.
    """

    name: str
    frames: tuple[NDArray[np.uint8], ...]
    indices: tuple[int, ...]
    total: int
    times_s: tuple[float, ...] | None
    size: tuple[int, int]
    scale: float
    sampling: str
    K: Array | None = None
    T_world_camera: Array | None = None
    notes: tuple[str, ...] = ()
    scene: Scene | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """A short name for each frame: its time, or its index where there is no time."""
        if self.times_s is None:
            return tuple(f"picture {index}" for index in self.indices)
        return tuple(f"{time:.2f} s" for time in self.times_s)


def with_intrinsics(clip: Clip, fx: float, fy: float, cx: float, cy: float) -> Clip:
    """``clip`` with one camera for all frames; pixels of the video as a player shows it.

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
