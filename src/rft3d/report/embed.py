"""What one self-contained page carries: packed data, pictures and point clouds, within a number of bytes.

Data stands in the page as base64 of gzip, in ``<script type="text/plain">`` elements that the page's own
code unpacks when a view needs them. Nothing of it is ever HTML, so no text can become an element.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.report.page import clean

PICTURE_WIDTH = 480
"""Wider pictures are scaled down to this; boxes are drawn over them by the page, at any size."""

JPEG_QUALITY = 80


@dataclass
class Budget:
    """Bytes that the page may still take."""

    left: int

    def take(self, size: int, keep: int = 0) -> bool:
        """Take ``size`` bytes if ``keep`` bytes are left afterwards."""
        if self.left - size < keep:
            return False
        self.left -= size
        return True


@dataclass(frozen=True)
class Blob:
    """One data element of the page: its id, its text (base64, so it needs no escaping), a picture's size."""

    id: str
    text: str
    size: str = ""


def pack_json(value: Any) -> str:
    """JSON, gzipped (without a time stamp, so that equal data give equal pages), in base64."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("ascii"), 9, mtime=0)).decode("ascii")


def shown(value: Any, limit: int = 8000) -> Any:
    """JSON values with every text made visible and cut (:func:`~rft3d.report.page.clean`), numbers finite."""
    if isinstance(value, str):
        return clean(value, limit)
    if isinstance(value, dict):
        return {clean(key, 200): shown(item, limit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item, limit) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def chunks(
    prefix: str, rows: Iterable[Any], size: int, budget: Budget, keep: int = 0
) -> tuple[list[Blob], int]:
    """``rows`` packed ``size`` at a time into blobs ``<prefix>-<k>`` while they fit, and how many went in."""
    made: list[Blob] = []
    count, waiting = 0, iter(rows)
    while part := list(islice(waiting, size)):
        text = pack_json(part)
        if not budget.take(len(text) + 80, keep):
            break
        made.append(Blob(f"{prefix}-{len(made)}", text))
        count += len(part)
    return made, count


@dataclass
class Pictures:
    """Pictures of the page, each once: :meth:`number` names one, :meth:`fill` reads as many as fit."""

    numbers: dict[str, int] = field(default_factory=dict)
    loaders: list[Callable[[], NDArray[np.uint8]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    dropped: int = 0

    def number(self, key: str, load: Callable[[], NDArray[np.uint8]]) -> int:
        """The number of picture ``key``; ``load()`` gives its ``(H, W, 3)`` uint8 pixels when needed."""
        if key not in self.numbers:
            self.numbers[key] = len(self.loaders)
            self.loaders.append(load)
        return self.numbers[key]

    def fill(self, order: Iterable[int], budget: Budget) -> list[Blob]:
        """Blobs ``p-<number>`` (base64 JPEG) in this order, until the budget is spent."""
        made: list[Blob] = []
        wanted = list(dict.fromkeys(order))
        for place, number in enumerate(wanted):
            try:
                pixels = self.loaders[number]()
                text = base64.b64encode(jpeg(pixels)).decode("ascii")
            except (OSError, ValueError) as error:  # a damaged picture is an OSError
                self.problems.append(str(error))
                continue
            if not budget.take(len(text) + 80):
                self.dropped = len(wanted) - place
                break
            made.append(Blob(f"p-{number}", text, f"{pixels.shape[1]}x{pixels.shape[0]}"))
        return made


def jpeg(picture: NDArray[np.uint8], width: int = PICTURE_WIDTH) -> bytes:
    """``(H, W, 3)`` uint8 as JPEG, at most ``width`` pixels wide."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def pack_cloud(points: NDArray[np.float64], colours: NDArray[np.uint8]) -> str:
    """``(N, 3)`` world points in metres and ``(N, 3)`` RGB as base64 of gzip.

    Layout, little endian: float32 origin x y z and step (metres), then N x 3 uint16 multiples of the step,
    then N x 3 uint8.
    """
    origin = points.min(axis=0)
    step = max(float((points - origin).max()) / 65535.0, 1e-6)
    grid = np.round((points - origin) / step).astype("<u2")
    head = np.array([*origin, step], dtype="<f4").tobytes()
    return base64.b64encode(
        gzip.compress(head + grid.tobytes() + colours.astype(np.uint8).tobytes(), 6, mtime=0)
    ).decode("ascii")
