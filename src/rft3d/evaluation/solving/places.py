"""Sources of the boxes that spatial questions are solved with.

* annotated scenes (``SOURCES``) and files in the layout of VSI-Bench's scene metadata: what is really there, or
  what another program found;
* a model's detections: every window's boxes moved to the world by the first frame's pose (``meta``), then
  fused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from rft3d.answers import LabelledBox, ParseFailure, parse_detections
from rft3d.evaluation.records import Prediction, read_predictions
from rft3d.geometry import box_iou, boxes_valid, transform_boxes
from rft3d.scenes.sources import SOURCES, open_scenes
from rft3d.scenes.types import Scene
from rft3d.tasks.samples import read_samples
from rft3d.tasks.spatial.solve import Place, place_of, seen_by_projection, world_of
from rft3d.tasks.types import Sample
from rft3d.typed import Numbers, typed

Pose = Annotated[Any, Numbers((4, 4))]
Places = dict[str, Place]
SAME_IOU = 0.2
"""Two boxes of one label from two windows that overlap more are one object."""


def scene_key(scene: str) -> str:
    """``"scannet/scene0011_00"`` -> ``"scene0011_00"``: the key of a scene's boxes."""
    return scene.split("/")[-1]


@dataclass(frozen=True, kw_only=True)
class BoxSource:
    """Where boxes come from: exactly one of ``scenes``, ``metadata`` and ``detections``."""

    scenes: str | None = None
    """scene folder, posed clip, folder of them, or rooms:0-31; or what --source reads"""
    metadata: tuple[Path, ...] = ()
    """VSI-Bench's scene metadata: {arkitscenes,scannet,scannetpp}_meta_info_val.json"""
    detections: Path | None = None
    """a model's predictions for --detection-samples"""
    detection_samples: Path | None = None
    """detection samples file with the windows' cameras"""

    def places(self, source: str = "auto") -> Places:
        """The boxes; ``source``: the reader of ``SOURCES`` for ``scenes``, auto: what
        :func:`rft3d.scenes.open_scenes` opens."""
        if sum(map(bool, (self.scenes, self.metadata, self.detections))) != 1:
            raise ValueError("give exactly one of --scenes, --metadata and --detections, or --blind")
        if self.scenes is not None:
            return places_from_scenes((open_scenes if source == "auto" else SOURCES[source])(self.scenes))
        if self.detections is None:
            return places_from_scenes(scene for path in self.metadata for scene in SOURCES["vsi_meta"](path))
        if self.detection_samples is None:
            raise ValueError("--detections needs --detection-samples: the windows' cameras")
        samples = list(read_samples(self.detection_samples))
        return places_from_detections(samples, read_predictions(self.detections))


def places_from_scenes(scenes: Iterable[Scene]) -> Places:
    """Annotated scenes; where frames do not list visible objects, cameras and boxes decide."""
    found = {}
    for scene in scenes:
        place = world_of(scene)
        if place.first_seen is None and scene.frames:
            seen = seen_by_projection(place.boxes, scene.frames)
            place = Place(place.boxes, place.floor_area_m2, seen)
        found[scene_key(scene.id)] = place
    return found


def places_from_detections(samples: Sequence[Sample], predictions: Sequence[Prediction]) -> Places:
    """What a model detected, by scene: each answer moved to the world, answers of one scene fused. An unreadable
    or truncated answer adds no boxes. ValueError for a sample without ``meta.T_world_camera``."""
    by_id = {prediction.id: prediction for prediction in predictions}
    groups: dict[str, list[LabelledBox]] = {}
    for sample in samples:
        if not (poses := sample.meta.get("T_world_camera")):
            raise ValueError(
                f"sample {sample.id!r}: field meta.T_world_camera is missing; "
                "rft3d data prepare, samples and rooms write it"
            )
        boxes = groups.setdefault(scene_key(sample.scene), [])
        prediction = by_id.get(sample.id)
        if prediction is None or prediction.truncated:
            continue
        answer = parse_detections(prediction.text)
        if not isinstance(answer, ParseFailure):
            T_world_camera = typed(Pose, poses[0], f"sample {sample.id!r}: meta.T_world_camera[0]")
            valid = [box for box in answer if boxes_valid(np.array([box.box]))[0]]
            moved = transform_boxes(T_world_camera, [box.box for box in valid]).tolist()
            boxes += [LabelledBox(b.label, tuple(row)) for b, row in zip(valid, moved, strict=True)]
    return {scene: _place(fuse(boxes)) for scene, boxes in groups.items()}


def fuse(boxes: Sequence[LabelledBox]) -> list[LabelledBox]:
    """One box an object: in order, a box is dropped that overlaps a kept one of its label (IoU > 0.2), or whose
    centre lies closer to the kept one's than half of its smallest side."""
    kept: list[LabelledBox] = []
    by_label: dict[str, list[LabelledBox]] = {}
    for box in boxes:
        if not boxes_valid(np.array([box.box]))[0]:
            continue
        others = by_label.setdefault(box.label, [])
        if others:
            theirs = np.array([other.box for other in others])
            apart = np.linalg.norm(theirs[:, :3] - np.array(box.box[:3]), axis=1)
            near = apart < 0.5 * theirs[:, 3:6].min(axis=1)
            if bool(near.any()) or box_iou(np.array([box.box]), theirs).max() > SAME_IOU:
                continue
        others.append(box)
        kept.append(box)
    return kept


def _place(boxes: Sequence[LabelledBox]) -> Place:
    rows = np.array([box.box for box in boxes]) if boxes else np.zeros((0, 9))
    return place_of([box.label for box in boxes], rows)
