"""Questions about videos: VSI-Bench and ReVSI, and VLM-3R, SpaceR and Spatial-MLLM in their style for training.

VSI-Bench and ReVSI are parquet (or JSON lines), with videos beside them. Source:
huggingface.co/datasets/nyu-visionx/VSI-Bench (split ``test``, 5,130 rows in 288 scenes) as
github.com/vision-x-nyu/thinking-in-space reads it (``lmms_eval/tasks/vsibench/utils.py``); ``pruned``: not in
the subset VSI-Bench-Debiased. ReVSI (huggingface.co/datasets/3dlg-hcvc/ReVSI, arXiv 2604.24300, as lmms-eval's
``tasks/revsi`` reads it) asks again with better boxes; each file has a key for one number of frames (16, 32, 64
or "all").

Parquet needs pyarrow (``pip install '.[data]'``). Scene metadata, without pictures, are VSI-Bench's
(``data/meta_info/{arkitscenes,scannet,scannetpp}_meta_info_val.json``) and in the same layout VLM-3R's
(``vlm_3r_data_process/README.md``: ``object_bboxes``). All 288 scenes were read: with the *rows* of
``normalizedAxes`` as the box's axes every box's corners span its ``min`` and ``max`` to 1 cm; 12 counts differ
from the number of boxes of the label. The same boxes stand in ARKitScenes' annotations.

VLM-3R's training questions (VSI-207K) and Spatial-MLLM's chats have VSI-Bench's types, about training scans.
Source: huggingface.co/datasets/Journey9ni/VLM-3R-DATA, written by github.com/VITA-Group/VLM-3R
(``vlm_3r_data_process/src/format_qa.py``). The human text is VSI-Bench's prompt. Where the three fields are
missing, as in the chat layout of Spatial-MLLM v1.1 (github.com/diankun-wu/Spatial-MLLM), the video's path names
data set and scene, and the words the type. Not verified on the released files: that ``video`` is always there.

Video-R1's layout is that of SpaceR-151k, of which SR-91K is the ScanNet part, and of Spatial-MLLM's files: JSON
lines (a list is read too). Source: huggingface.co/datasets/RUBBISHLIKE/SpaceR-151k. Where ``data_source`` is
missing or empty (VSI-Bench and Spatial-MLLM's questions in this layout), the video's path names data set and
scene: ``.../scannetpp/09c1414f1b.mp4``. ``question_type`` or ``original_question_type`` is read when it is
there, otherwise the problem type. Not verified on SpaceR's and Spatial-MLLM's released files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.files import excerpt, read_json
from rft3d.geometry import euler_zxy_from_matrix
from rft3d.geometry.rotations import Array
from rft3d.scenes.readers.records import ChatRecord, QuestionRecord, id_of, iter_records, scan_in, turns_in
from rft3d.scenes.types import Scene, SceneObject, validate_scene
from rft3d.typed import Text, typed

COUNTS = {
    "object_abs_distance": 834, "object_counting": 565, "object_size_estimation": 953, "room_size_estimation": 288,
    "object_rel_distance": 710, "object_rel_direction_easy": 217, "object_rel_direction_medium": 378,
    "object_rel_direction_hard": 373, "route_planning": 194, "obj_appearance_order": 618,
}  # fmt: skip
"""Rows of each question type in the released test split; they add up to 5,130."""
REVSI = {
    **dict.fromkeys(("object_counting_single", "object_counting_multiple"), "object_counting"),
    **dict.fromkeys(("room_size_estimation_single", "room_size_estimation_multiple"), "room_size_estimation"),
    **dict.fromkeys(("object_rel_distance_closest", "object_rel_distance_farthest"), "object_rel_distance"),
    **{f"object_rel_direction_{way}_easy": "object_rel_direction_medium" for way in ("forward", "backward")},
    **{f"object_rel_direction_{way}_hard": "object_rel_direction_hard" for way in ("forward", "backward")},
    **{kind: kind for kind in ("object_abs_distance", "object_size_estimation", "route_planning")},
}
"""ReVSI's question type -> the one of VSI-Bench that is answered alike (its easy directions have three options)."""


