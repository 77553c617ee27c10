"""Per-sample pages: frames with true and predicted boxes, the answer written and read, the reward and why."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d import __version__
from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure
from rft3d.evaluation.predict import load_frames
from rft3d.evaluation.records import Prediction
from rft3d.geometry import invert_pose, transform_boxes
from rft3d.report.draw import PREDICTED_COLOUR, TRUE_COLOUR, draw_boxes
from rft3d.report.page import write_page
from rft3d.report.run_folder import ModelRun, TaskRuns
from rft3d.tasks.types import Sample, Task

PICTURE_WIDTH = 560
"""Pictures narrower than this are enlarged by a whole factor, so that thin lines stay readable."""

NamedBoxes = list[tuple[str, tuple[float, ...]]]


@dataclasses.dataclass(frozen=True)
class Cameras:
    """Intrinsics and poses that a sample's ``meta`` holds for drawing; one of each a frame."""

    K: NDArray[np.float64]
    T_world_camera: NDArray[np.float64]

    def first_from(self, frame: int) -> NDArray[np.float64]:
        """``T_first_frame``: camera of ``frame`` -> camera of the first frame."""
        return invert_pose(self.T_world_camera[0]) @ self.T_world_camera[frame]


def choose(task: TaskRuns, count: int) -> list[int]:
    """Indices of ``count`` samples, evenly spaced from the worst to the best of the last model."""
    if count < 1:
        return []
    order = list(range(len(task.samples)))
    if task.runs:
        totals = [score.total for score in task.runs[-1].scored.scores]
        order.sort(key=lambda index: (totals[index], index))
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [order[place] for place in places]


def write_sample_pages(task: TaskRuns, out: Path, count: int) -> dict[str, Any] | None:
    """Write the pages of ``count`` samples into ``out`` and return what the gallery of the index shows."""
    chosen = choose(task, count)
    if not chosen:
        return None
    folder = out / task.name
    pages = [f"{task.name}/{place:03d}.html" for place in range(len(chosen))]
    tiles = []
    for place, index in enumerate(chosen):
        around = [Path(pages[p]).name if 0 <= p < len(pages) else None for p in (place - 1, place + 1)]
        tiles.append(_write_sample(task, index, folder, f"{place:03d}", around[0], around[1]))
    return {
        "task": task.name,
        "anchor": f"samples-{task.name}",
        "samples": tiles,
        "count": len(task.samples),
        "by": task.runs[-1].title if task.runs else "nothing (no predictions)",
        "boxes": any(tile["boxes"] for tile in tiles),
    }


def _write_sample(
    task: TaskRuns, index: int, folder: Path, stem: str, previous: str | None, following: str | None
) -> dict[str, Any]:
    sample = task.samples[index]
    reader = task.runs[-1].scored.task if task.runs else None
    pictures, problem = _pictures(sample, task.folder)
    cameras, camera_problem = read_cameras(sample)
    gold, true_boxes = _gold(reader, sample, cameras)
    frames = _save_all(pictures, folder, f"{stem}-frame")
    runs = [
        _run_view(run, index, sample, pictures, cameras, true_boxes, folder, f"{stem}-{number}")
        for number, run in enumerate(task.runs)
    ]
    if true_boxes is not None and camera_problem:
        problem = " ".join(filter(None, [problem, camera_problem]))
    kind = str(sample.meta.get("question_type", ""))
    drawn = runs[-1]["frames"] if runs else []
    write_page(
        folder / f"{stem}.html",
        "sample.html.j2",
        title=sample.id,
        version=__version__,
        sample={
            "id": sample.id,
            "task": sample.task,
            "scene": sample.scene,
            "prompt": sample.prompt,
            "kind": kind,
        },
        frames=frames,
        picture_note=problem,
        gold=gold,
        runs=runs,
        previous=previous,
        following=following,
    )
    pictured = drawn or frames
    return {
        "id": sample.id,
        "kind": kind,
        "href": f"{task.name}/{stem}.html",
        "thumb": f"{task.name}/{pictured[0]['src']}" if pictured else None,
        "boxes": bool(drawn),
        "chips": [
            {"title": run["title"], "total": f"{run['total']:.2f}", "failed": bool(run["failure"])}
            for run in runs
        ],
    }


def _run_view(
    run: ModelRun,
    index: int,
    sample: Sample,
    pictures: Sequence[NDArray[np.uint8]],
    cameras: Cameras | None,
    true_boxes: NamedBoxes | None,
    folder: Path,
    stem: str,
) -> dict[str, Any]:
    score = run.scored.scores[index]
    prediction = run.predictions.get(sample.id, Prediction(sample.id, ""))
    parsed = run.scored.task.parse(prediction.text, sample)
    predicted, note = first_camera_boxes(parsed, cameras)
    frames: list[dict[str, str]] = []
    if true_boxes is not None and cameras is not None and pictures:
        drawn = [
            _draw(picture, frame, cameras, true_boxes, predicted or [])
            for frame, picture in enumerate(pictures)
        ]
        frames = _save_all(drawn, folder, stem)
    return {
        "title": run.title,
        "missing": sample.id not in run.predictions,
        "truncated": prediction.truncated,
        "failure": "" if score.failure is None else f"{score.failure.reason} {score.failure.excerpt}".strip(),
        "tokens": prediction.tokens,
        "total": score.total,
        "parts": score.parts,
        "text": prediction.text,
        "parsed": readable(parsed),
        "frames": frames,
        "note": note,
    }


