"""Samples files: readable, made of the annotations that lie there now, their pictures, angles and leaks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rft3d.datasets.check.angles import BoxSet
from rft3d.datasets.check.findings import Finding, found, problem
from rft3d.datasets.check.judge import ANGLE_SAMPLES, check_angles, check_leaks, is_training
from rft3d.datasets.check.kinds import without_path
from rft3d.datasets.work import read_meta
from rft3d.digests import file_digest
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample


def check_samples(path: Path, root: Path) -> Iterator[Finding]:
    """A samples file: readable, made of the files that lie there now, its pictures, angles and leaks."""
    where = path.relative_to(root).as_posix()
    gone: dict[str, None] = {}
    known: set[str] = set()
    scans: set[str] = set()
    sets: list[BoxSet] = []
    training, count = False, 0
    try:
        for sample in read_samples(path):
            count += 1
            training |= sample.meta.get("split") == "train"
            scans.add(sample.scene)
            for frame in sample.frames:
                if frame not in known and not frame.startswith("rooms:"):
                    known.add(frame)
                    if not (path.parent / frame).is_file():
                        gone[frame] = None
            if len(sets) < ANGLE_SAMPLES:
                sets += _sample_boxes(sample)
    except ValueError as error:
        yield problem("damaged", where, without_path(str(error), path), "prepare the samples again")
        return
    yield found(where, f"{count} samples about {len(scans)} scans")
    if gone:
        yield problem(
            "missing",
            where,
            f"{len(gone)} of {len(known)} pictures are missing",
            "put the pictures back, or prepare the samples again",
            list(gone),
        )
    yield from _check_stale(path, where)
    yield from check_angles(sets, where, converts=False)
    if training or is_training(path, "samples"):
        yield from check_leaks(scans, where, "samples")


def _check_stale(path: Path, where: str) -> Iterator[Finding]:
    try:
        meta = read_meta(path)
    except ValueError:
        yield Finding("note", "stale", where, "no meta file beside it: its source is unknown")
        return
    if meta["sha256"] != file_digest(path):
        yield problem("stale", where, "changed since it was prepared", "prepare the samples again (--force)")
    changed = []
    for item in meta["plan"]["inputs"]:
        source = path.parent / item["file"]
        if not source.is_file():
            yield Finding("note", "stale", where, f"its source {item['file']} is no longer there")
        elif source.stat().st_size != item["bytes"] or file_digest(source) != item["sha256"]:
            changed.append(item["file"])
    if changed:
        yield problem(
            "stale",
            where,
            "made from other versions of its annotations",
            "prepare the samples again (--force)",
            changed,
        )


def _sample_boxes(sample: Sample) -> list[BoxSet]:
    truth, poses = sample.truth, sample.meta.get("T_world_camera")
    if sample.task == "detection" and truth.get("boxes"):
        labels = tuple(row["label"] for row in truth["boxes"])
        boxes = np.array([row["bbox_3d"] for row in truth["boxes"]], dtype=np.float64)
        return [BoxSet(sample.scene, labels, boxes, None if poses is None else np.array(poses[0]))]
    if sample.task == "grounding" and {"bbox_3d", "box_world", "T_world_camera", "frame"} <= truth.keys():
        pose = np.array(truth["T_world_camera"][truth["frame"]])
        return [
            BoxSet(sample.scene, ("",), np.array([truth["bbox_3d"]]), pose, np.array([truth["box_world"]]))
        ]
    return []
