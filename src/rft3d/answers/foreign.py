"""Boxes as other models write them, as the house's: ``(x, y, z, dx, dy, dz, yaw, roll, pitch)``, intrinsic ZXY.

================  ==========================================================================================
``extrinsic-zxy`` VG-LLM's weights and files from before 2025-11-27: ``R = Ry(c) Rx(b) Rz(a)``
``qwen3-vl``      camera frame, full sizes; the code of its notebook (``cookbooks/3d_grounding.ipynb``) takes
                  the last three as pitch, yaw, roll in units of pi, ``R = Rz(roll) Ry(yaw) Rx(pitch)``; its
                  text calls them roll, pitch, yaw in radians
``sun-rgbd``      lmms-eval's task ``sunrgbd``: 7 numbers (yaw) or 9 (roll, pitch, yaw); roll and pitch are
                  ignored, yaw turns x towards z
``opengl``        the house's numbers in a camera whose y points up and z backwards
================  ==========================================================================================

A box may be called ``bbox_3d``, ``bbox3d``, ``box_3d`` or ``bbox``, its label ``label``, ``class``, ``category``,
``name`` or ``class_name``.
"""

import json
import math
from collections.abc import Callable
from typing import Any, Literal, cast

import numpy as np

from rft3d.answers._reading import MAX_ANSWER_CHARS, Unreadable, load_json, value_end
from rft3d.answers.types import LabelledBox
from rft3d.geometry import boxes_from_extrinsic, euler_zxy_from_matrix, matrix_from_euler_zxy
from rft3d.geometry.rotations import Array

Convention = Literal["house", "extrinsic-zxy", "qwen3-vl", "sun-rgbd", "opengl"]
BOX_NAMES = ("bbox_3d", "bbox3d", "box_3d", "bbox")
LABEL_NAMES = ("label", "class", "category", "name", "class_name")
_OPENGL = np.diag([1.0, -1.0, -1.0])


def _qwen3(box: Array) -> Array:
    pitch, yaw, roll = math.pi * box[6:]
    about_z, about_y, about_x = matrix_from_euler_zxy([(roll, 0.0, 0.0), (0.0, 0.0, yaw), (0.0, pitch, 0.0)])
    return np.concatenate([box[:6], euler_zxy_from_matrix(about_z @ about_y @ about_x)])


def _opengl(box: Array) -> Array:
    turned = euler_zxy_from_matrix(_OPENGL @ matrix_from_euler_zxy(box[6:]))
    # a mirrored axis would not be a rotation; _OPENGL turns by half around x
    return np.concatenate([_OPENGL @ box[:3], box[3:6], turned])


def yaw_only(box: Array) -> Array:
    """A house box as lmms-eval's SUN RGB-D score sees it: turned about the camera's y axis alone."""
    R = matrix_from_euler_zxy(box[6:])
    return np.array([*box[:6], 0.0, 0.0, math.atan2(-R[2, 0], R[0, 0])])


_READERS: dict[str, Callable[[Array], Array]] = {
    "house": lambda box: box,
    "extrinsic-zxy": lambda box: boxes_from_extrinsic(box[None])[0],
    "qwen3-vl": _qwen3,
    "sun-rgbd": lambda box: np.array([*box[:6], 0.0, 0.0, -box[8]]),
    "opengl": _opengl,
}
CONVENTIONS: tuple[Convention, ...] = ("house", "extrinsic-zxy", "qwen3-vl", "sun-rgbd", "opengl")


def foreign_boxes(text: str, convention: Convention) -> tuple[LabelledBox, ...]:
    """Every box in ``text`` with a label, in output order, in the house's convention; () when there is none.

    Reads the JSON value behind a fence or at the first bracket, else every whole ``{...}``, as lmms-eval does.
    """
    found: list[LabelledBox] = []
    for fields in _objects(text):
        box = next((fields[name] for name in BOX_NAMES if name in fields), None)
        label = next((fields[name] for name in LABEL_NAMES if name in fields), None)
        numbers = _numbers(box)
        if numbers is not None and isinstance(label, str) and label.strip():
            found.append(LabelledBox(label.strip(), tuple(_READERS[convention](numbers).tolist())))
    return tuple(found)


def in_house_layout(text: str, convention: Convention) -> str:
    """``text`` as the house writes detections, so that our readers score it; as it is where it holds none."""
    if convention == "house":
        return text
    boxes = foreign_boxes(text, convention)
    return json.dumps([{"label": box.label, "bbox_3d": box.box} for box in boxes]) if boxes else text


def _numbers(box: object) -> Array | None:
    values = cast("list[Any]", box) if isinstance(box, list) else []
    if len(values) < 7 or len(values) == 8:
        return None
    if not all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in values):
        return None
    nine = [*values[:6], 0.0, 0.0, values[6]] if len(values) == 7 else values[:9]
    return np.array(nine, dtype=np.float64)


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects that hold a box, in order."""
    if len(text) > MAX_ANSWER_CHARS:
        return []
    start = max(0, text.find("```json"))
    places = [place for mark in "[{" if (place := text.find(mark, start)) >= 0]
    if places:
        try:
            return _holding(load_json(text[min(places) : value_end(text, min(places))]))
        except Unreadable:
            pass
    found: list[dict[str, Any]] = []
    place = text.find("{")
    while place >= 0:
        try:
            end = value_end(text, place)
            found += _holding(load_json(text[place:end]))
        except Unreadable:
            end = place + 1
        place = text.find("{", end)
    return found


def _holding(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for each in cast("list[Any]", value) for found in _holding(each)]
    if not isinstance(value, dict):
        return []
    fields = cast("dict[str, Any]", value)
    if any(isinstance(fields.get(name), list) for name in BOX_NAMES):
        return [fields]
    return [found for each in fields.values() for found in _holding(each)]
