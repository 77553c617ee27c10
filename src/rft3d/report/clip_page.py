"""An answer about one clip as pictures and a page: boxes in the frames, from above, and the text as written.

    OUT/index.html  answer.json  sheet.jpg  frames/000.jpg ...  top.png  annotated.mp4

Boxes are drawn where a camera is known: in the frame whose camera they are in, and in every frame when the
clip has poses (then also as a video). The view from above needs no camera.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d import __version__
from rft3d.evaluation.infer import Inference, boxes_in_frame
from rft3d.files import write_bytes, write_json, write_text
from rft3d.geometry import box_corners, invert_pose, transform_boxes
from rft3d.report.draw import TRUE_COLOUR, draw_boxes
from rft3d.report.page import _environment
from rft3d.scenes.clips import Clip

Boxes = Sequence[Sequence[float]] | NDArray[np.float64]
COLOURS = ("#ff7f0e", "#1f9bcf", "#d6379f", "#facc15", "#8b5cf6", "#e11d48", "#22d3ee", "#a16207")
"""One a label, in the order in which labels first appear; none of them green, which is for true boxes."""
PICTURE_WIDTH = 640
"""Frames narrower than this are enlarged by a whole factor, so that thin lines stay readable."""
SHEET_WIDTH = 1600
TOP_SIDE = 640


def write_clip_report(
    found: Inference, clip: Clip, record: dict[str, Any], out: str | Path, true: Boxes = ()
) -> dict[str, str]:
    """Write pictures, ``answer.json`` and ``index.html`` into ``out``; returns what was written, by kind.

    ``record``: of :func:`rft3d.evaluation.infer.inference_record`. ``true``: ``(N, 9)`` boxes in the first
    frame's camera, drawn in green below the found ones. Files are replaced one by one, each
    atomically; ``index.html`` is the last.
    """
    out = Path(out)
    (out / "frames").mkdir(parents=True, exist_ok=True)
    colours = _colours(found)
    drawn, marked = _drawn(found, clip, colours, true)
    names = [f"frames/{place:03d}.jpg" for place in range(len(drawn))]
    for name, picture in zip(names, drawn, strict=True):
        _save(out / name, picture, "JPEG")
    files = {"page": "index.html", "record": "answer.json", "sheet": "sheet.jpg"}
    _save(out / "sheet.jpg", contact_sheet(drawn, clip.names), "JPEG")
    if found.boxes:
        files["top"] = "top.png"
        _save(out / "top.png", top_view(found, clip, colours, true), "PNG")
    note = _drawing_note(found, clip, marked)
    if marked > 1:
        video_note = _write_annotated(out / "annotated.mp4", drawn)
        if video_note:
            note = f"{note} {video_note}"
        else:
            files["video"] = "annotated.mp4"
    files = {kind: str(out / name) for kind, name in files.items()}
    write_json(out / "answer.json", {**record, "files": files})
    page = (
        _environment()
        .get_template("clip.html.j2")
        .render(
            title=f"{found.sample.task}: {clip.name}",
            version=__version__,
            record=record,
            prompt=found.sample.prompt,
            frames=[{"src": src, "name": name} for src, name in zip(names, clip.names, strict=True)],
            legend=[
                {"label": label, "colour": colour}
                for label, colour in {**({"true box": TRUE_COLOUR} if len(true) else {}), **colours}.items()
            ],
            drawing_note=note,
            has_top="top" in files,
            has_video="video" in files,
        )
    )
    write_text(out / "index.html", page)
    return files


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], names: Sequence[str]) -> NDArray[np.uint8]:
    """All frames in one picture, at most six in a row, each with its name."""
    from PIL import Image, ImageDraw, ImageFont

    count = len(pictures)
    columns = min(count, max(2, min(6, round(count**0.5 + 0.49)))) if count > 1 else 1
    height, width = pictures[0].shape[:2]
    cell = (min(width, SHEET_WIDTH // columns), 0)
    cell = (cell[0], max(1, round(height * cell[0] / width)))
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), "#0f172a")
    painter = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for place, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        corner = (place % columns * cell[0], place // columns * cell[1])
        sheet.paste(Image.fromarray(picture).resize(cell, Image.Resampling.BICUBIC), corner)
        text = f"{place}: {name}"
        box = painter.textbbox((corner[0] + 4, corner[1] + 3), text, font=font)
        painter.rectangle((box[0] - 3, box[1] - 2, box[2] + 3, box[3] + 2), fill="#0f172a")
        painter.text((corner[0] + 4, corner[1] + 3), text, fill="#ffffff", font=font)
    return np.asarray(sheet, dtype=np.uint8)


def top_view(found: Inference, clip: Clip, colours: dict[str, str], true: Boxes = ()) -> NDArray[np.uint8]:
    """The boxes from above in the camera of the first box's frame: x to the right, z up, a metre grid.

    Shown is the box's outline on the camera's x-z plane (the camera is the triangle), so a camera that looks
    down shows the boxes slanted.
    """
    from PIL import Image, ImageDraw, ImageFont

    frame = found.boxes[0].frame
    labels, boxes = boxes_in_frame(found, clip, frame)
    known = _in_frame(true, clip, frame)
    corners = box_corners(np.concatenate([known, boxes]))[..., [0, 2]]
    points = np.concatenate([corners.reshape(-1, 2), [[-1.0, 0.0], [1.0, 2.0]]])
    points = points[np.isfinite(points).all(axis=1) & (np.abs(points) < 100).all(axis=1)]
    low, high = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    scale = TOP_SIDE / float((high - low).max())
    size = np.maximum(np.ceil((high - low) * scale), 1).astype(int)

    def at(xz: NDArray[np.float64]) -> list[tuple[float, float]]:
        shown = (np.asarray(xz, dtype=np.float64).reshape(-1, 2) - low) * scale
        return [(float(x), float(size[1] - z)) for x, z in shown]

    canvas = Image.new("RGB", (int(size[0]), int(size[1])), "#ffffff")
    painter = ImageDraw.Draw(canvas)
    step = 1 if (high - low).max() <= 30 else 10
    for axis in (0, 1):
        for line in np.arange(np.ceil(low[axis] / step) * step, high[axis], step):
            ends = np.array([low, high])
            ends[:, axis] = line
            painter.line(at(ends), fill="#e2e8f0", width=1)
    painter.polygon(at(np.array([[0.0, 0.0], [-0.15, 0.3], [0.15, 0.3]])), fill="#0f172a")
    font = ImageFont.load_default(size=13)
    for label, corner in zip([""] * len(known) + labels, corners, strict=True):
        if (np.abs(corner) >= 100).any():
            continue
        hull = _hull(corner)
        painter.polygon(at(hull), outline=colours.get(label, TRUE_COLOUR), width=3 if label else 2)
        if not label:
            continue
        x, z = at(corner.mean(axis=0))[0]
        text = "".join(char if char.isprintable() and ord(char) < 0x250 else "?" for char in label)[:24]
        painter.text((x, z), text, fill=colours[label], font=font, anchor="mm")
    return np.asarray(canvas, dtype=np.uint8)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convex hull of ``(N, 2)`` points in order (Andrew's monotone chain, 1979)."""
    ordered = sorted({(float(x), float(y)) for x, y in points})

    def half(chain: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        out: list[tuple[float, float]] = []
        for point in chain:
            while len(out) > 1 and _cross(out[-2], out[-1], point) <= 0:
                out.pop()
            out.append(point)
        return out[:-1]

    return np.array(half(ordered) + half(ordered[::-1]) or ordered)


def _cross(o: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0])