@dataclass(frozen=True)
class _Row:
    id: Any
    dataset: Text
    question_type: Text
    question: Text
    ground_truth: Any
    options: tuple[str, ...] | None = None
    scene_name: Text | None = None
    scene_id: Text | None = None
    num_frames: Any = None
    pruned: Any = None


def vsi_bench(path: Path | str) -> Iterator[QuestionRecord]:
    """The questions of a VSI-Bench or ReVSI file (``.parquet``, otherwise JSON), in file order.

    ``extra``: of ReVSI ``revsi_type`` and ``frame_budget``; of VSI-Bench ``pruned`` where the file says it.

    Raises:
        ValueError: naming file, record, field, value and fix.
        ModuleNotFoundError: parquet without pyarrow.
    """
    for where, row in iter_records(path, _Row):
        kind, budget, revsi = row.question_type, str(row.num_frames), row.num_frames is not None
        if kind not in (known := REVSI if revsi else COUNTS):
            raise ValueError(f"{where}.question_type is {excerpt(kind)}; it must be one of {sorted(known)}")
        scene = row.scene_id if revsi else row.scene_name
        if scene is None:
            raise ValueError(f"{where} lacks the field {'scene_id' if revsi else 'scene_name'!r}")
        extra: dict[str, object] = {"revsi_type": kind, "frame_budget": budget} if revsi else {}
        if row.pruned is not None:
            extra["pruned"] = bool(row.pruned)
        yield QuestionRecord(
            id=str(row.id),
            scene=scene,
            dataset=row.dataset,
            question_type=REVSI[kind] if revsi else kind,
            question=row.question,
            options=row.options or (),
            answer=str(row.ground_truth).strip(),
            video=f"{budget}_frame/{scene}.mp4" if revsi else f"{row.dataset}/{scene}.mp4",
            extra=extra,
        )


LEAST_SIZE_M = 1e-3
"""A box needs some thickness; an axis of length 0 (paper-thin things) gets this one."""


@dataclass(frozen=True)
class _Box:
    centroid: Array
    axesLengths: Array
    normalizedAxes: Array

    def __post_init__(self) -> None:
        for name, count in (("centroid", 3), ("axesLengths", 3), ("normalizedAxes", 9)):
            if getattr(self, name).size != count:
                raise ValueError(f"{name} must be {count} numbers, got {getattr(self, name).size}")
        if (self.axesLengths < 0).any():
            raise ValueError(f"axesLengths must not be negative, got {self.axesLengths.tolist()}")
        R = self.normalizedAxes.reshape(3, 3)
        if np.abs(R @ R.T - np.eye(3)).max() > 1e-3:
            raise ValueError(f"normalizedAxes must be three orthogonal unit vectors, got {R.tolist()}")

    def nine(self) -> Array:
        """``(9,)``: the rows of ``normalizedAxes`` are the box's axes."""
        rotation = self.normalizedAxes.reshape(3, 3).T
        if np.linalg.det(rotation) < 0:  # the same solid with one axis turned; not seen in the official files
            rotation = rotation * np.array([1.0, 1.0, -1.0])
        size = np.maximum(self.axesLengths.ravel(), LEAST_SIZE_M)
        return np.concatenate([self.centroid.ravel(), size, euler_zxy_from_matrix(rotation)])


@dataclass(frozen=True)
class _Place:
    object_counts: dict[str, int]
    object_bbox: dict[str, tuple[_Box, ...]] | None = None
    object_bboxes: dict[str, tuple[_Box, ...]] | None = None
    room_size: float | None = None

    def __post_init__(self) -> None:
        for label, count in self.object_counts.items():
            if count < 0:
                raise ValueError(f"object_counts.{label} must be a whole number >= 0, got {count}")
        if self.object_bbox is None and self.object_bboxes is None:
            raise ValueError("it lacks the field 'object_bbox'")


