"""Draw 9-DoF boxes into a picture, and put pictures together: for pages, exports, trackers and notebooks.

Boxes are in the picture's own camera frame (OpenCV: x right, y down, z forward; metres). Edges are cut to the
camera's field of view *before* projection: an end point behind the camera would project to the mirrored side.
Drawn at twice the size and scaled down, so that lines are smooth.
"""

import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.files import replacing
from rft3d.geometry import BOX_EDGES, BOX_FACES, box_corners, boxes_valid, project
from rft3d.scenes.types import CATE31

NEAR_M = 0.05
TRUE_COLOUR = "#18a558"
PREDICTED_COLOUR = "#ff7f0e"
RIM = "#0b1220"
"""Dark rim around lines: they stay readable on any background."""
SMOOTH = 2
"""Drawn at this many times the size, then scaled down."""
PALETTE = (
    "#2563eb", "#ea580c", "#22d3ee", "#9333ea", "#0891b2", "#be123c", "#a16207",
    "#db2777", "#facc15", "#7c3aed", "#f472b6", "#b45309", "#1d4ed8", "#dc2626",
    "#78350f", "#c026d3", "#0369a1", "#9f1239", "#fb923c", "#6d28d9",
)  # fmt: skip
"""Of classes; no green, which is for true boxes."""


def label_colour(label: str) -> str:
    """One colour a class: the known ones by their place in the list, others by a digest of their name."""
    place = CATE31.index(label) if label in CATE31 else zlib.crc32(label.encode("utf-8", "replace"))
    return PALETTE[place % len(PALETTE)]


