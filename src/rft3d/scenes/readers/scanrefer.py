"""ScanRefer's descriptions, and ScanNet's annotations of the scans that they are about.

Source: github.com/daveredrum/ScanRefer README ("Data format"). ``ScanRefer_filtered_val.json`` has 9,508
rows in 141 scans. Numbers are text in the released files; whole numbers are read too. Some rows of the
released files have descriptions with untidy spaces; they are kept as they are.

Detected boxes, with which the benchmark is refined: ``metadata/scannet_val_pred_box.json`` of Video-3D-LLM's
data (Mask3D; centre and full size in the axis-aligned world)::

    {"scannet/scene0011_00": [[x, y, z, dx, dy, dz], ...], ...}

Whether upstream keeps all of them or the first 50 of a scan could not be verified; all are kept.

A scan's annotations: ``<scan>.txt`` (the line ``axisAlignment = 16 numbers``: raw to aligned world),
``<scan>.aggregation.json``, ``<scan>_vh_clean_2.0.010000.segs.json`` (the segment of each vertex) and
``<scan>_vh_clean_2.ply`` (vertices in the raw world). Source: github.com/ScanNet/ScanNet README ("Data
Organization", "Data Formats"). An object's box is the axis-aligned one of its vertices in the *aligned* world,
which is what ScanRefer is scored against. There are two pairs of annotation files a scan; the one of the
decimated mesh (``_vh_clean_2``), which benchmarks use, is read.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from rft3d.files import blaming, excerpt, read_json
from rft3d.geometry import transform_points
from rft3d.scenes.readers.records import ReferringRow, as_rigid, iter_records
from rft3d.scenes.types import SceneObject
from rft3d.typed import Array, Numbers, Text, numbers, typed_file

NYU40_CLASSES = frozenset({*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39})
"""The 20 ids of ScanNet's benchmark; every other id counts as 39 (other furniture), M3DRef-CLIP's rule."""
LEAST_SIZE_M = 1e-3
_PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4",
    "float32": "<f4", "double": "<f8", "float64": "<f8",
}  # fmt: skip
_PLY_HEADER = re.compile(
    r"ply\nformat binary_little_endian [^\n]*\n(?:(?:comment|obj_info)\b[^\n]*\n)*"
    r"element vertex (\d+)\n((?:property \w+ \w+\n)+)(?=element |\Z)"
)


@dataclass(frozen=True)
class _Row:
    scene_id: Text
    object_id: int | Text
    object_name: Text
    ann_id: int | Text
    description: Text


def scanrefer(path: Path | str) -> Iterator[ReferringRow]:
    """The descriptions of a ScanRefer file, in file order, one in memory at a time.

    ValueError: naming file, record, field, value and fix.
    """
    for where, row in iter_records(path, _Row):
        for name in ("object_id", "ann_id"):
            if not str(value := getattr(row, name)).isdecimal():
                raise ValueError(f"{where}.{name} is {excerpt(value)}; it must be a whole number or its text")
        label = row.object_name.replace("_", " ")
        text = row.description.strip()
        yield ReferringRow(row.scene_id, int(row.object_id), label, str(int(row.ann_id)), text)


def unique_objects(rows: Iterable[ReferringRow], nyu40: Mapping[str, int]) -> dict[tuple[str, int], bool]:
    """``(scene, object_id)`` -> whether the object is the only described one of its class in its scene.

    The class is the NYU40 id of the object's name, over :data:`NYU40_CLASSES`. Names that the table doesn't
    know count as class 39.
    """
    classes: dict[tuple[str, int], int] = {}
    for row in rows:
        number = nyu40.get(row.object_name, 39)
        classes[row.scene, row.object_id] = number if number in NYU40_CLASSES else 39
    counts = Counter((scene, number) for (scene, _), number in classes.items())
    return {key: counts[key[0], number] == 1 for key, number in classes.items()}


def read_proposals(path: str | Path) -> dict[str, Array]:
    """Scene id (without ``scannet/``) -> ``(N, 9)`` axis-aligned proposals in the aligned world.

    ValueError: naming file, scene and value of anything that is not a list of six finite numbers.
    """
    found = {}
    for scene, listed in read_json(path, dict).items():
        where = f"{path}.{scene}"
        rows = np.zeros((0, 6)) if listed == [] else numbers(listed, where, (-1, -1))
        if rows.shape[1] < 6:
            raise ValueError(f"{where} is {excerpt(listed)}; it must hold [x, y, z, dx, dy, dz] in metres")
        found[scene.split("/")[-1]] = np.pad(rows[:, :6], ((0, 0), (0, 3)))
    return found


@dataclass(frozen=True)
class _Group:
    objectId: int
    segments: Annotated[Array, Numbers((-1,))]
    label: Text


@dataclass(frozen=True)
class _Aggregation:
    segGroups: tuple[_Group, ...]


@dataclass(frozen=True)
class _Segments:
    segIndices: Annotated[Array, Numbers((-1,))]


def axis_alignment(path: Path) -> Array:
    """``(4, 4)`` raw world -> aligned world from ``<scan>.txt``.

    ValueError: no such file or line (ScanNet's test scans have none), or not 16 numbers.
    """
    try:
        line = re.search(r"^\s*axisAlignment\s*=(.*)$", path.read_text(encoding="latin1"), re.MULTILINE)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; it holds the scan's axisAlignment") from None
    if line is None:
        raise ValueError(f"{path}: no line 'axisAlignment = ...'; the scan is unaligned")
    try:
        matrix = np.array(line[1].split(), dtype=np.float64)
    except ValueError:
        matrix = np.empty(0)
    if matrix.size != 16 or not np.isfinite(matrix).all():
        raise ValueError(f"{path}: axisAlignment must be 16 numbers, got {line[1].strip()[:80]!r}")
    return as_rigid(matrix.reshape(4, 4))


def scan_objects(folder: Path | str) -> tuple[SceneObject, ...]:
    """The annotated objects of the scan in ``folder`` by their ``objectId``: raw labels, axis-aligned boxes in the
    aligned world.

    Raises:
        ValueError: a missing or damaged file, or annotations that belong to another mesh.
    """
    folder = Path(folder)
    T_world_raw = axis_alignment(folder / f"{folder.name}.txt")
    points = transform_points(T_world_raw, ply_vertices(folder / f"{folder.name}_vh_clean_2.ply"))
    file = folder / f"{folder.name}_vh_clean_2.0.010000.segs.json"
    segments = typed_file(_Segments, file).segIndices
    if len(segments) != len(points):
        raise ValueError(f"{file}.segIndices has {len(segments)}; it must be one a vertex ({len(points)})")
    order = np.argsort(segments, kind="stable")
    file, found = folder / f"{folder.name}.aggregation.json", []
    for k, group in enumerate(typed_file(_Aggregation, file).segGroups):
        wanted = np.unique(group.segments)
        first, last = (np.searchsorted(segments, wanted, side, order) for side in ("left", "right"))
        pieces = [order[a:b] for a, b in zip(first, last, strict=True)]
        mine = points[np.concatenate(pieces)] if pieces else points[:0]
        if len(mine) == 0:
            where = f"{file}.segGroups[{k}].segments is {wanted[:8].tolist()}"
            raise ValueError(f"{where}; they must occur in segIndices")
        low = mine.min(axis=0)
        high = np.maximum(mine.max(axis=0), low + LEAST_SIZE_M)
        box = np.concatenate([0.5 * (low + high), high - low, np.zeros(3)])
        found.append(SceneObject(group.objectId, group.label, box))
    return tuple(sorted(found, key=lambda item: item.id))


def ply_vertices(path: Path) -> Array:
    """``(N, 3)`` vertex positions of a binary little endian PLY mesh, as ScanNet's are; faces are not read.

    ValueError: no such file, not such a PLY, or cut off.
    """
    try:
        head, end, data = path.read_bytes().partition(b"end_header\n")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    header = _PLY_HEADER.match(head[:65536].decode("latin1"))
    if not end or header is None:
        raise ValueError(f"{path}: not a binary little endian PLY file that begins with plain vertices")
    with blaming(path, ValueError, LookupError, TypeError, OverflowError, MemoryError):
        properties = (line.split() for line in header[2].splitlines())
        dtype, count = np.dtype([(name, _PLY_TYPES[kind]) for _, kind, name in properties]), int(header[1])
        if len(data) < count * dtype.itemsize:
            raise ValueError(f"{path}: cut off, {count} vertices were announced")
        vertices = np.frombuffer(data, dtype, count)
        return np.stack([vertices[axis].astype(np.float64) for axis in "xyz"], axis=1)


def read_nyu40(path: Path | str) -> Mapping[str, int]:
    """``raw_category -> nyu40id`` of ``scannetv2-labels.combined.tsv``. ValueError: no such columns."""
    damage = (csv.Error, LookupError, TypeError, ValueError)
    fix = "it needs the columns raw_category and nyu40id of ScanNet's table"
    with blaming(path, *damage, fix=fix), Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {row["raw_category"]: int(row["nyu40id"]) for row in rows}
