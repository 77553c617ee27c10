"""VG-LLM's own data files: detection of 4 or 6 frames, ScanRefer, Scan2Cap, LLaVA-Hound.

    detection  conversations, images, boxes; in val also the cameras (cam2img, cam2global, axis_align_matrix)
    scanrefer  conversations, images, metadata (dataset, question_type, ann_id, object_id), target or null,
               gt_bbox, prompt, cameras
    scan2cap   conversations, images, input_box, gt_box, iou, metadata, annotations, cameras

Boxes of detection and ``target`` are in a frame's camera, ``gt_bbox``, ``input_box`` and ``gt_box`` in the
aligned world. **Files from before 2025-11-27 hold extrinsic zxy angles**; nothing in them says so, ``rft3d
data check`` decides it from the boxes, and ``old_angles`` converts them here.

Source: huggingface.co/datasets/zd11024/VG-LLM-Data as github.com/LaVi-Lab/VG-LLM reads it
(``src/lmms_eval/tasks/ {threedod,scanrefer,scan2cap}/utils.py``). Not verified on the released files: which
optional fields the train files have; whether ``cam2img`` is one matrix or one a frame (both are read).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rft3d.geometry import boxes_from_extrinsic
from rft3d.scenes.readers.records import ChatRecord, as_rigid, id_of, iter_records, pinhole, scan_in, turns_in
from rft3d.typed import Array, Box9, Matrices4, Matrix4, Numbers, Text

_Box6 = Annotated[Any, Numbers((6,))]


@dataclass(frozen=True)
class _Labelled:
    label: Text
    bbox_3d: Box9


@dataclass(frozen=True)
class _Target:
    frame: int
    bbox_3d: Box9


@dataclass(frozen=True)
class _Record:
    conversations: tuple[dict[str, Any], ...]
    images: tuple[Text, ...] | Text | None = None
    image: tuple[Text, ...] | Text | None = None
    video: Text | None = None
    boxes: tuple[_Labelled, ...] | None = None
    target: _Target | None = None
    gt_bbox: Annotated[Any, Numbers((9,))] | None = None
    input_box: _Box6 | None = None
    gt_box: _Box6 | None = None
    iou: float | None = None
    metadata: dict[str, Any] | None = None
    annotations: tuple[str, ...] | None = None
    prompt: Text | None = None
    cam2img: Matrix4 | Matrices4 | None = None
    cam2global: Matrices4 | None = None
    axis_align_matrix: Matrix4 | None = None
    id: Any = None


def vgllm(path: Path | str, *, old_angles: bool = False) -> Iterator[ChatRecord]:
    """The records of one of VG-LLM's JSON files, in file order, one in memory at a time.

    ``extra`` holds what is there, checked: ``boxes`` (``[{"label", "bbox_3d"}]``), ``target`` (``{"frame",
    "bbox_3d"}``), ``gt_bbox``, ``input_box``, ``gt_box`` (lists), ``iou``, ``metadata``, ``annotations``,
    ``prompt``, and the cameras ``intrinsics`` (one 3x3 a frame) and ``T_world_camera`` (one 4x4 a frame, in
    the aligned world).

    Args:
        old_angles: the file is from before 2025-11-27; its angles are converted (not the texts in ``turns``).

    Raises:
        ValueError: naming file, record, field, value and fix.
    """
    for where, row in iter_records(path, _Record):
        given = row.images or row.image or ()
        images = (given,) if isinstance(given, str) else given
        if not images and row.video is None:
            raise ValueError(f"{where}.images is missing; it must be a list of paths (or give a video)")
        plain = ("gt_bbox", "input_box", "gt_box", "metadata", "prompt", "iou", "annotations")
        extra = {name: value for name in plain if (value := getattr(row, name)) is not None}
        extra = {**_boxes(row, old_angles, len(images), where), **_cameras(row, len(images), where), **extra}
        metadata = row.metadata or {}
        yield ChatRecord(
            id=id_of(row.id, where),
            scene=scan_in(*images[:1], row.video),
            dataset=str(metadata.get("dataset", "scannet" if scan_in(*images[:1]) else "vgllm")),
            turns=turns_in(row.conversations, where, answered=row.gt_bbox is None),
            images=images,
            video=row.video,
            question_type=metadata.get("question_type"),
            extra=extra,
        )


def _boxes(row: _Record, old_angles: bool, frames: int, where: str) -> dict[str, Any]:
    def numbers(box: Array) -> list[float]:
        return (boxes_from_extrinsic(box[None])[0] if old_angles else box).tolist()

    found: dict[str, Any] = {}
    if row.boxes is not None:
        found["boxes"] = [{"label": each.label, "bbox_3d": numbers(each.bbox_3d)} for each in row.boxes]
    if row.target is not None:
        frame = row.target.frame
        if not 0 <= frame < frames:
            raise ValueError(f"{where}.target.frame is {frame}, not below the number of images ({frames})")
        found["target"] = {"frame": frame, "bbox_3d": numbers(row.target.bbox_3d)}
    return found


def _cameras(row: _Record, frames: int, where: str) -> dict[str, Any]:
    K, poses, T_world_raw = row.cam2img, row.cam2global, row.axis_align_matrix
    if K is None or poses is None or T_world_raw is None:
        return {}
    K = K.reshape(-1, 4, 4)
    if len(poses) != frames or len(K) not in (1, frames):
        raise ValueError(f"{where}.cam2global holds {len(poses)}; it must be one an image ({frames})")
    return {
        "intrinsics": [pinhole(K[i % len(K)]).tolist() for i in range(frames)],
        "T_world_camera": [as_rigid(T_world_raw @ pose).tolist() for pose in poses],
    }
