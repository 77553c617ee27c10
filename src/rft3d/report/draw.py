"""Draw 9-DoF boxes into a picture as projected wireframes.

Boxes are in the picture's own camera frame (OpenCV: x right, y down, z forward; metres). Every
edge is clipped against the near plane *before* projection: an end point behind the camera would
project to the mirrored side of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import box_corners, boxes_valid
from rft3d.geometry.boxes import BOX_EDGES

NEAR_M = 0.05
TRUE_COLOUR = "#18a558"
PREDICTED_COLOUR = "#ff7f0e"


def box_edges(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, 9)`` boxes -> ``(N, 12, 2, 3)`` end points of their edges, in the boxes' frame, metres."""
    return box_corners(np.asarray(boxes, dtype=np.float64).reshape(-1, 9))[:, BOX_EDGES]


def clip_near(segments: NDArray[np.float64], near_m: float = NEAR_M) -> NDArray[np.float64]:
    """The parts of ``(S, 2, 3)`` camera-frame segments with z >= ``near_m``; segments wholly behind go."""
    segments = np.asarray(segments, dtype=np.float64).reshape(-1, 2, 3)
    depth = segments[:, :, 2]
    segments = segments[(depth >= near_m).any(axis=1)].copy()
    for end in (0, 1):
        here, other = segments[:, end], segments[:, 1 - end]
        behind = here[:, 2] < near_m
        share = (near_m - other[behind, 2]) / (here[behind, 2] - other[behind, 2])
        segments[behind, end] = other[behind] + share[:, None] * (here[behind] - other[behind])
    return segments


def project_segments(segments: NDArray[np.float64], K: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(S, 2, 3)`` camera-frame segments in front of the camera -> ``(S, 2, 2)`` pixels."""
    uvw = np.asarray(segments, dtype=np.float64) @ np.asarray(K, dtype=np.float64).T
    return uvw[..., :2] / uvw[..., 2:]


def clip_to_picture(lines: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """The parts of ``(S, 2, 2)`` pixel lines inside ``[0, width] x [0, height]``.

    Liang and Barsky, "A new concept and method for line clipping" (1984). Keeps the painter away
    from the huge coordinates that points close to the near plane have.
    """
    kept = []
    for start, end in np.asarray(lines, dtype=np.float64).reshape(-1, 2, 2):
        step = end - start
        low, high = 0.0, 1.0
        for axis, limit in ((0, float(width)), (1, float(height))):
            for towards, room in ((-step[axis], start[axis]), (step[axis], limit - start[axis])):
                if towards == 0.0:
                    if room < 0.0:
                        low, high = 1.0, 0.0
                elif towards < 0.0:
                    low = max(low, room / towards)
                else:
                    high = min(high, room / towards)
        if low <= high:
            kept.append((start + low * step, start + high * step))
    return np.array(kept, dtype=np.float64).reshape(-1, 2, 2)


def draw_boxes(
    image: NDArray[np.uint8],
    boxes_camera: NDArray[np.float64],
    K: NDArray[np.float64],
    colours: Sequence[str] | str = TRUE_COLOUR,
    labels: Sequence[str] | None = None,
    *,
    scale: int = 1,
    line_width: int = 2,
) -> NDArray[np.uint8]:
    """A copy of ``image`` with boxes drawn in.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        boxes_camera: ``(N, 9)`` boxes in this picture's camera frame.
        K: ``(3, 3)`` pinhole intrinsics in pixels of ``image``, pixel centres at +0.5.
        colours: one colour a box, or one for all (anything that Pillow reads).
        labels: one short text a box, or None.
        scale: whole factor to enlarge the picture by first, so that thin lines stay readable.
        line_width: pixels of the enlarged picture.

    Returns:
        ``(scale * H, scale * W, 3)`` uint8. Boxes with non-finite numbers or non-positive sizes
        are not drawn.
    """
    from PIL import Image, ImageDraw, ImageFont

    boxes = np.asarray(boxes_camera, dtype=np.float64).reshape(-1, 9)
    colours = [colours] * len(boxes) if isinstance(colours, str) else list(colours)
    names = [""] * len(boxes) if labels is None else list(labels)
    if not len(colours) == len(names) == len(boxes):
        raise ValueError(
            f"{len(boxes)} boxes, {len(colours)} colours, {len(names)} labels: one a box is needed"
        )
    canvas = Image.fromarray(np.ascontiguousarray(image[..., :3]))
    width, height = canvas.width * scale, canvas.height * scale
    if scale != 1:
        canvas = canvas.resize((width, height), Image.Resampling.BICUBIC)
    painter = ImageDraw.Draw(canvas)
    K_scaled = np.diag([scale, scale, 1.0]) @ np.asarray(K, dtype=np.float64)
    tags: list[tuple[float, float, str, str]] = []
    for box, colour, name, valid in zip(boxes, colours, names, boxes_valid(boxes), strict=True):
        if not valid:
            continue
        lines = project_segments(clip_near(box_edges(box)[0]), K_scaled)
        lines = clip_to_picture(lines, width, height) - 0.5  # Pillow's integers are pixel centres
        _draw_lines(painter, lines, colour, line_width)
        if len(lines) and name:
            top = lines.reshape(-1, 2)[lines.reshape(-1, 2)[:, 1].argmin()]
            tags.append((float(top[0]), float(top[1]), name, colour))
    font = ImageFont.load_default(size=max(9, min(13, height // 26)))
    _draw_tags(painter, tags, font, width, height)
    return np.asarray(canvas, dtype=np.uint8)


def _draw_lines(painter: Any, lines: NDArray[np.float64], colour: str, width: int) -> None:
    # a dark rim first keeps lines readable on any background
    for fill, thickness in (("#101418", width + 2), (colour, width)):
        for start, end in lines:
            painter.line((*start.tolist(), *end.tolist()), fill=fill, width=thickness)


def _draw_tags(
    painter: Any, tags: Sequence[tuple[float, float, str, str]], font: Any, width: int, height: int
) -> None:
    taken: list[tuple[float, float, float, float]] = []
    for u, v, name, colour in tags:
        text = "".join(char if char.isprintable() and ord(char) < 0x250 else "?" for char in name)[:24]
        left, top, right, bottom = painter.textbbox((0, 0), text, font=font)
        w, h = right - left + 6, bottom - top + 4
        x = min(max(u - w / 2, 0.0), max(width - w, 0.0))
        y = min(max(v - h, 0.0), max(height - h, 0.0))
        for _ in range(len(taken)):  # step below tags already there
            hit = next((t for t in taken if x < t[2] and t[0] < x + w and y < t[3] and t[1] < y + h), None)
            if hit is None or hit[3] + h > height:
                break
            y = hit[3]
        taken.append((x, y, x + w, y + h))
        painter.rectangle((x, y, x + w, y + h), fill=colour)
        painter.text((x + 3 - left, y + 2 - top), text, fill="#ffffff", font=font)