def read_cameras(sample: Sample) -> tuple[Cameras | None, str]:
    """The cameras in ``sample.meta`` and, when there are none, a sentence that says so.

    ``meta["intrinsics"]`` is one 3x3 matrix or one a frame; ``meta["T_world_camera"]`` one 4x4 a frame.
    """
    missing = [key for key in ("intrinsics", "T_world_camera") if key not in sample.meta]
    if missing:
        return None, f"No boxes are drawn: the sample's meta has no {' and no '.join(missing)}."
    count = len(sample.frames)
    try:
        K = np.asarray(sample.meta["intrinsics"], dtype=np.float64)
        T_world_camera = np.asarray(sample.meta["T_world_camera"], dtype=np.float64)
        K = np.broadcast_to(K, (count, 3, 3))
        T_world_camera = T_world_camera.reshape(count, 4, 4)
    except ValueError as error:
        return None, f"No boxes are drawn: the cameras in the sample's meta are malformed ({error})."
    return Cameras(K, T_world_camera), ""


def first_camera_boxes(parsed: object, cameras: Cameras | None) -> tuple[NamedBoxes | None, str]:
    """The boxes of a parsed answer in the first frame's camera; None when the answer is of another kind."""
    if isinstance(parsed, FrameBox):
        if cameras is None:
            return [], ""
        if not 0 <= parsed.frame < len(cameras.K):
            return [], f"The box is not drawn: frame {parsed.frame} does not exist."
        box = np.asarray(parsed.box, dtype=np.float64)[None]
        moved = _move(cameras.first_from(parsed.frame), box)
        return [(f"frame {parsed.frame}", tuple(moved[0]))], ""
    if isinstance(parsed, tuple) and all(isinstance(item, LabelledBox) for item in parsed):
        return [(item.label, item.box) for item in parsed], ""
    return None, ""


def readable(parsed: object) -> str:
    """A parsed answer in lines that a person can compare."""
    if isinstance(parsed, ParseFailure):
        return f"unreadable: {parsed.reason}" + (f"\n{parsed.excerpt}" if parsed.excerpt else "")
    if isinstance(parsed, FrameBox):
        return f"frame {parsed.frame}\n{_numbers(parsed.box)}"
    if isinstance(parsed, tuple) and all(isinstance(item, LabelledBox) for item in parsed):
        return "\n".join(f"{item.label}: {_numbers(item.box)}" for item in parsed) or "(no objects)"
    return str(parsed)


def _numbers(box: Sequence[float]) -> str:
    return "  ".join(f"{value:.2f}" for value in box)


def _gold(task: Task | None, sample: Sample, cameras: Cameras | None) -> tuple[str, NamedBoxes | None]:
    if task is None:
        return "–", None
    exact: Any = task
    if hasattr(task, "decimals"):  # draw the true boxes where they are, not where rounding puts them
        exact = dataclasses.replace(exact, decimals=6)
    boxes, _ = first_camera_boxes(exact.parse(exact.gold(sample), sample), cameras)
    return task.gold(sample), boxes


def _draw(
    picture: NDArray[np.uint8], frame: int, cameras: Cameras, true: NamedBoxes, predicted: NamedBoxes
) -> NDArray[np.uint8]:
    boxes = np.array([box for _, box in (*true, *predicted)], dtype=np.float64).reshape(-1, 9)
    scale = max(1, -(-PICTURE_WIDTH // picture.shape[1]))
    return draw_boxes(
        picture,
        _move(invert_pose(cameras.first_from(frame)), boxes),
        cameras.K[frame],
        [TRUE_COLOUR] * len(true) + [PREDICTED_COLOUR] * len(predicted),
        [name for name, _ in (*true, *predicted)],
        scale=scale,
    )


def _move(T: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return transform_boxes(T, boxes) if len(boxes) else boxes


def _pictures(sample: Sample, folder: Path) -> tuple[list[NDArray[np.uint8]], str]:
    try:
        return load_frames(sample, folder), ""
    except (OSError, ValueError) as error:  # a damaged picture is an OSError
        return [], f"No pictures: {error}."


def _save_all(pictures: Sequence[NDArray[np.uint8]], folder: Path, stem: str) -> list[dict[str, str]]:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for frame, picture in enumerate(pictures):
        name = f"{stem}-{frame}.jpg"
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=82)
        temporary = folder / f".{name}.tmp"
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, folder / name)
        saved.append({"src": name})
    return saved
