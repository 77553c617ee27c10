"""Frames to pixels for both encoders: one resize, VG-LLM's crops, Qwen's patch rows.

Every frame is resized once (PIL bicubic). The geometry encoder sees it whole; Qwen's tower sees it without
the right columns and bottom rows that do not fill a 2×2 cell of patches. Nothing is resampled a second time,
so a vision token and the geometry under it look at the same pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

GEOMETRY_PATCH = 14
"""Side of VGGT's patches in pixels; frames are planned on this grid for every backbone."""

VGLLM_WIDTH = 518

FrameSize = tuple[int, int] | int
"""``(width, height)`` that every frame is resized to, or a width: the height follows the picture's shape."""


@dataclass(frozen=True)
class Grid:
    """Patches of a prepared frame: ``rows × cols``, cut from the middle of ``full_rows`` rows."""

    rows: int
    cols: int
    full_rows: int


def plan(size: FrameSize, height: int, width: int) -> Grid:
    """The grid of a picture of ``height × width`` pixels.

    A width means: that wide, the height in proportion and rounded to whole patches, of which at most as many rows
    as columns stay (tall pictures lose top and bottom), as VG-LLM prepares frames.
    """
    if not isinstance(size, int):
        rows, cols = size[1] // GEOMETRY_PATCH, size[0] // GEOMETRY_PATCH
        return Grid(rows, cols, rows)
    cols = size // GEOMETRY_PATCH
    full = round(height * (size / width) / GEOMETRY_PATCH)
    if full < 2:
        raise ValueError(
            f"a frame of {width}x{height} pixels becomes {size}x{full * GEOMETRY_PATCH}: too flat, at least "
            f"{2 * GEOMETRY_PATCH} rows are needed; crop its sides"
        )
    return Grid(min(full, cols), cols, full)


def prepare_frames(
    frames: Sequence[NDArray[np.uint8]], size: FrameSize, patch: int = GEOMETRY_PATCH
) -> Tensor:
    """Frames ``(h, w, 3)`` or ``(h, w, 4)`` uint8 -> ``(S, 3, H, W)`` float in [0, 1]; transparent pixels on
    white.

    A patch of the planned grid becomes ``patch`` pixels wide and high. ValueError: no frames, an array of another
    shape or type, or frames whose grids differ (an encoder sees all frames of a clip together).
    """
    if not len(frames):
        raise ValueError("a clip needs at least one frame")
    prepared: list[NDArray[np.uint8]] = []
    first: Grid | None = None
    for index, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] not in (3, 4) or frame.dtype != np.uint8:
            raise ValueError(f"frame {index} is {frame.shape} {frame.dtype}, not (h, w, 3 or 4) uint8")
        grid = plan(size, frame.shape[0], frame.shape[1])
        first = first or grid
        if grid != first:
            raise ValueError(
                f"frame {index} ({frame.shape[1]}x{frame.shape[0]} pixels) gives {grid.rows}x{grid.cols} "
                f"patches, frame 0 ({frames[0].shape[1]}x{frames[0].shape[0]}) {first.rows}x{first.cols}; "
                "the frames of a clip must have one shape"
            )
        wanted = (grid.cols * patch, grid.full_rows * patch)
        picture = frame
        if frame.shape[2] == 4:
            white = Image.new("RGBA", (frame.shape[1], frame.shape[0]), (255, 255, 255, 255))
            picture = np.asarray(Image.alpha_composite(white, Image.fromarray(frame)).convert("RGB"))
        if (picture.shape[1], picture.shape[0]) != wanted:
            picture = np.asarray(Image.fromarray(picture).resize(wanted, Image.Resampling.BICUBIC))
        top = (grid.full_rows - grid.rows) * patch // 2
        prepared.append(picture[top : top + grid.rows * patch])
    return torch.from_numpy(np.stack(prepared)).permute(0, 3, 1, 2).float() / 255


def crop_to_cells(images: Tensor, cell: int) -> Tensor:
    """``(..., H, W)`` without the bottom rows and right columns that fill no cell of ``cell`` pixels."""
    height, width = images.shape[-2:]
    return images[..., : height // cell * cell, : width // cell * cell]


def qwen_patches(
    images: Tensor, patch: int = 14, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD
) -> tuple[Tensor, Tensor]:
    """Frames ``(N, 3, H, W)`` in [0, 1] to the flat patch rows of Qwen's image processor, without resampling.

    Each frame is an *image* of its own (twice, to fill the temporal patch), as VG-LLM feeds them. Returns
    ``(N * h * w, 3 * 2 * patch * patch)`` rows, 2×2 neighbours together, and ``(N, 3)`` grid (1, h, w).
    """
    n, _, height, width = images.shape
    if height % (2 * patch) or width % (2 * patch):
        raise ValueError(f"frames are {height}x{width}; both must be multiples of {2 * patch}")
    shift, scale = (images.new_tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    x = ((images - shift) / scale)[:, None].expand(-1, 2, -1, -1, -1)
    h, w = height // patch, width // patch
    x = x.reshape(n, 2, 3, h // 2, 2, patch, w // 2, 2, patch)
    x = x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    grid = torch.tensor([[1, h, w]], device=images.device).expand(n, -1)
    return x.reshape(n * h * w, 3 * 2 * patch * patch), grid