def _colours(found: Inference) -> dict[str, str]:
    labels = list(dict.fromkeys(item.label for item in found.boxes))
    return {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(labels)}


def _in_frame(true: Boxes, clip: Clip, frame: int) -> NDArray[np.float64]:
    """``true`` in the camera of ``frame``; none where poses are not known."""
    boxes = np.asarray(true, dtype=np.float64).reshape(-1, 9)
    if clip.T_world_camera is None:
        return boxes[: 0 if frame else None]
    return transform_boxes(invert_pose(clip.T_world_camera[frame]) @ clip.T_world_camera[0], boxes)


def _drawn(
    found: Inference, clip: Clip, colours: dict[str, str], true: Boxes = ()
) -> tuple[list[NDArray[np.uint8]], int]:
    """The frames with their boxes, and in how many of them there is one to draw."""
    pictures, marked = [], 0
    for place, frame in enumerate(clip.frames):
        labels, boxes = boxes_in_frame(found, clip, place)
        K = np.eye(3)
        if clip.K is None:
            labels, boxes = [], boxes[:0]
        else:
            K = clip.K[place]
            known = _in_frame(true, clip, place)
            labels, boxes = [""] * len(known) + labels, np.concatenate([known, boxes])
        marked += bool(labels)
        scale = max(1, -(-PICTURE_WIDTH // frame.shape[1]))
        shades = [colours.get(name, TRUE_COLOUR) for name in labels]
        pictures.append(draw_boxes(frame, boxes, K, shades, labels, scale=scale))
    return pictures, marked


def _drawing_note(found: Inference, clip: Clip, marked: int) -> str:
    if not found.boxes:
        return ""
    if clip.K is None:
        return (
            "No boxes are drawn into the frames: the camera is unknown. Give --intrinsics FX FY CX CY, or "
            "--fov DEGREES for a guess."
        )
    if clip.T_world_camera is None:
        return (
            f"Boxes are drawn in frame {found.boxes[0].frame} only, whose camera they are in: the video holds "
            "no poses. A folder with poses shows them in every frame."
        )
    return f"Boxes are drawn in {marked} of {len(clip.frames)} frames, moved by the clip's poses."


def _write_annotated(path: Path, pictures: Sequence[NDArray[np.uint8]]) -> str:
    """Write the frames as a video, two a second; returns why not, where PyAV is missing."""
    from rft3d.scenes.clips import write_video

    try:
        write_video(path, pictures, fps=2.0)
    except ModuleNotFoundError as error:
        if error.name != "av":
            raise
        return "No video of them was written: pip install '.[video]'."
    return ""


def _save(path: Path, picture: NDArray[np.uint8], kind: str) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    write_bytes(path, buffer.getvalue())
