"""Annotations and samples files: whole and well formed, of what is there now, their angles, pictures and rooms."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.datasets.check.angles import BoxSet, angle_verdict
from rft3d.datasets.check.findings import Finding
from rft3d.datasets.leaks import leaking
from rft3d.datasets.vsi import missing_questions
from rft3d.datasets.work import read_meta
from rft3d.digests import file_digest
from rft3d.files import read_json
from rft3d.scenes.readers.records import ChatRecord, QuestionRecord, iter_objects
from rft3d.scenes.readers.vsi_bench import spacer
from rft3d.scenes.sources import RECORDS, SOURCES
from rft3d.scenes.types import Scene
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample

ANGLE_SAMPLES = 2000
"""Records that the angle check looks at."""
LEAST_UPRIGHT = 0.5
TITLES = {
    "scanrefer": "ScanRefer", "vlm3r": "VLM-3R", "spacer": "SpaceR", "vgllm": "VG-LLM", "vsi_bench": "VSI-Bench",
    "vsi_meta": "VSI-Bench metadata",
}  # fmt: skip
_READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    **SOURCES,
    **RECORDS,
    "spacer": partial(spacer, source=None),
    "samples": read_samples,
}
_TELLING = (
    ("samples", {"id", "task", "scene", "frames", "prompt", "truth"}),
    ("scanrefer", {"scene_id", "object_id", "ann_id", "description"}),
    ("vlm3r", {"conversations", "data_source", "scene_name"}),
    ("spacer", {"problem", "problem_type", "solution"}),
    ("vsi_bench", {"question_type", "question", "ground_truth"}),
    ("vlm3r", {"conversations", "video"}),  # Spatial-MLLM's
    ("vgllm", {"conversations"}),
)
"""Fields that tell a kind: the first whose fields are all there."""


def kind_of(path: Path) -> str | None:
    """``"samples"`` or a key of ``RECORDS``, told by a file's first record; None: no known data set."""
    if path.suffix == ".parquet":
        return "vsi_bench"
    try:
        first = next(iter_objects(path), None)
    except ValueError:
        return None
    if first is None:
        return None
    _, data = first
    for kind, fields in _TELLING:
        if fields <= data.keys():
            return kind
    if data and all(isinstance(v, dict) and "object_counts" in v for v in islice(data.values(), 3)):
        return "vsi_meta"
    return None


def files_below(root: Path) -> list[Path]:
    """Every file below ``root``, sorted; links to folders are followed, each folder once."""
    listed: list[Path] = []
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            inner.clear()  # a link back, or a second way to the same folder
            continue
        seen.add(real)
        listed += [Path(folder, name) for name in names]
    return sorted(listed)


def json_files(files: Iterable[Path]) -> list[Path]:
    """Annotation candidates; scene folders, ScanNet's own files of a scan, meta files and parts are left out."""
    others = (".aggregation.json", ".segs.json", ".meta.json", "_3dod_annotation.json")
    return [
        path
        for path in files
        if path.suffix in (".json", ".jsonl", ".parquet")
        and not any(part.startswith(".") for part in path.parts)
        and path.name != "scene.json"
        and not path.name.endswith(others)
    ]


def broken_json(path: Path) -> str | None:
    """Why a file of unknown kind is not valid JSON, or None when it is."""
    with path.open("rb") as file:
        if file.read(1) not in (b"{", b"["):
            return None
    try:
        next(iter_objects(path), None)
    except ValueError as error:
        try:
            read_json(path)  # one value that is no record may be sound JSON
        except ValueError:
            return without_path(error, path)
    return None


def check_file(path: Path, kind: str, root: Path, media: Path) -> Iterator[Finding]:
    """One file of annotations or samples: whole, made of what is there now, its pictures, angles and leaks."""
    where = path.relative_to(root).as_posix()
    samples = kind == "samples"
    folder, again, mend = media, "get the file again", "unpack them there, or say where they are with --media"
    if samples:
        folder, again, mend = path.parent, "prepare the samples again", "put them back"
    scans: set[str] = set()
    sets: list[BoxSet] = []
    gone: dict[str, None] = {}
    questions: list[QuestionRecord] = []
    count, training = 0, _is_training(path, kind)
    try:
        for record in _READERS[kind](path):
            count += 1
            if scan := record.id if isinstance(record, Scene) else record.scene:
                scans.add(scan)
            if isinstance(record, QuestionRecord) and kind == "vsi_bench":
                questions.append(record)
            if isinstance(record, Sample):
                training |= record.meta.get("split") == "train"
            if len(sets) < ANGLE_SAMPLES:
                sets += record_boxes(record)
            absent = (name for name in _media(record) if not (folder / name).exists())
            gone.update((name, None) for name in absent if len(gone) < 1000)
    except ValueError as error:
        state = "truncated" if "cut off" in str(error) and not samples else "damaged"
        yield Finding(state, where, without_path(error, path), again)
        return
    except ModuleNotFoundError as error:
        what = f"reading it needs the package {error.name}"
        yield Finding("missing", where, what, "pip install '.[data]'")
        return
    title = "" if samples else f"{TITLES[kind]}, "
    what = f"{title}{count} {'samples' if samples else 'records'} about {len(scans)} scans"
    yield Finding("present", where, what)
    if samples:
        yield from _check_stale(path, where)
    yield from _check_angles(sets, where, converts=kind == "vgllm")
    if kind == "vsi_bench" and not any(record.extra.get("frame_budget") for record in questions):
        short = [f"{name} {-number:+d}" for name, number in missing_questions(questions).items()]
        what = "not the whole test split (rows too few or too many)"
        yield Finding("missing", where, what, "download the parquet file of the split 'test' again", short)
    what = f"{{n}} or more pictures or videos are not below {folder}"
    yield Finding("missing", where, what, mend, gone)
    for benchmark, hits in leaking(scans).items() if training else ():
        what = f"training data about {{n}} scans of {benchmark}"
        mend = "leave these scans out (rft3d data prepare vsi does so), or don't report that benchmark"
        yield Finding("leak", where, what, mend, hits)


