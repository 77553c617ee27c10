"""One question and its answers for the page: cameras, boxes in the world, matches, reward parts and why."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from rft3d.answers.types import FrameBox, LabelledBox, ParseFailure
from rft3d.geometry import box_iou, transform_boxes
from rft3d.rewards import Comparison
from rft3d.rewards.grounding import HIT
from rft3d.runfolder import LoggedCompletion
from rft3d.tasks.types import Sample, Task

T_VIEW_CAMERA = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""A z-up frame for samples without poses: the first camera is taken to look horizontally."""


@dataclass(frozen=True)
class Cameras:
    """Intrinsics and poses that a sample's ``meta`` holds for drawing; one of each a frame."""

    K: NDArray[np.float64]
    T_world_camera: NDArray[np.float64]


@dataclass(frozen=True)
class SeenBox:
    """A ``(9,)`` box in the world; None where its numbers are not finite.

    The rest is how a model's box meets the truth by its task's official metric. ``iou``: with the true box that it
    found, number ``match``, else the highest with any of its label. ``other``: label and IoU of a true box of
    another label that it overlaps by more than 0.25.
    """

    label: str
    box: tuple[float, ...] | None
    iou: float | None = None
    match: int | None = None
    other: tuple[str, float] | None = None

    @property
    def tag(self) -> str:
        """The label, with the IoU where there is one."""
        return self.label if self.iou is None else f"{self.label} {self.iou:.2f}"


@dataclass(frozen=True, kw_only=True)
class ShownAnswer(LoggedCompletion):
    """An answer with its boxes. ``parsed``: as it was read. ``missing``: there was no prediction. ``right``: how
    much of it is, 0 to 1; ``found``: numbers of the true boxes that it found."""

    parsed: str
    boxes: tuple[SeenBox, ...]
    note: str
    missing: bool = False
    right: float | None = None
    found: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ShownQuestion:
    """A question and what answers to it share; boxes and cameras are in the world (z up).

    ``frames``: numbers of pictures. ``place``, ``objects``, ``floor``: of the scene folder, where there is one.
    The last four: of a rollout group.
    """

    id: str
    prompt: str
    gold: str = ""
    kind: str = ""
    note: str = ""
    labels: tuple[str, ...] = ()
    truth: tuple[SeenBox, ...] = ()
    cameras: tuple[dict[str, list[float]], ...] | None = None
    frames: tuple[int, ...] = ()
    answers: tuple[ShownAnswer | None, ...] = ()
    place: int | None = None
    objects: tuple[SeenBox, ...] = ()
    floor: list[list[float]] | None = None
    step: float | None = None
    stage: str = ""
    task: str = ""
    seed: float | None = None


class KnownQuestion:
    """A sample with its cameras and its true boxes in the world (None: its answers have no boxes). ``task``: reads
    and writes its answers; None: they cannot be read."""

    def __init__(self, sample: Sample, task: Task | None) -> None:
        self.sample, self.gold = sample, ""
        self.true: list[LabelledBox] | None = None
        self.cameras, self.problem = read_cameras(sample)
        if task is not None:
            exact = task.exact()
            self.true, _ = boxes_in_world(exact.parse(exact.gold(sample), sample), self.cameras)
            self.gold = task.gold(sample)

    def shown(self) -> ShownQuestion:
        """Without its answers."""
        sample, truth, cameras = self.sample, list(map(_seen, self.true or ())), self.cameras
        named = sample.meta.get("label")
        # of a described object the answer has only the frame
        if isinstance(named, str) and sample.task == "grounding" and truth:
            truth[0] = dataclasses.replace(truth[0], label=f"{named}, {truth[0].label}")
        return ShownQuestion(
            id=sample.id,
            prompt=sample.prompt,
            gold=self.gold,
            kind=str(sample.meta.get("question_type") or named or ""),
            note=self.problem if self.true is not None else "",
            labels=tuple(each for each in sample.meta.get("labels", ()) if isinstance(each, str)),
            truth=tuple(truth),
            cameras=None if cameras is None else tuple(map(_camera, cameras.K, cameras.T_world_camera)),
        )

    def boxes_of(self, parsed: object) -> tuple[tuple[SeenBox, ...], str]:
        """The boxes of a parsed answer, and a sentence where one is not drawn."""
        predicted, note = boxes_in_world(parsed, self.cameras)
        return tuple(_matched(parsed, predicted or [], self.true or [])), note

    def answer(self, made: LoggedCompletion, parsed: object) -> ShownAnswer:
        """``made``, which was read as ``parsed``."""
        boxes, note = self.boxes_of(parsed)
        return ShownAnswer(**vars(made), parsed=readable(parsed), boxes=boxes, note=note)


