"""An answer about one clip as pictures and a page: boxes in the frames, from above, and the text as written.

    OUT/index.html  answer.json  sheet.jpg  frames/000.jpg ...  top.png  annotated.mp4

Boxes are drawn where a camera is known: in the frame whose camera they are in, and in every frame when the
clip has poses (then also as a video). The view from above needs no camera.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rft3d.digests import model_fingerprint
from rft3d.evaluation.dataset import room_config_of
from rft3d.evaluation.infer import (
    ClipAnswer,
    Inference,
    boxes_in_frame,
    clip_answer,
    infer,
    known_boxes,
)  # fmt: skip
from rft3d.files import model_folder, write_json, write_text
from rft3d.geometry import box_corners, invert_pose, transform_boxes
from rft3d.report.draw import TRUE_COLOUR, draw_boxes, label_colour, save, tile
from rft3d.report.embed import templates
from rft3d.rewards import Comparison
from rft3d.scenes import CATE20
from rft3d.scenes.clips import Clip, write_video
from rft3d.tasks import make_task
from rft3d.tasks.types import Sample

Boxes = Sequence[Sequence[float]] | NDArray[np.float64]
PICTURE_WIDTH = 640
"""Frames narrower than this are enlarged by a whole factor, so that thin lines stay readable."""
SHEET_WIDTH = 1600
TOP_SIDE = 640
GRID = (226, 232, 240)
ABOVE_M = 1000.0
CAMERA = np.array([[0.0, 0.0, 0.15, 0.2, 0.1, 0.3, 0.0, 0.0, 0.0]])
"""The camera itself as a box, in the view from above."""


def answer_clip(
    model: str,
    device: Literal["auto", "cpu", "cuda"],
    clip: Clip,
    sample: Sample,
    out: Path,
    **generation: Any,
) -> ClipAnswer:
    """What ``model`` (as ``load_policy`` takes it) answers to ``sample``, written into ``out``.

    Where the scene has true boxes, they are drawn too, and a note counts the found ones. ``generation``: of
    :func:`rft3d.evaluation.infer.infer`. ValueError: ``cuda`` where torch sees no GPU.
    """
    fingerprint = model_fingerprint(model) if model_folder(model).is_dir() else model
    import torch  # after all that may be wrong with files

    from rft3d.models import load_policy

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU here; use --device cpu")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    policy = load_policy(model, chosen)
    found = infer(policy, clip, sample, **generation)
    world, options = room_config_of(model), policy.task_options.get("detection", {})
    classes = options.get("classes", ()) if world is None else world.labels or CATE20
    only_rooms = policy.backbone == "tiny"
    answer = clip_answer(found, clip, fingerprint, only_rooms, classes, out / "answer.json")
    true: list[list[float]] = []
    task = make_task("detection", options=options)
    if sample.task == "detection" and (asked := known_boxes(clip, task)) is not None:
        true = [row["bbox_3d"] for row in asked.truth["boxes"]]
        both = task.score(found.text, asked).evidence_of(Comparison)
        hits = f"found {len(both.match.pairs)} of {len(both.truth)} objects"
        answer = replace(answer, notes=(f"{hits} (the same label, IoU above 0.25)", *answer.notes))
    return replace(answer, files=write_clip_report(answer, out, true))


def write_clip_report(answer: ClipAnswer, out: str | Path, true: Boxes = ()) -> dict[str, str]:
    """Write pictures, ``answer.json`` and ``index.html`` (last) into ``out``, each whole; returns what was
    written, by kind.

    ``true``: ``(N, 9)`` boxes in the first frame's camera, drawn in green below the found ones.
    """
    found, clip, out = answer.found, answer.clip, Path(out)
    (out / "frames").mkdir(parents=True, exist_ok=True)
    drawn, marked = _drawn(found, clip, true)
    names = [f"frames/{place:03d}.jpg" for place in range(len(drawn))]
    for name, picture in zip(names, drawn, strict=True):
        save(out / name, picture)
    files = {"page": "index.html", "record": "answer.json", "sheet": "sheet.jpg"}
    titles = [f"{place}: {name}" for place, name in enumerate(clip.names)]
    columns = min(len(drawn), max(2, min(6, round(len(drawn) ** 0.5 + 0.49))))
    save(out / "sheet.jpg", tile(drawn, titles, columns, SHEET_WIDTH))
    if found.boxes:
        files["top"] = "top.png"
        save(out / "top.png", top_view(found, clip, true))
    if marked > 1:
        try:
            write_video(out / "annotated.mp4", drawn, fps=2.0)
            files["video"] = "annotated.mp4"
        except ModuleNotFoundError as error:
            if error.name != "av":
                raise
    files = {kind: str(out / name) for kind, name in files.items()}
    record = replace(answer, files=files).to_dict()
    write_json(out / "answer.json", record)
    legend = {"true box": TRUE_COLOUR} if len(true) else {}
    legend |= {item.label: label_colour(item.label) for item in found.boxes}
    page = templates().get_template("clip.html.j2")
    frames = dict(zip(names, clip.names, strict=True))
    text = page.render(
        record=record, found=found, clip=clip, frames=frames, legend=legend, files=files, marked=marked
    )
    write_text(out / "index.html", text)
    return files


def top_view(found: Inference, clip: Clip, true: Boxes = ()) -> NDArray[np.uint8]:
    """The boxes from above in the camera of the first box's frame: x to the right, z up, a metre grid.

    "Above" is against the camera's y axis, so a camera that looks down shows the boxes slanted. Drawn as a camera
    sees them from :data:`ABOVE_M` metres away, which is close to no perspective.
    """
    labels, boxes, colours = _in_frame(found, clip, found.boxes[0].frame, true)
    points = np.concatenate([box_corners(boxes)[..., [0, 2]].reshape(-1, 2), [[-1.0, 0.0], [1.0, 2.0]]])
    points = points[(np.abs(points) < 100).all(axis=1)]
    (left, near), (right, far) = points.min(axis=0) - 0.5, points.max(axis=0) + 0.5
    scale = TOP_SIDE / max(right - left, far - near)
    canvas = np.full((int((far - near) * scale) + 1, int((right - left) * scale) + 1, 3), 255, np.uint8)
    step = 1 if max(right - left, far - near) <= 30 else 10
    for z in np.arange(np.ceil(near / step) * step, far, step):
        canvas[int((far - z) * scale)] = GRID
    for x in np.arange(np.ceil(left / step) * step, right, step):
        canvas[:, int((x - left) * scale)] = GRID
    T_top_camera = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, ABOVE_M], [0, 0, 0, 1]])
    focal = scale * ABOVE_M
    K = np.array([[focal, 0.0, -left * scale], [0.0, focal, far * scale], [0.0, 0.0, 1.0]])
    shown = transform_boxes(T_top_camera, np.concatenate([CAMERA, boxes]))
    return draw_boxes(canvas, shown, K, ["#0f172a", *colours], ["camera", *labels])


def _in_frame(
    found: Inference, clip: Clip, frame: int, true: Boxes
) -> tuple[list[str], NDArray[np.float64], list[str]]:
    """Labels, ``(N, 9)`` boxes and colours in the camera of ``frame``: true ones (no label), then found ones."""
    known = np.asarray(true, dtype=np.float64).reshape(-1, 9)
    if clip.T_world_camera is not None:
        known = transform_boxes(invert_pose(clip.T_world_camera[frame]) @ clip.T_world_camera[0], known)
    elif frame:
        known = known[:0]
    labels, boxes = boxes_in_frame(found, clip, frame)
    colours = [TRUE_COLOUR] * len(known) + list(map(label_colour, labels))
    return [""] * len(known) + labels, np.concatenate([known, boxes]), colours


def _drawn(found: Inference, clip: Clip, true: Boxes) -> tuple[list[NDArray[np.uint8]], int]:
    """The frames with their boxes, and in how many of them there is one to draw."""
    pictures, marked = [], 0
    for place, frame in enumerate(clip.frames):
        labels, boxes, colours = _in_frame(found, clip, place, true)
        scale = max(1, -(-PICTURE_WIDTH // frame.shape[1]))
        if clip.K is None:
            pictures.append(draw_boxes(frame, boxes[:0], np.eye(3), scale=scale))
            continue
        marked += bool(labels)
        pictures.append(draw_boxes(frame, boxes, clip.K[place], colours, labels, scale=scale))
    return pictures, marked
