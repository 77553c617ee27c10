"""Perceive, then reason: the boxes that a thought starts from, as detection would write them.

The list names what the question is about and nothing else, in the first camera's frame, so that what a policy has
learned in detection is what it needs here, and a reward can check the perception apart from the answer
(:func:`rft3d.rewards.process.boxes_part`). Not in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rft3d.answers import LabelledBox, ParseFailure, parse_detections, render_detections
from rft3d.geometry import canonical_boxes, invert_pose, transform_boxes
from rft3d.tasks._shared import never_flat
from rft3d.tasks.spatial.view import Question, View


def perceived(question: Question, view: View) -> list[dict[str, Any]]:
    """``{"label", "bbox_3d"}`` of every object that ``question`` names, in the order named.

    ``bbox_3d``: (9,) in the first camera's frame, metres and radians, the form nearest to no rotation. Empty for
    a question about the room itself.
    """
    things = [thing for label in dict.fromkeys(question.names) for thing in view.by_label.get(label, ())]
    if not things or not view.scene.frames:
        return []
    T_camera_world = invert_pose(view.scene.frames[0].T_world_camera)
    boxes = canonical_boxes(transform_boxes(T_camera_world, np.stack([thing.box for thing in things])))
    return [{"label": thing.label, "bbox_3d": box.tolist()} for thing, box in zip(things, boxes, strict=True)]


def labelled(rows: Sequence[Mapping[str, Any]]) -> tuple[LabelledBox, ...]:
    """Rows of a sample's truth as boxes."""
    return tuple(LabelledBox(row["label"], tuple(row["bbox_3d"])) for row in rows)


def listed(rows: Sequence[Mapping[str, Any]], decimals: int) -> str:
    """The rows as the text of a detection answer, rounded; nothing where there are none."""
    boxes = [LabelledBox(box.label, never_flat(box.box, decimals)) for box in labelled(rows)]
    return render_detections(boxes, decimals) if boxes else ""


def read_boxes(thought: str) -> tuple[LabelledBox, ...]:
    """The boxes that a thought lists; none where it has no list that can be read."""
    found = parse_detections(thought, "lenient")
    return () if isinstance(found, ParseFailure) else found
