"""What the truth of a task's sample must hold; checked once, where samples are read. Further fields may stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from rft3d.answers.boxes import label_fault
from rft3d.tasks.spatial.questions import NUMERIC_TYPES
from rft3d.typed import Numbers

_Box = Annotated[Any, Numbers((9,))]


@dataclass(frozen=True)
class _Row:
    label: str
    bbox_3d: _Box

    def __post_init__(self) -> None:
        if fault := label_fault(self.label):
            raise ValueError(fault)


@dataclass(frozen=True)
class _Detection:
    boxes: tuple[_Row, ...]


@dataclass(frozen=True)
class _Grounding:
    frame: int
    bbox_3d: _Box
    box_world: _Box | None = None
    T_world_camera: Annotated[Any, Numbers((-1, 4, 4))] | None = None

    def __post_init__(self) -> None:
        frames = None if self.T_world_camera is None else len(self.T_world_camera)
        if self.frame < 0 or (frames is not None and self.frame >= frames):
            raise ValueError(f"frame {self.frame} is none of the {frames} of T_world_camera")


@dataclass(frozen=True)
class _Spatial:
    question_type: str
    answer: float | str
    options: tuple[str, ...] | None = None
    thought: str | None = None

    def __post_init__(self) -> None:
        letters = "ABCD"[: len(self.options or ())]
        if self.question_type in NUMERIC_TYPES and isinstance(self.answer, str):
            raise ValueError(f"answer {self.answer[:20]!r} must be a number for {self.question_type!r}")
        if self.question_type not in NUMERIC_TYPES and self.answer not in tuple(letters):
            raise ValueError(f"answer {str(self.answer)[:20]!r} is none of the options' letters {letters!r}")


TRUTHS = {
    "detection": _Detection,
    "grounding": _Grounding,
    "spatial": _Spatial,
}
"""By the name of a task; a task of your own needs none."""
