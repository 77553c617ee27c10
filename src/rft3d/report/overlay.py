"""Pictures for papers: boxes over frames with consistent colours and readable labels, as PNG sheets and MP4.

Truth is always green, predictions are orange (hit: solid; miss: dashed). With ``colour="label"`` a class has
one colour, the same in every picture, and truth is dashed beside predictions. Drawn at twice the size and
scaled down, so that lines are smooth; edges behind a box's front are thin.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rft3d.files import replacing
from rft3d.geometry import boxes_valid, invert_pose, transform_boxes
from rft3d.report.draw import PREDICTED_COLOUR, TRUE_COLOUR
from rft3d.report.exhibit import Exhibit, ShownBox, answered
from rft3d.report.strokes import Tag, draw_box, draw_tags, load_font, one_line, plain
from rft3d.scenes.clips import write_video
from rft3d.scenes.labels import CATE31
from rft3d.tasks.types import Sample, Task

Colour = Literal["kind", "label"]

SMOOTH = 2
"""Drawn at this many times the size, then scaled down."""

_PALETTE = (
    "#2563eb", "#ea580c", "#16a34a", "#9333ea", "#0891b2", "#be123c", "#a16207",
    "#db2777", "#4d7c0f", "#7c3aed", "#0d9488", "#b45309", "#1d4ed8", "#dc2626",
    "#15803d", "#c026d3", "#0369a1", "#9f1239", "#65a30d", "#6d28d9",
)  # fmt: skip


@dataclass(frozen=True)
class OverlayStyle:
    """``width_px``: of a frame. ``colour``: by ``kind`` (true or predicted) or ``label``."""

    width_px: int = 640
    colour: Colour = "kind"
    labels: bool = True


def label_colour(label: str) -> str:
    """One colour a class: the known ones by their place in the list, others by a digest of their name."""
    place = (
        CATE31.index(label) if label in CATE31 else hashlib.blake2b(label.encode(), digest_size=4).digest()[0]
    )
    return _PALETTE[place % len(_PALETTE)]


def draw_frame(exhibit: Exhibit, frame: int, model: str | None, style: OverlayStyle) -> NDArray[np.uint8]:
    """Frame ``frame`` with true boxes and those of ``model`` (None: truth alone), ``style.width_px`` wide."""
    from PIL import Image, ImageDraw

    picture = exhibit.pictures[frame]
    height_px = round(picture.shape[0] * style.width_px / picture.shape[1])
    size = (SMOOTH * style.width_px, SMOOTH * height_px)
    canvas = Image.fromarray(np.ascontiguousarray(picture[..., :3])).resize(size, Image.Resampling.LANCZOS)
    painter = ImageDraw.Draw(canvas, "RGBA")
    zoom = size[0] / picture.shape[1]
    K = np.diag([zoom, zoom, 1.0]) @ exhibit.K[frame]
    T_camera_world = invert_pose(exhibit.T_world_camera[frame])
    tags: list[Tag] = []
    shown = [(box, True) for box in exhibit.true or ()]
    shown += [(box, False) for box in (exhibit.predicted.get(model, ()) if model is not None else ())]
    for box, is_true in shown:
        if not boxes_valid(box.box[None])[0]:
            continue
        colour, dashed = look(box, is_true, style.colour, alone=model is None)
        anchor = draw_box(painter, transform_boxes(T_camera_world, box.box[None])[0], K, size, colour, dashed)
        if anchor is not None and style.labels:
            tags.append((*anchor, box.tag, colour))
    draw_tags(painter, tags, size)
    return np.asarray(canvas.resize((style.width_px, height_px), Image.Resampling.LANCZOS), dtype=np.uint8)


def draw_sheet(exhibit: Exhibit, models: Sequence[str | None], style: OverlayStyle, columns: int = 4) -> Any:
    """A Pillow picture: a row of frames for each of ``models`` (None: truth alone), its name on the left."""
    from PIL import Image, ImageDraw

    picked = np.unique(np.linspace(0, len(exhibit.pictures) - 1, min(columns, len(exhibit.pictures))).round())
    rows = [[draw_frame(exhibit, int(f), model, style) for f in picked] for model in models]
    height, width = rows[0][0].shape[:2]
    font = load_font(max(14, height // 16))
    gap, margin = max(4, width // 80), max(26, height // 9)
    sheet = Image.new(
        "RGB", (margin + len(picked) * (width + gap), margin + len(rows) * (height + gap)), "#ffffff"
    )
    for row, (pictures, model) in enumerate(zip(rows, models, strict=True)):
        top = margin + row * (height + gap)
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (margin + column * (width + gap), top))
        name = Image.new("RGB", (height, margin), "#ffffff")
        text = plain(model or "ground truth", 60)
        ImageDraw.Draw(name).text((height / 2, margin / 2), text, fill="#0f172a", font=font, anchor="mm")
        sheet.paste(name.rotate(90, expand=True), (0, top))
    _legend(
        ImageDraw.Draw(sheet), exhibit, models, picked.astype(int).tolist(), style, font, margin, width + gap
    )
    return sheet


def write_overlays(
    shown: Exhibit, folder: Path, style: OverlayStyle | None = None, models: Sequence[str] | None = None
) -> list[Path]:
    """Write ``<id>.png`` (the sheet) and ``<id>/<model>-<frame>.png`` into ``folder``; returns the files."""
    from PIL import Image

    style = style or OverlayStyle()
    names: list[str | None] = list(shown.predicted if models is None else models) or [None]
    stem = file_stem(shown.id)
    files = [_save(draw_sheet(shown, names, style), folder / f"{stem}.png")]
    for model in names:
        for frame in range(len(shown.pictures)):
            picture = Image.fromarray(draw_frame(shown, frame, model, style))
            files.append(_save(picture, folder / stem / f"{file_stem(model or 'truth')}-{frame:03d}.png"))
    return files


def paint_answer(
    sample: Sample, task: Task, pictures: Sequence[NDArray[np.uint8]], text: str
) -> NDArray[np.uint8]:
    """One answer as one picture, for trackers: frames with true and predicted boxes, the text below."""
    from PIL import Image, ImageDraw

    shown = answered(sample, task.parse(text, sample), task.parse(task.gold(sample), sample), pictures)
    style = OverlayStyle(width_px=360)
    if shown is not None:
        strips = [draw_frame(shown, frame, "answer", style) for frame in range(min(4, len(pictures)))]
    else:
        scaled = (360, round(pictures[0].shape[0] * 360 / pictures[0].shape[1]))
        strips = [np.asarray(Image.fromarray(p).resize(scaled)) for p in pictures[:4]]
    strip = np.concatenate(strips, axis=1)
    question = plain(sample.prompt.replace("<image>", ""), 4000).split("\n")
    lines = [
        *[line for line in question if line.strip()][-3:],
        f"gold: {one_line(task.gold(sample))}",
        f"answer: {one_line(text)}",
    ]
    font = load_font(13)
    canvas = Image.new("RGB", (strip.shape[1], strip.shape[0] + 18 * len(lines) + 8), "#ffffff")
    canvas.paste(Image.fromarray(strip), (0, 0))
    painter = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        fitting = line[: max(8, strip.shape[1] // 7)]
        painter.text((6, strip.shape[0] + 4 + 18 * row), fitting, fill="#0f172a", font=font)
    return np.asarray(canvas, dtype=np.uint8)


def file_stem(name: str) -> str:
    """``name`` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "unnamed"


