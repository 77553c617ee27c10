"""One question and its answers as JSON values: cameras, boxes in the world, matches, reward parts and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure
from rft3d.geometry import box_iou, invert_pose, transform_boxes
from rft3d.rewards import Comparison, Score
from rft3d.tasks.types import Sample, Task

GROUNDING_HIT = 0.25

T_VIEW_CAMERA = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""A z-up frame for samples without poses: the first camera is taken to look horizontally."""

NamedBoxes = list[tuple[str, tuple[float, ...]]]


@dataclasses.dataclass(frozen=True)
class Cameras:
    """Intrinsics and poses that a sample's ``meta`` holds for drawing; one of each a frame."""

    K: NDArray[np.float64]
    T_world_camera: NDArray[np.float64]

    def first_from(self, frame: int) -> NDArray[np.float64]:
        """``T_first_frame``: camera of ``frame`` -> camera of the first frame."""
        return invert_pose(self.T_world_camera[0]) @ self.T_world_camera[frame]


def read_cameras(sample: Sample) -> tuple[Cameras | None, str]:
    """The cameras in ``sample.meta`` and, when there are none, a sentence that says so.

    ``meta["intrinsics"]`` is one 3x3 matrix or one a frame; ``meta["T_world_camera"]`` one 4x4 a frame.
    """
    missing = [key for key in ("intrinsics", "T_world_camera") if key not in sample.meta]
    if missing:
        return None, f"No boxes are drawn: the sample's meta has no {' and no '.join(missing)}."
    count = len(sample.frames)
    try:
        K = np.nan_to_num(np.asarray(sample.meta["intrinsics"], dtype=np.float64))
        T_world_camera = np.asarray(sample.meta["T_world_camera"], dtype=np.float64)
        K = np.broadcast_to(K, (count, 3, 3))
        T_world_camera = T_world_camera.reshape(count, 4, 4)
        for pose in T_world_camera:
            transform_boxes(pose, np.zeros((0, 9)))  # refuses what is not rigid
    except (TypeError, ValueError) as error:
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
        moved = transform_boxes(cameras.first_from(parsed.frame), box)
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


def true_boxes(task: Task, sample: Sample, cameras: Cameras | None) -> tuple[str, NamedBoxes | None]:
    """The gold text, and the true boxes in the first camera where they are, not where rounding puts them."""
    exact: Any = task
    if hasattr(task, "decimals"):
        exact = dataclasses.replace(exact, decimals=6)
    boxes, _ = first_camera_boxes(exact.parse(exact.gold(sample), sample), cameras)
    return task.gold(sample), boxes


def question_view(sample: Sample, gold: str, true: NamedBoxes | None) -> dict[str, Any]:
    """What every answer to ``sample`` shares; boxes and cameras are in the world (z up)."""
    cameras, problem = read_cameras(sample)
    view: dict[str, Any] = {
        "id": sample.id,
        "scene": sample.scene,
        "prompt": sample.prompt,
        "gold": gold,
        "labels": [str(label) for label in sample.meta.get("labels", ()) if isinstance(label, str)],
        "truth": _boxes_view(true or [], cameras),
        "note": problem if true is not None else "",
        "cameras": None,
    }
    named = sample.meta.get("label")
    # of a described object the answer has only the frame
    if isinstance(named, str) and sample.task == "grounding" and view["truth"]:
        view["truth"][0]["label"] = f"{named}, {view['truth'][0]['label']}"
    if cameras is not None:
        view["cameras"] = [
            {
                "K": [float(f"{v:.6g}") for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])],
                "T": np.round(T[:3], 6).reshape(-1).tolist(),
            }
            for K, T in zip(cameras.K, cameras.T_world_camera, strict=True)
        ]
    return view


def answer_view(
    parsed: object, sample: Sample, true: NamedBoxes | None, cameras: Cameras | None = None
) -> dict[str, Any]:
    """A parsed answer: readable text, and each box with its label, IoU and the true box that it found."""
    if cameras is None:
        cameras, _ = read_cameras(sample)
    predicted, note = first_camera_boxes(parsed, cameras)
    boxes = _boxes_view(predicted or [], cameras)
    for box, facts in zip(boxes, _matches(parsed, predicted or [], true or []), strict=True):
        box.update(facts)
    return {"parsed": readable(parsed), "boxes": boxes, "note": note}


def score_view(score: Score) -> dict[str, Any]:
    """Total, parts and failure of a score."""
    failure = score.failure
    return {
        "total": round(score.total, 4),
        "parts": [
            {"name": part.name, "value": round(part.value, 4), "weight": part.weight, "reason": part.reason}
            for part in score.parts
        ],
        "failure": None if failure is None else f"{failure.reason} {failure.excerpt}".strip(),
        "truncated": score.truncated,
    }


def _matches(parsed: object, predicted: NamedBoxes, true: NamedBoxes) -> list[dict[str, Any]]:
    """IoU and match of every predicted box, by the rule of its task's official metric.

    ``iou``: with the matched true box, else the highest with any true box of the same label. ``match``: index
    of the true box, or None. ``other``: a differently labelled true box that overlaps it more than 0.25.
    """
    if not predicted or not true:
        return [{"iou": 0.0, "match": None} for _ in predicted]
    iou = box_iou(np.array([box for _, box in predicted]), np.array([box for _, box in true]))
    if isinstance(parsed, FrameBox):
        value = float(iou[0, 0])
        return [{"iou": round(value, 4), "match": 0 if value >= GROUNDING_HIT else None}]
    pairs = Comparison.of(
        [LabelledBox(label, box) for label, box in predicted],
        [LabelledBox(label, box) for label, box in true],
    ).match.pairs
    found: dict[int, tuple[int, float]] = {i: (j, value) for i, j, value in pairs}
    same = np.array([[label == other for other, _ in true] for label, _ in predicted])
    rows: list[dict[str, Any]] = []
    for i, (row, alike) in enumerate(zip(iou, same, strict=True)):
        match, value = found.get(i, (None, float(np.where(alike, row, 0.0).max())))
        facts: dict[str, Any] = {"iou": round(float(value), 4), "match": match}
        best = int(row.argmax())
        if match is None and not alike[best] and row[best] > GROUNDING_HIT:
            facts["other"] = [true[best][0], round(float(row[best]), 4)]
        rows.append(facts)
    return rows


def _boxes_view(boxes: NamedBoxes, cameras: Cameras | None) -> list[dict[str, Any]]:
    if not boxes:
        return []
    T = T_VIEW_CAMERA if cameras is None else cameras.T_world_camera[0]
    moved = transform_boxes(T, np.array([box for _, box in boxes], dtype=np.float64))
    return [
        {"label": label, "box": [round(value, 4) for value in box] if np.isfinite(box).all() else None}
        for (label, _), box in zip(boxes, moved.tolist(), strict=True)
    ]


def _numbers(box: Sequence[float]) -> str:
    return "  ".join(f"{value:.2f}" for value in box)
