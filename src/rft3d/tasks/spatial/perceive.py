"""Perceive, then reason: the boxes that a thought starts from, as detection would write them.

The list names what the question is about and nothing else, in the first camera's frame, so that what a policy has
learned in detection is what it needs here, and a reward can check the perception apart from the answer
(:func:`rft3d.rewards.process.boxes_part`). Not in the paper.
"""

from __future__ import annotations

from typing import Any

from rft3d.answers import LabelledBox, ParseFailure, parse_detections
from rft3d.tasks._shared import boxed_in_first_camera
from rft3d.tasks.spatial.view import Question, View


def perceived(question: Question, view: View) -> list[dict[str, Any]]:
    """``{"label", "bbox_3d"}`` of every object that ``question`` names, in the order named.

    ``bbox_3d``: (9,) in the first camera's frame, metres and radians, the form nearest to no rotation. Empty for
    a question about the room itself.
    """
    things = [thing for label in dict.fromkeys(question.names) for thing in view.by_label.get(label, ())]
    return boxed_in_first_camera(view.scene, things) if view.scene.frames else []


def read_boxes(thought: str) -> tuple[LabelledBox, ...]:
    """The boxes that a thought lists; none where it has no list that can be read."""
    found = parse_detections(thought, "lenient")
    return () if isinstance(found, ParseFailure) else found