def record_boxes(record: Any) -> list[BoxSet]:
    """The boxes of a VG-LLM record or a sample, with what is known of their cameras."""
    if isinstance(record, ChatRecord):
        names = ("boxes", "T_world_camera", "target", "gt_bbox")
        return _box_sets(record.scene or record.id, *map(record.extra.get, names))
    if isinstance(record, Sample) and record.task == "detection":
        return _box_sets(record.scene, record.truth.get("boxes"), record.meta.get("T_world_camera"))
    if isinstance(record, Sample) and record.task == "grounding":
        truth = record.truth
        return _box_sets(record.scene, None, truth.get("T_world_camera"), truth, truth.get("box_world"))
    return []


def _box_sets(scene: str, rows: Any, poses: Any, target: Any = None, true_world: Any = None) -> list[BoxSet]:
    """Boxes in the first camera (detection), or the target's in its own and the same in the world (grounding)."""
    if rows:
        boxes = np.array([row["bbox_3d"] for row in rows], dtype=np.float64)
        pose = None if poses is None else np.array(poses[0])
        return [BoxSet(scene, tuple(row["label"] for row in rows), boxes, pose)]
    if target is None or poses is None or true_world is None:
        return []
    pose = np.array(poses[target["frame"]])
    return [BoxSet(scene, ("",), np.array([target["bbox_3d"]]), pose, np.array([true_world]))]


def _media(record: Any) -> Sequence[str]:
    """The pictures that a record names, else its video."""
    if isinstance(record, Sample):
        return [frame for frame in record.frames if not frame.startswith("rooms:")]
    if isinstance(record, ChatRecord):
        return record.images or ((record.video,) if record.video else ())
    return ()


def _check_stale(path: Path, where: str) -> Iterator[Finding]:
    try:
        meta = read_meta(path)
    except ValueError:
        yield Finding("stale", where, "no meta file beside it: its source is unknown")
        return
    again = "prepare the samples again (--force)"
    if meta["sha256"] != file_digest(path):
        yield Finding("stale", where, "changed since it was prepared", again)
    changed = []
    for item in meta["plan"]["inputs"]:
        source = path.parent / item["file"]
        if not source.is_file():
            yield Finding("stale", where, f"its source {item['file']} is no longer there")
        elif source.stat().st_size != item["bytes"] or file_digest(source) != item["sha256"]:
            changed.append(item["file"])
    yield Finding("stale", where, "made from other versions of its annotations", again, changed)


def _check_angles(sets: list[BoxSet], where: str, converts: bool) -> Iterator[Finding]:
    """The angle convention of boxes, and whether they stand upright in the world at all."""
    if not sets:
        return
    verdict = angle_verdict(sets)
    if verdict.convention == "extrinsic":
        how = "vgllm(path, old_angles=True) converts them" if converts else "then prepare the samples again"
        what = f"boxes look like the angle convention of before 2025-11-27 ({verdict.words()})"
        yield Finding("old-angles", where, what, f"download the files of 2025-11-27 or later; {how}")
    elif verdict.convention == "intrinsic":
        yield Finding("present", where, f"angles are intrinsic ZXY ({verdict.words()})")
    else:
        yield Finding("old-angles", where, f"the boxes don't tell their angles ({verdict.words()})")
    if verdict.world_upright is not None and verdict.boxes >= 8 and verdict.world_upright < LEAST_UPRIGHT:
        what = f"only {verdict.world_upright:.0%} of boxes are upright in the world"
        mend = "the cameras are not in the axis-aligned world; multiply by axis_align_matrix"
        yield Finding("unaligned", where, what, mend)


def _is_training(path: Path, kind: str) -> bool:
    """Whether a file is meant for training: VLM-3R and SpaceR always, others by their name."""
    return kind in ("vlm3r", "spacer") or bool(re.search(r"(^|[^a-z])train", path.stem.lower()))


def without_path(error: ValueError, path: Path) -> str:
    """An error's message without the file that it begins with: the report names it already."""
    return str(error).removeprefix(str(path)).lstrip(":. ")