def look(box: ShownBox, is_true: bool, colour: Colour, alone: bool = False) -> tuple[str, bool]:
    """Colour of a box and whether its lines are dashed; ``alone``: no predictions beside the truth."""
    if colour == "label":
        return label_colour(box.label), is_true and not alone
    return (TRUE_COLOUR, False) if is_true else (PREDICTED_COLOUR, box.hit is False)


def _legend(
    painter: Any,
    exhibit: Exhibit,
    models: Sequence[str | None],
    frames: Sequence[int],
    style: OverlayStyle,
    font: Any,
    margin: int,
    pitch: int,
) -> None:
    """Frame numbers above their columns, and what the colours mean above the first one."""
    for column, frame in enumerate(frames):
        centre = margin + column * pitch + pitch / 2
        painter.text((centre, margin / 2), f"frame {frame}", fill="#475569", font=font, anchor="mm")
    if style.colour == "label" or models == [None]:
        return
    x = margin
    for name, colour in (("true", TRUE_COLOUR), ("predicted", PREDICTED_COLOUR)):
        painter.rounded_rectangle((x, margin / 2 - 6, x + 12, margin / 2 + 6), radius=3, fill=colour)
        painter.text((x + 17, margin / 2), name, fill="#0f172a", font=font, anchor="lm")
        x += 17 + painter.textlength(name, font=font) + 14


def _save(picture: Any, path: Path) -> Path:
    with replacing(path) as unfinished:
        picture.save(unfinished, "PNG")
    return path


def export_overlays(
    shown: Iterable[Exhibit], folder: Path, style: OverlayStyle | None = None, fps: float | None = None
) -> int:
    """:func:`write_overlays` of every exhibit; with ``fps`` its frames as videos too. Returns the count."""
    count, style = 0, style or OverlayStyle()
    for exhibit in shown:
        count += len(write_overlays(exhibit, folder, style))
        if fps is not None:
            stem = file_stem(exhibit.id)
            for model in list(exhibit.predicted) or [None]:
                frames = [draw_frame(exhibit, k, model, style) for k in range(len(exhibit.pictures))]
                write_video(folder / stem / f"{file_stem(model or 'truth')}.mp4", frames, fps)
                count += 1
    return count