def seen(segments: NDArray[np.float64], K: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The parts of ``(S, 2, 3)`` camera-frame segments in a picture of ``size`` (width, height), projected.

    Returns:
        ``(T, 2, 2)`` pixels, T <= S. Segments outside go; others are cut at the near plane and the borders.
    """
    segments = np.array(segments, dtype=np.float64).reshape(-1, 2, 3)
    u, v, w = np.asarray(K, dtype=np.float64)
    for normal, least in ((w, NEAR_M), (u, 0.0), (size[0] * w - u, 0.0), (v, 0.0), (size[1] * w - v, 0.0)):
        inside = segments @ normal - least
        some = (inside >= 0).any(axis=1)
        segments, inside = segments[some], inside[some]
        for end in (0, 1):
            out = inside[:, end] < 0
            share = inside[out, 1 - end] / (inside[out, 1 - end] - inside[out, end])
            other = segments[out, 1 - end]
            segments[out, end] = other + share[:, None] * (segments[out, end] - other)
    return project(segments, K)[0]


def draw_boxes(
    image: NDArray[np.uint8],
    boxes_camera: NDArray[np.float64],
    K: NDArray[np.float64],
    colours: str | Sequence[str] = TRUE_COLOUR,
    labels: Sequence[str] | None = None,
    *,
    dashed: Sequence[bool] = (),
    scale: float = 1,
) -> NDArray[np.uint8]:
    """A copy of ``image`` with boxes drawn in; faces towards the camera are tinted, edges behind them thin.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes_camera: ``(N, 9)`` boxes in this picture's camera frame.
        K: ``(3, 3)`` pinhole intrinsics in pixels of ``image``, pixel centres at +0.5.
        colours: one colour a box, or one for all (anything that Pillow reads).
        labels: one short text a box, or None.
        dashed: whose lines are dashed, one a box; empty: none.
        scale: factor to enlarge the picture by first, so that lines stay readable.

    Returns:
        ``(scale * H, scale * W, 3)`` uint8. Boxes with non-finite numbers or non-positive sizes
        are not drawn.
    """
    from PIL import Image, ImageDraw

    boxes = np.asarray(boxes_camera, dtype=np.float64).reshape(-1, 9)
    colours = [colours] * len(boxes) if isinstance(colours, str) else list(colours)
    names = [""] * len(boxes) if labels is None else list(labels)
    dashes = list(dashed) or [False] * len(boxes)
    if not len(colours) == len(names) == len(dashes) == len(boxes):
        raise ValueError(
            f"{len(boxes)} boxes, {len(colours)} colours, {len(names)} labels, {len(dashes)} dashed: "
            "one a box is needed"
        )
    final = (round(scale * image.shape[1]), round(scale * image.shape[0]))
    smooth = SMOOTH if len(boxes) else 1
    size = (smooth * final[0], smooth * final[1])
    zoom = np.array([size[0] / image.shape[1], size[1] / image.shape[0], 1.0])
    canvas = Image.fromarray(np.ascontiguousarray(image[..., :3])).resize(size, Image.Resampling.LANCZOS)
    painter = ImageDraw.Draw(canvas, "RGBA")
    tags: list[tuple[float, float, str, str]] = []
    for box, colour, name, dash, valid in zip(boxes, colours, names, dashes, boxes_valid(boxes), strict=True):
        with np.errstate(all="ignore"):  # numbers beyond all measure: what is not finite is not drawn
            top = (
                _draw_box(painter, box, zoom[:, None] * np.asarray(K), size, colour, dash) if valid else None
            )
        if top is not None and name:
            tags.append((*top, name, colour))
    _draw_tags(painter, tags, size)
    return np.asarray(canvas.resize(final, Image.Resampling.LANCZOS), dtype=np.uint8)


def _draw_box(
    painter: Any,
    box: NDArray[np.float64],
    K: NDArray[np.float64],
    size: tuple[int, int],
    colour: str,
    dashed: bool,
) -> tuple[float, float] | None:
    """Draw one box; where its label goes, None when nothing of it is in the picture."""
    corners = box_corners(box[None])[0]
    unit = max(1.0, size[0] / 640)
    faces = corners[BOX_FACES]
    normals = np.cross(faces[:, 1] - faces[:, 0], faces[:, 3] - faces[:, 0])
    front = BOX_FACES[np.einsum("ij,ij->i", normals, faces.mean(axis=1)) < 0]  # the camera sees their outside
    if (corners[:, 2] > NEAR_M).all():
        pixels, _ = project(corners, K)
        for face in front if np.isfinite(pixels).all() else ():
            outline = np.clip(pixels[face], -4 * size[0], 5 * size[0])
            painter.polygon(list(map(tuple, outline.tolist())), fill=(*rgb(colour), 26))
    near = {frozenset(pair) for face in front.tolist() for pair in pairwise([*face, face[0]])}
    strokes: list[tuple[NDArray[np.float64], float]] = []
    for edge in BOX_EDGES:
        width = 2.4 if not near or frozenset(edge.tolist()) in near else 1.0  # none: from inside
        strokes += [(line, width * unit) for line in seen(corners[edge], K, size) if np.isfinite(line).all()]
    for rim in (1.4 * unit, 0):
        for line, width in strokes:
            _stroke(painter, line, RIM if rim else colour, max(1, round(width + rim)), 9 * unit * dashed)
    ends = np.concatenate([line for line, _ in strokes]) if strokes else None
    return None if ends is None else tuple(ends[ends[:, 1].argmin()].tolist())


def _stroke(painter: Any, line: NDArray[np.float64], fill: str, width: int, dash: float) -> None:
    start, end = line
    count = max(1, round(float(np.linalg.norm(end - start)) / (2 * dash))) if dash else 1
    for at in range(count):
        ends = start + (end - start) * np.array([[at / count], [(at + (0.55 if dash else 1)) / count]])
        painter.line(ends.reshape(-1).tolist(), fill=fill, width=width)


def _draw_tags(painter: Any, tags: Sequence[tuple[float, float, str, str]], size: tuple[int, int]) -> None:
    """Labels above their boxes, moved apart where they would overlap; lowest first, so that they stack up."""
    from PIL import ImageFont

    font = ImageFont.load_default(size=max(15, size[0] // 46))
    taken: list[tuple[float, float, float, float]] = []
    for u, v, name, colour in sorted(tags, key=lambda tag: -tag[1]):
        text = drawable(name, 28)
        left, top, right, bottom = painter.textbbox((0, 0), text, font=font)
        w, h = right - left + 12, bottom - top + 8
        x = min(max(u - w / 2, 2.0), max(size[0] - w - 2, 2.0))
        want = min(max(v - h - 2, 2.0), size[1] - h - 2)
        beside = [t for t in taken if x < t[2] and t[0] < x + w]
        heights = [want, *(t[1] - h - 1 for t in beside), *(t[3] + 1 for t in beside)]
        free = (
            y for y in heights if 0 <= y <= size[1] - h and all(y >= t[3] or y + h <= t[1] for t in beside)
        )
        y = min(free, key=lambda y: abs(y - want), default=want)
        taken.append((x, y, x + w, y + h))
        painter.rounded_rectangle((x, y, x + w, y + h), radius=h / 4, fill=colour, outline=RIM)
        painter.text((x + 6 - left, y + 4 - top), text, fill="#ffffff", font=font)


def tile(
    pictures: Sequence[NDArray[np.uint8]], names: Sequence[str], columns: int, widest: int | None = None
) -> NDArray[np.uint8]:
    """Pictures of one size in rows of ``columns``, each with its name; made smaller to be at most ``widest``."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = pictures[0].shape[:2]
    cell = width if widest is None else min(width, widest // columns)
    cells = (cell, max(1, round(height * cell / width)))
    sheet = Image.new("RGB", (columns * cells[0], -(-len(pictures) // columns) * cells[1]), "#0f172a")
    painter = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for place, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        x, y = place % columns * cells[0], place // columns * cells[1]
        sheet.paste(Image.fromarray(picture).resize(cells, Image.Resampling.BICUBIC), (x, y))
        left, top, right, bottom = painter.textbbox((x + 4, y + 3), drawable(name, 60), font=font)
        painter.rectangle((left - 3, top - 2, right + 3, bottom + 2), fill="#0f172a")
        painter.text((x + 4, y + 3), drawable(name, 60), fill="#ffffff", font=font)
    return np.asarray(sheet, dtype=np.uint8)


def save(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Write ``(H, W, 3)`` pixels as the PNG or JPEG file that ``path`` names, whole or not at all."""
    from PIL import Image

    with replacing(path) as unfinished:  # which has another suffix; PNG has no quality
        Image.fromarray(picture).save(unfinished, "PNG" if path.suffix == ".png" else "JPEG", quality=85)
    return path


def drawable(text: str, limit: int) -> str:
    """Untrusted text that the font can draw: other characters become ``?``, long texts are cut."""
    known = text.expandtabs(4).replace("→", "->")
    drawn = (c if c == "\n" or (c.isprintable() and ord(c) < 0x250) else "?" for c in known)
    return "".join(drawn)[:limit]


def rgb(colour: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    return ImageColor.getrgb(colour)[:3]
