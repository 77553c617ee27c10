"""From an image source to an array: frames may hold arrays, files or functions that load them.

Depth files are 16-bit PNG in millimetres (0 = unknown), instance files 16-bit PNG with object id + 1
(0 = no object).
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rft3d.files import blaming, replacing
from rft3d.scenes.types import Frame, ImageSource

MILLIMETRES = 1000.0
MAX_PIXELS = 100_000_000
"""A picture that says it has more is refused before it is decoded."""
# Pillow's readers raise all of these on damaged files
_DAMAGE = (ValueError, OSError, SyntaxError, LookupError, TypeError, struct.error, zlib.error)
_DAMAGE += (Image.DecompressionBombError, MemoryError, OverflowError)


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """An image file, its pixels not decoded yet; it is closed at the end of the block.

    DamagedFile: not a picture, damaged, or it claims more than :data:`MAX_PIXELS` (checked before decoding).
    """
    with blaming(path, *_DAMAGE), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels, more than MAX_PIXELS = {MAX_PIXELS}")
            yield image


def read_image(path: Path) -> NDArray[np.generic]:
    """The pixels of an image file as stored (colour images as RGB)."""
    with opened_picture(path) as image:
        if image.mode in ("I;16", "I;16B", "I", "L"):
            return np.asarray(image)
        return np.asarray(image.convert("RGB"))


def write_image(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write uint8 RGB or uint16 grey as PNG, atomically (a reader never sees half a file)."""
    with replacing(path, synced=False) as unfinished:  # a data set is synced as a whole
        Image.fromarray(pixels).save(unfinished, format="PNG", compress_level=3)


def _pixels(
    frame: Frame, field: str, source: ImageSource, channels: tuple[int, ...] = ()
) -> NDArray[np.generic]:
    """What ``source`` holds; ValueError when there is none, or its size isn't the frame's."""
    if source is None:
        raise ValueError(f"frame {frame.name!r} has no {field}; ask only scenes that carry it")
    if isinstance(source, Path):
        pixels = read_image(source)
    else:
        pixels = source if isinstance(source, np.ndarray) else source()
    expected = (frame.height, frame.width, *channels)
    if pixels.shape != expected:
        raise ValueError(f"frame {frame.name!r}: {field} must have shape {expected}, got {pixels.shape}")
    return pixels


def load_rgb(frame: Frame) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8. Raises ``ValueError`` when the size isn't the frame's."""
    return np.ascontiguousarray(_pixels(frame, "rgb", frame.rgb, (3,)), dtype=np.uint8)


def load_depth(frame: Frame) -> NDArray[np.float32]:
    """``(H, W)`` float32 metres along the camera's z, 0 where unknown. Files hold millimetres."""
    source = partial(read_depth, frame.depth) if isinstance(frame.depth, Path) else frame.depth
    return _pixels(frame, "depth", source).astype(np.float32, copy=False)


def read_depth(path: Path, units_per_m: float = MILLIMETRES) -> NDArray[np.float32]:
    """The depth in a 16-bit picture file, metres."""
    return (read_image(path).astype(np.float32) / np.float32(units_per_m)).astype(np.float32)


def load_instances(frame: Frame) -> NDArray[np.int32]:
    """``(H, W)`` int32 object id + 1, 0 for no object."""
    return _pixels(frame, "instances", frame.instances).astype(np.int32, copy=False)
