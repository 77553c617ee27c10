"""VG-LLM's own JSON files (detection, ScanRefer, Scan2Cap) as samples files: ``rft3d data prepare vg-llm``.

What a record is shows in its fields: ``boxes`` (detection), ``gt_bbox`` or ``target`` (ScanRefer),
``annotations`` or ``input_box`` (Scan2Cap). ScanRefer's validation file has no target frame; here it is the frame
in which the true box covers most, as for our own samples: no official number looks at it. Its training file may
lack cameras: such samples serve SFT and are refused by every score.
"""

from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rft3d.datasets.check.angles import angle_verdict
from rft3d.datasets.check.annotations import record_boxes
from rft3d.datasets.convert import NotASample, caption_sample, detection_sample, grounding_sample
from rft3d.datasets.views import Target, any_frame, target_frame
from rft3d.datasets.work import Job, JobOutput, relative
from rft3d.geometry import invert_pose, transform_boxes
from rft3d.scenes.readers.records import ChatRecord
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.types import Frame
from rft3d.tasks.types import Sample

Angles = Literal["detect", "intrinsic", "extrinsic"]
TELLING_RECORDS = 2000
"""Records that are looked at to detect the angles' convention."""


def old_angles(path: Path, angles: Angles) -> bool:
    """Whether a file holds the extrinsic angles of before 2025-11-27.

    ValueError: to be detected, and its boxes do not tell.
    """
    if angles != "detect":
        return angles == "extrinsic"
    sets = [one for record in islice(vgllm(path), TELLING_RECORDS) for one in record_boxes(record)]
    verdict = angle_verdict(sets)
    if sets and verdict.convention == "undecided":
        raise ValueError(
            f"{path}: its boxes don't tell their angles' convention ({verdict.words()}); say it with --angles "
            "intrinsic (files of 2025-11-27 and later) or --angles extrinsic"
        )
    return verdict.convention == "extrinsic"


def vgllm_jobs(path: Path, old: bool) -> list[Job]:
    """A job a scan, its records, in the order in which scans first occur."""
    groups: dict[str, list[ChatRecord]] = {}
    for record in vgllm(path, old_angles=old):
        groups.setdefault(record.scene or "?", []).append(record)
    return [Job(scan, records) for scan, records in groups.items()]


def make_vgllm(records: list[ChatRecord], media: Path, root: Path) -> JobOutput:
    """The samples about one scan."""
    skipped: Counter[str] = Counter()
    samples: list[Sample] = []
    for record in records:
        frames = [relative(media / name, root) for name in record.images]
        try:
            samples.append(_sample(record, frames))
        except NotASample as reason:
            skipped[str(reason)] += 1
    return JobOutput(tuple(samples), dict(skipped))


def _sample(record: ChatRecord, frames: list[str]) -> Sample:
    if not frames:
        raise NotASample("record about a video file")
    if "boxes" in record.extra:
        return detection_sample(record, frames)
    if "gt_bbox" in record.extra or "target" in record.extra:
        return grounding_sample(_with_target(record), frames)
    if "annotations" in record.extra or "input_box" in record.extra:
        return caption_sample(record, frames)
    raise NotASample("record without boxes, target or annotations")


def _with_target(record: ChatRecord) -> ChatRecord:
    """ScanRefer's validation records have none."""
    extra: Any = record.extra
    if "target" in extra or "gt_bbox" not in extra or "T_world_camera" not in extra:
        return record
    box = np.array(extra["gt_bbox"])
    frames = []
    for name, K, pose in zip(record.images, extra["intrinsics"], extra["T_world_camera"], strict=True):
        # the principal point is in the middle: the file knows no picture size
        size = (max(1, round(2 * K[0][2])), max(1, round(2 * K[1][2])))
        frames.append(Frame(name, np.array(K), np.array(pose), *size, Path(name)))
    target = Target(box, None, None)
    best = target_frame(target, frames, upstream=False)
    place = any_frame(target, frames) if best is None else best
    seen = transform_boxes(invert_pose(frames[place].T_world_camera), box[None])[0]
    return replace(record, extra={**extra, "target": {"frame": place, "bbox_3d": seen.tolist()}})
