"""Annotation files: whether they are whole, their angles, missing pictures, and benchmark rooms in training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.datasets.check.angles import BoxSet
from rft3d.datasets.check.findings import Finding, found, problem
from rft3d.datasets.check.judge import ANGLE_SAMPLES, check_angles, check_leaks, is_training
from rft3d.datasets.check.kinds import READERS, without_path
from rft3d.datasets.vsi import missing_questions
from rft3d.scenes.readers.records import ChatRecord


def check_annotations(path: Path, kind: str, root: Path, media: Path) -> Iterator[Finding]:
    """One annotation file: whole, well formed, its angles, and benchmark rooms in training files."""
    where = path.relative_to(root).as_posix()
    scans: set[str] = set()
    sets: list[BoxSet] = []
    gone: dict[str, None] = {}
    records: list[Any] = []
    count = 0
    try:
        for record in READERS[kind](path):
            count += 1
            scan = getattr(record, "scene", None) or (record.id if kind == "VSI-Bench metadata" else None)
            if scan:
                scans.add(scan)
            if kind == "VSI-Bench":
                records.append(record)
            if isinstance(record, ChatRecord):
                if len(sets) < ANGLE_SAMPLES:
                    sets += record_boxes(record)
                gone.update((name, None) for name in _missing_media(record, media) if len(gone) < 1000)
    except ValueError as error:
        cut = "cut off" in str(error)
        yield problem(
            "truncated" if cut else "damaged", where, without_path(str(error), path), "get the file again"
        )
        return
    except ModuleNotFoundError as error:
        yield problem("missing", where, f"reading it needs the package {error.name}", "pip install '.[data]'")
        return
    yield found(where, f"{kind}, {count} records about {len(scans)} scans")
    yield from check_angles(sets, where, converts=kind == "VG-LLM")
    whole = kind != "VSI-Bench" or any(record.extra.get("frame_budget") for record in records)
    if not whole and (short := missing_questions(records)):
        lacks = [f"{name} {number:+d}" for name, number in ((k, -v) for k, v in short.items())]
        yield problem(
            "missing",
            where,
            "not the whole test split (rows too few or too many)",
            "download the parquet file of the split 'test' again",
            lacks,
        )
    if gone:
        yield problem(
            "missing",
            where,
            f"{len(gone)} or more pictures or videos are not below {media}",
            "unpack the data set's pictures there, or say where they are with --media",
            list(gone),
        )
    if is_training(path, kind):
        yield from check_leaks(scans, where, kind)


def record_boxes(record: ChatRecord) -> list[BoxSet]:
    """The boxes of a VG-LLM record with what is known of their cameras."""
    extra, poses = record.extra, record.extra.get("T_world_camera")
    if extra.get("boxes"):
        labels = tuple(row["label"] for row in extra["boxes"])
        boxes = np.array([row["bbox_3d"] for row in extra["boxes"]])
        return [
            BoxSet(record.scene or record.id, labels, boxes, None if poses is None else np.array(poses[0]))
        ]
    if "target" in extra and poses is not None and "gt_bbox" in extra:
        pose = np.array(poses[extra["target"]["frame"]])
        true = np.array([extra["gt_bbox"]])
        return [BoxSet(record.scene or record.id, ("",), np.array([extra["target"]["bbox_3d"]]), pose, true)]
    return []


def _missing_media(record: ChatRecord, media: Path) -> list[str]:
    names = record.images or ((record.video,) if record.video else ())
    return [name for name in names if not (media / name).exists()]
