"""Pictures for papers: boxes over frames with consistent colours and readable labels, as PNG sheets and MP4.

Truth is always green, predictions are orange (hit: solid; miss: dashed). With ``colour="label"`` a class has
one colour, the same in every picture, and truth is dashed beside predictions.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import boxes_valid, invert_pose, transform_boxes
from rft3d.report.draw import PREDICTED_COLOUR, TRUE_COLOUR, draw_boxes, label_colour, save, tile
from rft3d.report.exhibit import Exhibit
from rft3d.report.samples import SeenBox
from rft3d.scenes.clips import write_video

Colour = Literal["kind", "label"]


@dataclass(frozen=True)
class OverlayStyle:
    """``width_px``: of a frame. ``colour``: by ``kind`` (true or predicted) or ``label``."""

    width_px: int = 640
    colour: Colour = "kind"
    labels: bool = True


def draw_frame(exhibit: Exhibit, frame: int, model: str | None, style: OverlayStyle) -> NDArray[np.uint8]:
    """Frame ``frame`` with true boxes and those of ``model`` (None: truth alone), ``style.width_px`` wide."""
    picture, cameras = exhibit.pictures[frame], exhibit.cameras
    scale = style.width_px / picture.shape[1]
    if cameras is None:
        return draw_boxes(picture, np.zeros((0, 9)), np.eye(3), scale=scale)
    shown = [(box, True) for box in exhibit.true or ()]
    shown += [(box, False) for box in (exhibit.predicted.get(model, ()) if model is not None else ())]
    shown = [each for each in shown if boxes_valid(np.array([each[0].box]))[0]]
    world = np.array([box.box for box, _ in shown], dtype=np.float64).reshape(-1, 9)
    looks = [look(box, is_true, style.colour, alone=model is None) for box, is_true in shown]
    return draw_boxes(
        picture,
        transform_boxes(invert_pose(cameras.T_world_camera[frame]), world),
        cameras.K[frame],
        [colour for colour, _ in looks],
        [box.tag for box, _ in shown] if style.labels else None,
        dashed=[dashed for _, dashed in looks],
        scale=scale,
    )


def look(box: SeenBox, is_true: bool, colour: Colour, alone: bool = False) -> tuple[str, bool]:
    """Colour of a box and whether its lines are dashed; ``alone``: no predictions beside the truth."""
    if colour == "label":
        return label_colour(box.label), is_true and not alone
    return (TRUE_COLOUR, False) if is_true else (PREDICTED_COLOUR, box.match is None)


def draw_sheet(exhibit: Exhibit, style: OverlayStyle, columns: int = 4) -> NDArray[np.uint8]:
    """A row of at most ``columns`` frames for each model (truth alone without one), evenly spaced."""
    picked = np.unique(np.linspace(0, len(exhibit.pictures) - 1, min(columns, len(exhibit.pictures))).round())
    cells = [(model, int(k)) for model in list(exhibit.predicted) or [None] for k in picked]
    drawn = [draw_frame(exhibit, frame, model, style) for model, frame in cells]
    return tile(drawn, [f"{model or 'truth'}, frame {frame}" for model, frame in cells], len(picked))


def export_overlays(
    shown: Iterable[Exhibit], folder: Path, style: OverlayStyle | None = None, fps: float | None = None
) -> int:
    """Write each exhibit's ``<id>.png`` (:func:`draw_sheet`) and ``<id>/<model>-<frame>.png``. With ``fps`` the
    frames are written as ``<id>/<model>.mp4`` too. Returns how many files there are."""
    style, count = style or OverlayStyle(), 0
    for exhibit in shown:
        stem = file_stem(exhibit.id)
        save(folder / f"{stem}.png", draw_sheet(exhibit, style))
        count += 1
        for model in list(exhibit.predicted) or [None]:
            name = file_stem(model or "truth")
            frames = [draw_frame(exhibit, frame, model, style) for frame in range(len(exhibit.pictures))]
            for frame, picture in enumerate(frames):
                save(folder / stem / f"{name}-{frame:03d}.png", picture)
            if fps is not None:
                write_video(folder / stem / f"{name}.mp4", frames, fps)
            count += len(frames) + (fps is not None)
    return count


def file_stem(name: str) -> str:
    """``name`` as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "unnamed"
