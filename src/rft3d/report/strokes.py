"""What :mod:`rft3d.report.overlay` is drawn with: boxes with front and back edges, dashes, labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import BOX_EDGES, BOX_FACES, box_corners
from rft3d.report.draw import NEAR_M, clip_near, clip_to_picture, project_segments

RIM = "#0b1220"
"""Dark rim around lines: they stay readable on any background."""

Tag = tuple[float, float, str, str]
"""Middle of the label's lower edge in pixels, text, colour."""


def draw_box(
    painter: Any,
    box_camera: NDArray[np.float64],
    K: NDArray[np.float64],
    size: tuple[int, int],
    colour: str,
    dashed: bool,
) -> tuple[float, float] | None:
    """One ``(9,)`` camera-frame box; returns where its label goes, None when nothing of it is in the picture.

    Faces that look at the camera get a faint tint (only when all corners are in front of it); edges that only
    faces looking away share are thin.
    """
    corners = box_corners(box_camera[None])[0]
    unit = max(1.0, size[0] / 640)
    front = _front_faces(corners)
    if (corners[:, 2] > NEAR_M).all():
        pixels = project_segments(np.stack([corners, corners], axis=1), K)[:, 0]
        for face in front:
            outline = [tuple(p) for p in np.clip(pixels[BOX_FACES[face]], -4 * size[0], 5 * size[0]).tolist()]
            painter.polygon(outline, fill=(*rgb(colour), 26))
    near = {tuple(sorted(pair)) for face in front for pair in _pairs(BOX_FACES[face].tolist())}
    strokes: list[tuple[NDArray[np.float64], float]] = []
    for a, b in BOX_EDGES.tolist():
        segment = clip_near(corners[[a, b]][None])
        lines = clip_to_picture(project_segments(segment, K), *size)
        width = 2.4 if tuple(sorted((a, b))) in near else 1.0
        strokes += [(line, width * unit) for line in lines]
    if not strokes:
        return None
    for rim in (True, False):
        for line, width in strokes:
            fill = RIM if rim else colour
            _stroke(painter, line, fill, width + (1.4 * unit if rim else 0), dashed, 9 * unit)
    ends = np.concatenate([line for line, _ in strokes])
    top = ends[ends[:, 1].argmin()]
    return float(top[0]), float(top[1])


def draw_tags(painter: Any, tags: Sequence[Tag], size: tuple[int, int]) -> None:
    """Labels above their boxes, moved apart where they would overlap; lowest first, so that they stack up."""
    font = load_font(max(15, size[0] // 46))
    taken: list[tuple[float, float, float, float]] = []
    for u, v, name, colour in sorted(tags, key=lambda tag: -tag[1]):
        left, top, right, bottom = painter.textbbox((0, 0), plain(name, 28), font=font)
        w, h = right - left + 12, bottom - top + 8
        x = min(max(u - w / 2, 2.0), max(size[0] - w - 2, 2.0))
        y = _free_place(x, min(max(v - h - 2, 2.0), size[1] - h - 2), w, h, taken, size[1])
        taken.append((x, y, x + w, y + h))
        painter.rounded_rectangle((x, y, x + w, y + h), radius=h / 4, fill=colour, outline=RIM)
        painter.text((x + 6 - left, y + 4 - top), plain(name, 28), fill="#ffffff", font=font)


def _free_place(
    x: float, y: float, w: float, h: float, taken: Sequence[tuple[float, float, float, float]], height: int
) -> float:
    """The free height nearest to ``y`` for a label at ``x``; ``y`` itself when there is none."""
    candidates = [y, *(t[1] - h - 1 for t in taken), *(t[3] + 1 for t in taken)]
    for place in sorted((c for c in candidates if 0 <= c <= height - h), key=lambda c: abs(c - y)):
        if not any(x < t[2] and t[0] < x + w and place < t[3] and t[1] < place + h for t in taken):
            return place
    return y


def _front_faces(corners: NDArray[np.float64]) -> list[int]:
    """Faces whose outer side the camera (at the origin) sees."""
    faces = corners[BOX_FACES]
    normals = np.cross(faces[:, 1] - faces[:, 0], faces[:, 3] - faces[:, 0])
    return np.flatnonzero(np.einsum("ij,ij->i", normals, faces.mean(axis=1)) < 0).tolist()


def _pairs(ring: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield from zip(ring, [*ring[1:], ring[0]], strict=True)


def _stroke(
    painter: Any, line: NDArray[np.float64], fill: str, width: float, dashed: bool, dash: float
) -> None:
    start, end = line
    whole = max(1, round(width))
    if not dashed:
        painter.line((*start.tolist(), *end.tolist()), fill=fill, width=whole)
        return
    length = float(np.linalg.norm(end - start))
    count = max(1, round(length / (2 * dash)))
    for at in range(count):
        a, b = start + (end - start) * (at / count), start + (end - start) * ((at + 0.55) / count)
        painter.line((*a.tolist(), *b.tolist()), fill=fill, width=whole)


def plain(text: str, limit: int) -> str:
    """Untrusted text that the font can draw: other characters become ``?``, long texts are cut."""
    known = text.expandtabs(4).replace("→", "->")
    drawn = (c if c == "\n" or (c.isprintable() and ord(c) < 0x250) else "?" for c in known)
    return "".join(drawn)[:limit]


def one_line(text: str) -> str:
    return " ".join(plain(text, 2000).split())


@lru_cache(maxsize=32)
def load_font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def rgb(colour: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    return ImageColor.getrgb(colour)[:3]
