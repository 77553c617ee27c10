"""Which data set a file belongs to, and which files of a folder are candidates at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from rft3d.files import read_json
from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.scanrefer import scanrefer
from rft3d.scenes.readers.spacer import spacer
from rft3d.scenes.readers.spar import spar
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.readers.vlm3r import vlm3r
from rft3d.scenes.readers.vsi_bench import vsi_bench
from rft3d.scenes.readers.vsi_meta import vsi_meta
from rft3d.tasks.samples_parquet import is_samples_parquet

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
        try:
            return "samples" if is_samples_parquet(path) else "VSI-Bench"
        except ModuleNotFoundError:  # its reader says what to install
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
    if {"conversations", "video"} <= data.keys() or {
        "conversations",
        "data_source",
        "scene_name",
    } <= data.keys():
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


def files_below(root: Path) -> list[Path]:
    """Every file below ``root``, sorted; links to folders are followed, each folder once."""
    found: list[Path] = []
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            inner.clear()  # a link back, or a second way to the same folder
            continue
        seen.add(real)
        found += [Path(folder, name) for name in names]
    return sorted(found)


def json_files(root: Path) -> list[Path]:
    """Annotation candidates below ``root``; ScanNet's own per-scan files, meta files and folders of parts
    are left out.
    """
    out = []
    for path in files_below(root):
        if path.suffix not in (".json", ".jsonl", ".parquet") or any(p.startswith(".") for p in path.parts):
            continue
        if path.name == "scene.json" or path.name.endswith(
            (".aggregation.json", ".segs.json", ".meta.json", "_3dod_annotation.json")
        ):
            continue
        out.append(path)
    return out


def broken_json(path: Path) -> str | None:
    """Why a file of unknown kind is not valid JSON, or None when it is."""
    try:
        for _ in iter_objects(path):
            return None
    except ValueError as error:
        with path.open("rb") as file:
            begins_so = file.read(1) in (b"{", b"[")
        return without_path(str(error), path) if begins_so and not _plain_json(path) else None
    return None


def _plain_json(path: Path) -> bool:
    try:
        read_json(path)
    except (UnicodeDecodeError, ValueError):
        return False
    return True


def without_path(message: str, path: Path) -> str:
    """An error's message without the file that it begins with: the report names it already."""
    return message.removeprefix(f"{path}: ").removeprefix(f"{path}:")
