"""The rewards as plain callables with TRL's signature ``f(completions, **columns) -> list[float | None]``.

For use outside this project, e.g. ``GRPOTrainer(reward_funcs=[detection_f1_reward, ...])``; nothing here
imports TRL. A completion is a string or a conversational list ``[{"role": ..., "content": ...}]`` (the
last assistant turn is read). Answers are read leniently (``answers``, mode ``lenient``) inside
``<answer>`` when there are tags; an answer that cannot be read earns 0.0. A row whose column is None is
not for this reward and gives None, so data sets of several tasks can be mixed. Other columns that the
trainer passes (``prompts``, ``completion_ids`` …) are ignored.

Columns, one value a row:

========================  =============================================================================
``truth_boxes``           detection: list of ``{"label": str, "bbox_3d": [9 numbers]}``, may be empty
``truth_frame``           grounding: 0-based index of the true frame
``truth_box_world``       grounding: (9,) true box in the world frame
``T_world_camera``        grounding: (F, 4, 4) nested list, camera poses of the prompt's frames
``truth_option``          multiple choice: the right letter
``truth_number``          numeric questions: the right number
========================  =============================================================================

Boxes are ``[x, y, z, dx, dy, dz, yaw, roll, pitch]`` in metres and radians, angles intrinsic ZXY.
A format reward scores every row when its column is absent altogether.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rft3d.answers import (
    FrameBox,
    LabelledBox,
    ParseFailure,
    parse_detections,
    parse_frame_box,
    parse_number,
    parse_option,
    split_sections,
)
from rft3d.rewards.detection import detection_f1, detection_matched_iou, detection_mean_iou
from rft3d.rewards.format import format_part, think_format_part
from rft3d.rewards.grounding import grounding_frame, grounding_iou
from rft3d.rewards.scalars import exact_match, mean_relative_accuracy
from rft3d.rewards.types import Part

Completion = str | Sequence[Mapping[str, Any]]
Rewards = list[float | None]
_OPTIONS = "ABCDEFGH"


def detection_format_reward(
    completions: Sequence[Completion], truth_boxes: Sequence[Any] | None = None, **_: Any
) -> Rewards:
    """1.0 when the text holds a complete list of labelled boxes. Column ``truth_boxes`` (optional)."""
    return _per_row(_detection_format, completions, _optional("truth_boxes", truth_boxes, completions))


def detection_mean_iou_reward(
    completions: Sequence[Completion], truth_boxes: Sequence[Any], **_: Any
) -> Rewards:
    """The paper's R_IoU, :func:`~rft3d.rewards.detection.detection_mean_iou`. Column ``truth_boxes``."""
    return _per_row(_detection(detection_mean_iou), completions, {"truth_boxes": truth_boxes})


def detection_f1_reward(completions: Sequence[Completion], truth_boxes: Sequence[Any], **_: Any) -> Rewards:
    """The paper's R_F1, :func:`~rft3d.rewards.detection.detection_f1` at 0.25. Column ``truth_boxes``."""
    return _per_row(_detection(detection_f1), completions, {"truth_boxes": truth_boxes})


def detection_matched_iou_reward(
    completions: Sequence[Completion], truth_boxes: Sequence[Any], **_: Any
) -> Rewards:
    """The hack-resistant :func:`~rft3d.rewards.detection.detection_matched_iou`. Column ``truth_boxes``."""
    return _per_row(_detection(detection_matched_iou), completions, {"truth_boxes": truth_boxes})


def grounding_format_reward(
    completions: Sequence[Completion], truth_box_world: Sequence[Any] | None = None, **_: Any
) -> Rewards:
    """1.0 when the text holds a frame index and a box. Column ``truth_box_world`` (optional)."""
    return _per_row(
        _grounding_format, completions, _optional("truth_box_world", truth_box_world, completions)
    )


def grounding_frame_reward(
    completions: Sequence[Completion], truth_frame: Sequence[int | None], **_: Any
) -> Rewards:
    """The paper's R_frame, :func:`~rft3d.rewards.grounding.grounding_frame`. Column ``truth_frame``."""
    return _per_row(_grounding_frame, completions, {"truth_frame": truth_frame})


def grounding_iou_reward(
    completions: Sequence[Completion],
    truth_box_world: Sequence[Any],
    T_world_camera: Sequence[Any],
    **_: Any,
) -> Rewards:
    """The paper's R_IoU, :func:`~rft3d.rewards.grounding.grounding_iou`.

    Columns ``truth_box_world`` and ``T_world_camera``.
    """
    columns = {"truth_box_world": truth_box_world, "T_world_camera": T_world_camera}
    return _per_row(_grounding_iou, completions, columns)


def exact_match_reward(
    completions: Sequence[Completion], truth_option: Sequence[str | None], **_: Any
) -> Rewards:
    """1.0 for the right option letter. Column ``truth_option``."""
    return _per_row(_option, completions, {"truth_option": truth_option})


