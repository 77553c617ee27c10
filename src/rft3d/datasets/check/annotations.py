"""Annotation and samples files: what kind they are, whether they are whole, their angles, stale inputs and
leaks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.datasets.check.angles import BoxSet, angle_verdict
from rft3d.datasets.check.findings import Finding, found, problem
from rft3d.datasets.leaks import leaking
from rft3d.datasets.prepare import missing_questions
from rft3d.datasets.work import digest, read_meta
from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.records import ChatRecord
from rft3d.scenes.readers.scanrefer import scanrefer
from rft3d.scenes.readers.spacer import spacer
from rft3d.scenes.readers.spar import spar
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.readers.vlm3r import vlm3r
from rft3d.scenes.readers.vsi_bench import vsi_bench
from rft3d.scenes.readers.vsi_meta import vsi_meta
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample

ANGLE_SAMPLES = 2000
"""Records that the angle check looks at."""
LEAST_UPRIGHT = 0.5
READERS: dict[str, Callable[..., Iterator[Any]]] = {
    "ScanRefer": scanrefer,
    "VLM-3R": vlm3r,
    "SpaceR": lambda path: spacer(path, source=None),
    "SPAR": spar,
    "VG-LLM": vgllm,
    "VSI-Bench": vsi_bench,
    "VSI-Bench metadata": vsi_meta,
}


def kind_of(path: Path) -> str | None:
    """Which data set a JSON or parquet file belongs to, told by its first record; None: none known."""
    if path.suffix == ".parquet":
        return "VSI-Bench"
    try:
        first = next(iter_objects(path), None)
    except ValueError:
        return None
    if first is None:
        return None
    data = first.data
    if {"id", "task", "scene", "frames", "prompt", "truth"} <= data.keys():
        return "samples"
    if {"scene_id", "object_id", "ann_id", "description"} <= data.keys():
        return "ScanRefer"
    if {"conversations", "data_source", "scene_name"} <= data.keys():
        return "VLM-3R"
    if {"problem", "problem_type", "solution"} <= data.keys():
        return "SpaceR"
    if {"question_type", "question", "ground_truth"} <= data.keys():
        return "VSI-Bench"
    if "conversations" in data:
        boxes = {"boxes", "target", "gt_bbox", "input_box", "cam2global"} & data.keys()
        return "VG-LLM" if boxes or "spar_info" not in data else "SPAR"
    if data and all(isinstance(v, dict) and "object_counts" in v for v in islice(data.values(), 3)):
        return "VSI-Bench metadata"
    return None


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
            "truncated" if cut else "damaged", where, _after(str(error), path), "get the file again"
        )
        return
    except ModuleNotFoundError as error:
        yield problem(
            "missing", where, f"reading it needs the package {error.name}", "pip install 'rft3d[data]'"
        )
        return
    yield found(where, f"{kind}, {count} records about {len(scans)} scans")
    yield from check_angles(sets, where, converts=kind == "VG-LLM")
    if kind == "VSI-Bench" and (short := missing_questions(records)):
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


def is_training(path: Path, kind: str) -> bool:
    """Whether a file is meant for training: VLM-3R, SpaceR and SPAR always, others by their name."""
    return kind in ("VLM-3R", "SpaceR", "SPAR") or bool(re.search(r"(^|[^a-z])train", path.stem.lower()))


def check_leaks(scans: Iterable[str], where: str, kind: str) -> Iterator[Finding]:
    """Rooms of benchmarks among the scans of a training file."""
    for benchmark, hits in leaking(scans).items():
        yield problem(
            "leak",
            where,
            f"training data about {len(hits)} scans of {benchmark}",
            "leave these scans out (rft3d data prepare vsi does so), or don't report that benchmark",
            hits,
        )


def check_angles(sets: list[BoxSet], where: str, converts: bool) -> Iterator[Finding]:
    """The angle convention of boxes, and whether they stand upright in the world at all."""
    if not sets:
        return
    verdict = angle_verdict(sets)
    if verdict.convention == "extrinsic":
        how = "vgllm(path, old_angles=True) converts them" if converts else "then prepare the samples again"
        what = f"boxes look like the angle convention of before 2025-11-27 ({verdict.words()})"
        yield problem("old-angles", where, what, f"download the files of 2025-11-27 or later; {how}")
    elif verdict.convention == "intrinsic":
        yield found(where, f"angles are intrinsic ZXY ({verdict.words()})")
    else:
        yield Finding("note", "old-angles", where, f"the boxes don't tell their angles ({verdict.words()})")
    if verdict.world_upright is not None and verdict.boxes >= 8 and verdict.world_upright < LEAST_UPRIGHT:
        yield problem(
            "unaligned",
            where,
            f"only {verdict.world_upright:.0%} of boxes are upright in the world",
            "the cameras are not in the axis-aligned world; multiply by axis_align_matrix",
        )


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
        yield problem("damaged", where, _after(str(error), path), "prepare the samples again")
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
        yield Finding("note", "stale", where, "no meta file beside it, so nobody knows what it was made from")
        return
    if meta["sha256"] != digest(path):
        yield problem(
            "stale", where, "changed since it was prepared", "prepare the samples again (--overwrite)"
        )
    changed = []
    for item in meta["plan"]["inputs"]:
        source = path.parent / item["file"]
        if not source.is_file():
            yield Finding("note", "stale", where, f"its source {item['file']} is no longer there")
        elif source.stat().st_size != item["bytes"] or digest(source) != item["sha256"]:
            changed.append(item["file"])
    if changed:
        yield problem(
            "stale",
            where,
            "made from other versions of its annotations",
            "prepare the samples again (--overwrite)",
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


def _missing_media(record: ChatRecord, media: Path) -> list[str]:
    names = record.images or ((record.video,) if record.video else ())
    return [name for name in names if not (media / name).exists()]


def _after(message: str, path: Path) -> str:
    return message.removeprefix(f"{path}: ").removeprefix(f"{path}:")


def json_files(root: Path) -> list[Path]:
    """Annotation candidates below ``root``; ScanNet's own per-scan files, meta files and folders of parts
    are left out.
    """
    out = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".json", ".jsonl", ".parquet") or any(p.startswith(".") for p in path.parts):
            continue
        if path.name.endswith((".aggregation.json", ".segs.json", ".meta.json", "_3dod_annotation.json")):
            continue
        out.append(path)
    return out


def broken_json(path: Path) -> str | None:
    """Why a file that nobody recognised is no JSON, or None when it is some."""
    try:
        for _ in iter_objects(path):
            return None
    except ValueError as error:
        with path.open("rb") as file:
            begins_so = file.read(1) in (b"{", b"[")
        return _after(str(error), path) if begins_so and not _plain_json(path) else None
    return None


def _plain_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, ValueError):
        return False
    return True