def read_cameras(sample: Sample) -> tuple[Cameras | None, str]:
    """The cameras in ``sample.meta`` (``intrinsics``: one 3x3 matrix or one a frame; ``T_world_camera``: one 4x4 a
    frame) and, when there are none, a sentence that says so."""
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


def boxes_in_world(parsed: object, cameras: Cameras | None) -> tuple[list[LabelledBox] | None, str]:
    """The boxes of a parsed answer in the world, and a sentence where one is not drawn; None when the answer is of
    another kind."""
    poses = T_VIEW_CAMERA[None] if cameras is None else cameras.T_world_camera
    if isinstance(parsed, FrameBox):
        if cameras is None:
            return [], ""
        if not 0 <= parsed.frame < len(poses):
            return [], f"The box is not drawn: frame {parsed.frame} does not exist."
        T_world_camera, boxes = poses[parsed.frame], (LabelledBox(f"frame {parsed.frame}", parsed.box),)
    elif _is_list(parsed):
        T_world_camera, boxes = poses[0], parsed
    else:
        return None, ""
    rows = np.array([box.box for box in boxes], dtype=np.float64).reshape(-1, 9)
    moved = transform_boxes(T_world_camera, rows).tolist()
    return [LabelledBox(box.label, tuple(row)) for box, row in zip(boxes, moved, strict=True)], ""


def readable(parsed: object) -> str:
    """A parsed answer in lines that a person can compare."""
    if isinstance(parsed, ParseFailure):
        return f"unreadable: {parsed.reason}" + (f"\n{parsed.excerpt}" if parsed.excerpt else "")
    if isinstance(parsed, FrameBox):
        return f"frame {parsed.frame}\n{_numbers(parsed.box)}"
    if _is_list(parsed):
        return "\n".join(f"{item.label}: {_numbers(item.box)}" for item in parsed) or "(no objects)"
    return str(parsed)


def _is_list(parsed: object) -> TypeGuard[tuple[LabelledBox, ...]]:
    return isinstance(parsed, tuple) and all(isinstance(item, LabelledBox) for item in parsed)


def _camera(K: NDArray[np.float64], T: NDArray[np.float64]) -> dict[str, list[float]]:
    lens = [float(f"{value:.6g}") for value in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])]
    return {"K": lens, "T": np.round(T[:3], 6).reshape(-1).tolist()}


def _seen(box: LabelledBox, *met: Any) -> SeenBox:
    row = np.round(box.box, 4)
    return SeenBox(box.label, tuple(row.tolist()) if np.isfinite(row).all() else None, *met)


def _matched(parsed: object, predicted: list[LabelledBox], true: list[LabelledBox]) -> Iterator[SeenBox]:
    """Every predicted box, with how it meets the truth."""
    if not predicted or not true:
        yield from (_seen(box, 0.0) for box in predicted)
        return
    iou = box_iou(np.array([box.box for box in predicted]), np.array([box.box for box in true]))
    if isinstance(parsed, FrameBox):
        value = float(iou[0, 0])
        yield _seen(predicted[0], round(value, 4), 0 if value >= HIT else None)
        return
    found = {i: (j, value) for i, j, value in Comparison.of(predicted, true).match.pairs}
    for i, (box, row) in enumerate(zip(predicted, iou, strict=True)):
        alike = np.array([box.label == other.label for other in true])
        match, value = found.get(i, (None, np.where(alike, row, 0.0).max()))
        best = int(row.argmax())
        strange = match is None and not alike[best] and row[best] > HIT
        other = (true[best].label, round(float(row[best]), 4)) if strange else None
        yield _seen(box, round(float(value), 4), match, other)


def _numbers(box: Sequence[float]) -> str:
    return "  ".join(f"{value:.2f}" for value in box)
