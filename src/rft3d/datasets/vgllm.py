"""VG-LLM's own JSON files (detection, ScanRefer, Scan2Cap) as samples files: ``rft3d data prepare vg-llm``.

What a record is shows in its fields: ``boxes`` (detection), ``gt_bbox`` or ``target`` (ScanRefer),
``annotations`` or ``input_box`` (Scan2Cap). ScanRefer's validation file has no target frame; here it is the frame
in which the true box covers most, as for our own samples: no official number looks at it. Its training file may
lack cameras: such samples serve SFT and are refused by every score.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rft3d.datasets.check.angles import angle_verdict
from rft3d.datasets.check.annotations import record_boxes
from rft3d.datasets.views import Target, any_frame, target_frame
from rft3d.datasets.work import Job, JobOutput, NotASample, relative
from rft3d.geometry import invert_pose, transform_boxes
from rft3d.prompts import IMAGE
from rft3d.scenes.readers.records import ChatRecord
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.types import Frame
from rft3d.tasks.types import Sample

Fields = dict[str, Any]
Angles = Literal["detect", "intrinsic", "extrinsic"]
TELLING_RECORDS = 2000
"""Records that are looked at to detect the angles' convention."""
_WORLD = {"box_world": "gt_bbox", "T_world_camera": "T_world_camera"}


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


def detection_sample(record: ChatRecord, frames: Sequence[str]) -> Sample:
    """A sample of VG-LLM's detection record: boxes are in the first frame's camera already."""
    if "boxes" not in record.extra:
        raise NotASample("record without boxes")
    boxes = record.extra["boxes"]
    prompt = _shown(record.turns[0], IMAGE * len(frames), len(frames))
    return _of_chat("detection", record, frames, prompt, {"boxes": boxes}, {"objects": len(boxes)})


def grounding_sample(record: ChatRecord, frames: Sequence[str]) -> Sample:
    """A sample of VG-LLM's ScanRefer record; without cameras (the train file may lack them) it serves SFT only."""
    if "target" not in record.extra:
        raise NotASample("record without target")
    known = {key: record.extra[name] for key, name in _WORLD.items() if name in record.extra}
    target, metadata = record.extra["target"], record.extra.get("metadata", {})
    truth = {key: target[key] for key in ("frame", "bbox_3d")} | (known if len(known) == len(_WORLD) else {})
    meta = {key: metadata[key] for key in ("object_id", "ann_id") if key in metadata}
    if record.question_type in ("unique", "multiple"):
        meta["unique"] = record.question_type == "unique"
    named = "".join(f"Frame-{index}: {IMAGE}" for index in range(len(frames)))
    prompt = _shown(record.extra.get("prompt", record.turns[0]), named, len(frames))
    return _of_chat("grounding", record, frames, prompt, truth, meta)


def caption_sample(record: ChatRecord, frames: Sequence[str]) -> Sample:
    """A sample of VG-LLM's Scan2Cap record."""
    caption = record.turns[1]
    truth: dict[str, Any] = {
        "caption": caption,
        "references": record.extra.get("annotations", [caption]),
        "iou": record.extra.get("iou", 1.0),
    }
    for name, key in (("gt_box", "box_world"), ("input_box", "input_box_world")):
        if name in record.extra:
            truth[key] = [*record.extra[name], 0.0, 0.0, 0.0]
    prompt = _shown(record.turns[0], IMAGE * len(frames), len(frames))
    return _of_chat("captioning", record, frames, prompt, truth, {})


def _of_chat(
    task: str, record: ChatRecord, frames: Sequence[str], prompt: str, truth: Fields, meta: Fields
) -> Sample:
    cameras = {key: record.extra[key] for key in ("intrinsics", "T_world_camera") if key in record.extra}
    identity = f"{record.scene or 'vgllm'}:{task}:{record.id}"
    meta = {**meta, "dataset": record.dataset, "rounding": "plain", **cameras}
    return Sample(identity, task, record.scene or record.id, tuple(frames), prompt, truth, meta)


def _shown(text: str, pictures: str, count: int) -> str:
    """The human text as a model sees it: ``pictures`` first where it names none; a newline after an image tag
    goes, as upstream's loader does it."""
    if IMAGE not in text:
        text = pictures + text.lstrip("\n")
    text = text.replace(f"{IMAGE}\n", IMAGE)
    if text.count(IMAGE) != count:
        raise NotASample("as many image tags as pictures are needed")
    return text
