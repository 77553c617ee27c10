"""VG-LLM's own data files: detection of 4 or 6 frames, ScanRefer, Scan2Cap, LLaVA-Hound.

    detection  {"conversations": [human, gpt], "images": [4 paths], "boxes": [{"label", "bbox_3d": 9}],
                "cam2img": 4x4, "cam2global": [4x4 a frame], "axis_align_matrix": 4x4}       cameras: val only
    scanrefer  {"conversations", "images", "metadata": {"dataset", "question_type", "ann_id", "object_id"},
                "target": {"frame", "bbox_3d"} | null, "gt_bbox": 9, "prompt", cameras}
    scan2cap   {"conversations", "images", "input_box": 6, "gt_box": 6, "iou", "metadata", "annotations",
    cameras}

Boxes of detection and ``target`` are in a frame's camera, ``gt_bbox``, ``input_box`` and ``gt_box`` in the
aligned world. **Files from before 2025-11-27 hold extrinsic zxy angles**; nothing in them says so, ``rft3d
data check`` decides it from the boxes, and ``old_angles`` converts them here.

Source: huggingface.co/datasets/zd11024/VG-LLM-Data as github.com/LaVi-Lab/VG-LLM reads it
(``src/lmms_eval/tasks/ {threedod,scanrefer,scan2cap}/utils.py``). Not verified on the released files: which
optional fields the train files have; whether ``cam2img`` is one matrix or one a frame (both are read).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rft3d.geometry import boxes_from_extrinsic
from rft3d.scenes.fields import Fields
from rft3d.scenes.readers._files import iter_objects, nearest_rigid, pinhole
from rft3d.scenes.readers.records import ChatRecord, read_images, read_turns, record_id, scan_in


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
    for record in iter_objects(path):
        images = read_images(record)
        video = record.text("video") if record.has("video") else None
        if not images and video is None:
            raise record.error("images", "nothing", "a list of paths (or a video)")
        extra = {**_boxes(record, old_angles, len(images)), **_cameras(record, len(images))}
        for name, reader in (("metadata", record.mapping), ("prompt", record.text), ("iou", record.number)):
            if record.has(name):
                extra[name] = reader(name)
        if record.has("annotations"):
            extra["annotations"] = list(record.texts("annotations"))
        metadata = extra.get("metadata", {})
        yield ChatRecord(
            id=record_id(record),
            scene=scan_in(*images[:1], video),
            dataset=str(metadata.get("dataset", "scannet" if scan_in(*images[:1]) else "vgllm")),
            turns=read_turns(record, answered=not record.has("gt_bbox")),
            images=images,
            video=video,
            question_type=metadata.get("question_type"),
            extra=extra,
        )


def _boxes(record: Fields, old_angles: bool, frames: int) -> dict[str, Any]:
    def box9(fields: Fields, name: str) -> list[float]:
        box = fields.array(name, (9,))
        return (boxes_from_extrinsic(box[None])[0] if old_angles else box).tolist()

    found: dict[str, Any] = {}
    if record.has("boxes"):
        found["boxes"] = [
            {"label": item.text("label"), "bbox_3d": box9(item, "bbox_3d")}
            for item in record.records("boxes")
        ]
    if record.has("target"):
        target = Fields(record.file, f"{record.where}.target", record.data["target"])
        frame = target.integer("frame")
        if frame >= frames:
            raise target.error("frame", frame, f"below the number of images ({frames})")
        found["target"] = {"frame": frame, "bbox_3d": box9(target, "bbox_3d")}
    if record.has("gt_bbox"):
        found["gt_bbox"] = record.array("gt_bbox", (9,)).tolist()  # angles are 0 in either convention
    for name in ("input_box", "gt_box"):
        if record.has(name):
            found[name] = record.array(name, (6,)).tolist()
    return found


def _cameras(record: Fields, frames: int) -> dict[str, Any]:
    names = ("cam2img", "cam2global", "axis_align_matrix")
    if not all(record.has(name) for name in names):
        return {}
    try:
        K = record.array("cam2img", (4, 4))[None]
    except ValueError:
        K = record.array("cam2img", (-1, 4, 4))
    poses = record.array("cam2global", (-1, 4, 4))
    if len(poses) != frames or len(K) not in (1, frames):
        raise record.error("cam2global", f"{len(poses)} matrices", f"one an image ({frames})")
    T_world_raw = record.array("axis_align_matrix", (4, 4))
    return {
        "intrinsics": [pinhole(K[i % len(K)]).tolist() for i in range(frames)],
        "T_world_camera": [nearest_rigid(T_world_raw @ pose).tolist() for pose in poses],
    }