def mra_reward(
    completions: Sequence[Completion], truth_number: Sequence[int | float | None], **_: Any
) -> Rewards:
    """:func:`~rft3d.rewards.scalars.mean_relative_accuracy`. Column ``truth_number``."""
    return _per_row(_number, completions, {"truth_number": truth_number})


def think_format_reward(completions: Sequence[Completion], **_: Any) -> Rewards:
    """1.0 for exactly ``<think>…</think><answer>…</answer>``. No columns; scores every row."""
    return [think_format_part(split_sections(_text(completion))).value for completion in completions]


def _per_row(
    reward: Callable[..., Part], completions: Sequence[Completion], columns: Mapping[str, Sequence[Any]]
) -> Rewards:
    for name, column in columns.items():
        if len(column) != len(completions):
            raise ValueError(f"column {name} has {len(column)} rows for {len(completions)} completions")
    rewards: Rewards = []
    for completion, *values in zip(completions, *columns.values(), strict=True):
        missing = any(value is None for value in values)
        rewards.append(None if missing else reward(_text(completion), *values).value)
    return rewards


def _optional(
    name: str, column: Sequence[Any] | None, completions: Sequence[Completion]
) -> dict[str, Sequence[Any]]:
    return {name: [()] * len(completions) if column is None else column}


def _text(completion: Completion) -> str:
    """The text of a completion: itself, or the content of its last assistant turn ("" when there is none)."""
    if isinstance(completion, str):
        return completion
    for message in reversed(completion):
        if message.get("role") == "assistant":
            content = message.get("content") or ""
            if isinstance(content, str):
                return content
            return "".join(block.get("text") or "" for block in content if block.get("type") == "text")
    return ""


def _unread(failure: ParseFailure) -> Part:
    return Part("unread", 0.0, failure.reason)


def _labelled(rows: Sequence[Mapping[str, Any]]) -> tuple[LabelledBox, ...]:
    return tuple(LabelledBox(str(row["label"]), tuple(float(x) for x in row["bbox_3d"])) for row in rows)


def _failure(answer: object) -> ParseFailure | None:
    return answer if isinstance(answer, ParseFailure) else None


def _detection(reward: Callable[..., Part]) -> Callable[[str, Any], Part]:
    def scored(text: str, truth_boxes: Sequence[Mapping[str, Any]]) -> Part:
        answer = parse_detections(text)
        if isinstance(answer, ParseFailure):
            return _unread(answer)
        return reward(answer, _labelled(truth_boxes))

    return scored


def _detection_format(text: str, _truth: object) -> Part:
    return format_part(_failure(parse_detections(text)))


def _grounding_format(text: str, _truth: object) -> Part:
    return format_part(_failure(parse_frame_box(text)))


def _grounding_frame(text: str, truth_frame: int) -> Part:
    answer = parse_frame_box(text)
    return grounding_frame(answer.frame, truth_frame) if isinstance(answer, FrameBox) else _unread(answer)


def _grounding_iou(text: str, truth_box_world: Sequence[float], T_world_camera: Any) -> Part:
    answer = parse_frame_box(text)
    if isinstance(answer, ParseFailure):
        return _unread(answer)
    return grounding_iou(answer, truth_box_world, np.asarray(T_world_camera, dtype=np.float64))


def _option(text: str, truth_option: str) -> Part:
    answer = parse_option(text, _OPTIONS)
    return _unread(answer) if isinstance(answer, ParseFailure) else exact_match(answer, truth_option)


def _number(text: str, truth_number: int | float) -> Part:
    answer = parse_number(text)
    return (
        _unread(answer) if isinstance(answer, ParseFailure) else mean_relative_accuracy(answer, truth_number)
    )


_BY_NAME: dict[tuple[str, str], Callable[..., Rewards]] = {
    ("detection", "format"): detection_format_reward,
    ("detection", "iou"): detection_mean_iou_reward,
    ("detection", "f1"): detection_f1_reward,
    ("detection", "matched_iou"): detection_matched_iou_reward,
    ("grounding", "format"): grounding_format_reward,
    ("grounding", "frame"): grounding_frame_reward,
    ("grounding", "iou"): grounding_iou_reward,
    ("spatial", "choice"): exact_match_reward,
    ("spatial", "number"): mra_reward,
    ("spatial", "think_format"): think_format_reward,
}


def as_trl(task: str, part: str) -> Callable[..., Rewards]:
    """The reward ``part`` of ``task`` for ``trl.GRPOTrainer(reward_funcs=[...])``.

    Raises:
        ValueError: no such reward; the message lists them.
    """
    if (task, part) not in _BY_NAME:
        known = ", ".join(f"{name!r} {each!r}" for name, each in _BY_NAME)
        raise ValueError(f"no reward {part!r} of task {task!r}; there are {known}")
    return _BY_NAME[task, part]