def vsi_meta(path: Path | str) -> Iterator[Scene]:
    """The scenes of a metadata file, or of all below a folder, without frames; the data set's own world, z up.

    ValueError: naming file, scene, field, value and fix.
    """
    path = Path(path)
    files = sorted(path.glob("*_meta_info*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: no *_meta_info*.json in this folder")
    for file in files:
        for scene_id, data in read_json(file, dict).items():
            place: _Place = typed(_Place, data, f"{file}.{scene_id}", extra=True)
            groups = (place.object_bboxes or place.object_bbox or {}).items()
            boxes = [(label, box.nine()) for label, group in groups for box in group]
            objects = tuple(SceneObject(k, label, box) for k, (label, box) in enumerate(boxes))
            area, counts = place.room_size, place.object_counts
            scene = Scene(scene_id, "vsi_meta", (), objects, floor_area_m2=area, counts=counts)
            yield validate_scene(scene, frames=False, file=file)


DATASETS = ("scannet", "scannetpp", "arkitscenes")
QUESTION_TYPES = {
    "object_rel_direction_v1": "object_rel_direction_easy",
    "object_rel_direction_v2": "object_rel_direction_medium",
    "object_rel_direction_v3": "object_rel_direction_hard",
    **{f"object_rel_distance_v{version}": "object_rel_distance" for version in (1, 2, 3)},
}
"""VLM-3R's name -> VSI-Bench's, where they differ."""


@dataclass(frozen=True)
class _ChatRow:
    conversations: tuple[dict[str, Any], ...]
    data_source: str | None = None
    scene_name: Text | None = None
    question_type: Text | None = None
    video: Text | None = None
    id: Any = None


def vlm3r(path: Path | str) -> Iterator[ChatRecord]:
    """The questions of one of VLM-3R's files, in file order, one in memory at a time.

    ``question_type`` is VSI-Bench's name. ValueError: naming file, record, field, value and fix.
    """
    for where, row in iter_records(path, _ChatRow):
        source = row.data_source or dataset_in(row.video or "")
        if source not in DATASETS:
            raise ValueError(f"{where}.data_source is {excerpt(source)}; it must be one of {DATASETS}")
        scene, kind = row.scene_name or (row.video and Path(row.video).stem), row.question_type
        if not scene:
            raise ValueError(f"{where} lacks the field 'scene_name', and no video tells the scan")
        yield ChatRecord(
            id=id_of(row.id, where),
            scene=scene,
            dataset=source,
            turns=turns_in(row.conversations, where),
            video=row.video,
            question_type=QUESTION_TYPES.get(kind, kind) if kind else None,
        )


SR_SOURCE = "SR_dataset"
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@dataclass(frozen=True)
class _ProblemRow:
    problem: Text
    problem_type: Text
    solution: Text
    path: Text
    options: tuple[str, ...] | None = None
    data_source: str | None = None
    question_type: Text | None = None
    original_question_type: Text | None = None
    problem_id: Any = None
    id: Any = None
    video_id: Any = ""


def spacer(path: Path | str, *, source: str | None = SR_SOURCE) -> Iterator[QuestionRecord]:
    """The questions of a SpaceR file, in file order, one in memory at a time.

    Args:
        source: only this ``data_source`` (SR-91K); None: all 151k.

    Raises:
        ValueError: naming file, record, field, value and fix.
    """
    for where, row in iter_records(path, _ProblemRow):
        found = row.data_source or ""
        if source is not None and found not in (source, ""):
            continue
        answer = _ANSWER.search(row.solution)
        if answer is None or not answer[1].strip():
            raise ValueError(f"{where}.solution is {excerpt(row.solution)}; it must be <answer>...</answer>")
        dataset = dataset_in(row.path)
        scene = scan_in(row.path, str(row.video_id))
        yield QuestionRecord(
            id=id_of(row.id if row.problem_id is None else row.problem_id, where),
            scene=Path(row.path).stem if scene is None and dataset is not None else scene,
            dataset="scannet" if found == SR_SOURCE else dataset or found or "unknown",
            question_type=row.question_type or row.original_question_type or row.problem_type,
            question=row.problem,
            options=row.options or (),
            answer=answer[1].strip(),
            video=row.path.removeprefix("./"),
        )


def dataset_in(path: str) -> str | None:
    """Which of :data:`DATASETS` a media path lies in."""
    return next((part for part in path.lower().split("/") if part in DATASETS), None)
