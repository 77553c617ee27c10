"""What several tasks need: frame references, objects in first-seen order, means that may be undefined."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rft3d.answers import LabelledBox
from rft3d.geometry import canonical_boxes, invert_pose, transform_boxes
from rft3d.scenes.types import Scene, SceneObject


def checked_refs(scene: Scene, frame_refs: Sequence[str]) -> tuple[str, ...]:
    """``frame_refs`` as a tuple; ValueError unless there is one for each frame of ``scene``."""
    if len(frame_refs) != len(scene.frames):
        raise ValueError(
            f"scene {scene.id!r} has {len(scene.frames)} frames but frame_refs has {len(frame_refs)} "
            "entries; give one reference a frame"
        )
    return tuple(frame_refs)


def first_seen(scene: Scene, min_visible: float) -> list[SceneObject]:
    """Objects of which some frame shows at least ``min_visible``: by first such frame, then by id."""
    first: dict[int, int] = {}
    for index, frame in enumerate(scene.frames):
        for identity, share in frame.visible.items():
            if share >= min_visible:
                first.setdefault(identity, index)
    things = [thing for thing in scene.objects if thing.id in first]
    return sorted(things, key=lambda thing: (first[thing.id], thing.id))


def boxed_in_first_camera(
    scene: Scene, things: Sequence[SceneObject], canonical: bool = True
) -> list[dict[str, Any]]:
    """``{"label", "bbox_3d"}`` of each of ``things``, (9,) in the camera frame of the scene's first frame.

    ``canonical``: each box in that one of its 24 equivalent forms whose rotation is nearest to none.
    """
    if not things:
        return []
    T_camera_world = invert_pose(scene.frames[0].T_world_camera)
    boxes = transform_boxes(T_camera_world, np.stack([thing.box for thing in things]))
    if canonical:
        boxes = canonical_boxes(boxes)
    return [{"label": thing.label, "bbox_3d": box.tolist()} for thing, box in zip(things, boxes, strict=True)]


def labelled(rows: Iterable[Mapping[str, Any]]) -> tuple[LabelledBox, ...]:
    """Rows of a sample's truth as boxes."""
    return tuple(LabelledBox(row["label"], tuple(row["bbox_3d"])) for row in rows)


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    values = list(values)
    return sum(values) / len(values) if values else None


def ratio(numerator: float, denominator: float) -> float:
    """0 when undefined, as VG-LLM's evaluation has it."""
    return numerator / denominator if denominator else 0.0
