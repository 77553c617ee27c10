"""Exported ScanNet scans: pictures, poses and intrinsics as files, in either of the two usual layouts.

ScanNet's own exporter (``SensReader/python/reader.py``; frames are numbered from 0 without zeros)::

    <scan>/color/0.jpg   depth/0.png   pose/0.txt   intrinsic/intrinsic_color.txt

and EmbodiedScan's ``posed_images`` (``embodiedscan/converter/generate_image_scannet.py``; five digits)::

    <scan>/00000.jpg   00000.png   00000.txt   intrinsic.txt   depth_intrinsic.txt

A pose maps the colour camera to the raw world and holds -inf where tracking failed: such frames are left out.
With ``scans`` (the folder with ScanNet's annotations) the world is aligned (the line ``axisAlignment = 16 numbers``
of ``<scan>.txt``) and objects are read: ``<scan>.aggregation.json``, ``<scan>_vh_clean_2.0.010000.segs.json`` (the
segment of each vertex) and ``<scan>_vh_clean_2.ply`` (vertices in the raw world).

Source: github.com/ScanNet/ScanNet README ("Data Organization", "Data Formats"). An object's box is the axis-aligned
one of its vertices in the *aligned* world, which is what ScanRefer is scored against. There are two pairs of
annotation files a scan; the one of the decimated mesh (``_vh_clean_2``), which benchmarks use, is read.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from rft3d.files import blaming
from rft3d.geometry import box_from_axis_aligned, transform_points
from rft3d.scenes.images import read_depth
from rft3d.scenes.readers._files import nearest_rigid, picture_size, pinhole, read_matrix, scans_at
from rft3d.scenes.types import Frame, ImageSource, Scene, SceneObject, validate_scene
from rft3d.typed import Array, Numbers, Text, typed_file

LEAST_SIZE_M = 1e-3
_PLY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4",
    "float32": "<f4", "double": "<f8", "float64": "<f8",
}  # fmt: skip


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
        lines = path.read_text(encoding="latin1").splitlines()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; it holds the scan's axisAlignment") from None
    for line in lines:
        key, found, value = line.partition("=")
        if found and key.strip() == "axisAlignment":
            try:
                numbers = np.array([float(word) for word in value.split()], dtype=np.float64)
            except ValueError:
                numbers = np.empty(0)
            if numbers.size != 16 or not np.isfinite(numbers).all():
                raise ValueError(f"{path}: axisAlignment must be 16 numbers, got {value.strip()[:80]!r}")
            return nearest_rigid(numbers.reshape(4, 4))
    raise ValueError(f"{path}: no line 'axisAlignment = ...'; the scan is unaligned")


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
        raise ValueError(
            f"{file}.segIndices has {len(segments)} entries; it must be one a vertex ({len(points)})"
        )
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
        low, high = mine.min(axis=0), mine.max(axis=0)
        box = box_from_axis_aligned(low, np.maximum(high, low + LEAST_SIZE_M))
        found.append(SceneObject(group.objectId, group.label, box))
    return tuple(sorted(found, key=lambda item: item.id))


def ply_vertices(path: Path) -> Array:
    """``(N, 3)`` vertex positions of a PLY mesh (ASCII or binary little endian); faces are not read.

    ValueError: no such file, not such a PLY, or cut off.
    """
    try:
        head, end, data = path.read_bytes().partition(b"end_header\n")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    if not end or not head.startswith(b"ply"):
        raise ValueError(f"{path}: not a PLY file (no end of its header)")
    with blaming(path, ValueError, LookupError, TypeError, OverflowError, MemoryError):
        return _vertices(path, head[:65536].decode("latin1"), data)


def _vertices(path: Path, head: str, data: bytes) -> Array:
    layout, count, fields, elements = "", 0, [], 0
    for words in map(str.split, head.splitlines()):
        match words:
            case ["format", layout, *_]:
                pass
            case ["element", name, number]:
                elements += 1
                if elements == 1 and name != "vertex":
                    raise ValueError(f"{path}: its first element must be 'vertex'")
                count = int(number) if elements == 1 else count
            case ["property", kind, name] if elements == 1 and kind in _PLY_TYPES:
                fields.append((name, _PLY_TYPES[kind]))
            case ["property", *_] if elements == 1:
                raise ValueError(f"{path}: unknown vertex property {' '.join(words)!r}")
    if layout not in ("ascii", "binary_little_endian"):
        raise ValueError(f"{path}: must be an ASCII or binary little endian PLY, its format is {layout!r}")
    if count < 0 or not {"x", "y", "z"} <= {name for name, _ in fields}:
        raise ValueError(f"{path}: its vertices have no x, y, z")
    dtype, lines = np.dtype(fields), data.decode("latin1").splitlines()[:count] if layout == "ascii" else []
    if (len(lines) if layout == "ascii" else len(data) // dtype.itemsize) < count:
        raise ValueError(f"{path}: cut off, {count} vertices were announced")
    if layout == "ascii":
        vertices = np.array([tuple(map(float, line.split()[: len(fields)])) for line in lines], dtype)
    else:
        vertices = np.frombuffer(data, dtype, count)
    return np.stack([vertices[axis].astype(np.float64) for axis in "xyz"], axis=1)


def read_nyu40(path: Path | str) -> Mapping[str, int]:
    """``raw_category -> nyu40id`` of ``scannetv2-labels.combined.tsv``. ValueError: no such file or columns."""
    path = Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file, blaming(path, csv.Error, UnicodeDecodeError):
            rows = list(csv.DictReader(file, delimiter="\t"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; it comes with ScanNet") from None
    try:
        return {row["raw_category"]: int(row["nyu40id"]) for row in rows}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: needs the columns raw_category and nyu40id ({error!r})") from None


def scannet_export(path: Path | str, scans: Path | str | None = None) -> Iterator[Scene]:
    """The exported scan in ``path``, or every one right below it, by name.

    Args:
        scans: ScanNet's ``scans`` folder; None: no objects, raw world.

    Raises:
        ValueError: no exported scan, or a damaged one; names file, value and fix.
    """
    wanted = (
        "exported scan here or one level below (color/, pose/ and intrinsic/, or 00000.jpg with 00000.txt and "
        "intrinsic.txt); rft3d data extract makes the latter from .sens files"
    )
    for each in scans_at(Path(path), is_export, wanted):
        yield _scan(each, None if scans is None else Path(scans) / each.name)


def is_export(folder: Path) -> bool:
    """Whether ``folder`` looks like an exported scan."""
    return (folder / "intrinsic" / "intrinsic_color.txt").is_file() or (folder / "intrinsic.txt").is_file()


def export_files(folder: Path) -> list[tuple[int, Path, Path, Path]]:
    """``(number, picture, pose, depth)`` of each numbered picture; pose and depth may not exist."""
    if (folder / "color").is_dir():
        places = [(p, folder / "pose", folder / "depth") for p in (folder / "color").glob("*.jpg")]
    else:
        places = [(p, folder, folder) for p in folder.glob("*.jpg")]
    rows = [
        (int(p.stem), p, pose / f"{p.stem}.txt", depth / f"{p.stem}.png")
        for p, pose, depth in places
        if p.stem.isdecimal()
    ]
    return sorted(rows)


def _scan(folder: Path, annotations: Path | None) -> Scene:
    nested = folder / "intrinsic" / "intrinsic_color.txt"
    K = pinhole(read_matrix(nested if nested.is_file() else folder / "intrinsic.txt"))
    T_world_raw = np.eye(4)
    objects: tuple[SceneObject, ...] = ()
    if annotations is not None:
        T_world_raw = axis_alignment(annotations / f"{folder.name}.txt")
        objects = scan_objects(annotations)
    rows = export_files(folder)
    if not rows:
        raise ValueError(f"{folder}: no numbered .jpg pictures")
    width, height = picture_size(rows[0][1])
    frames = []
    for number, rgb, pose, depth in rows:
        T_raw_camera = read_matrix(pose)
        if not np.isfinite(T_raw_camera).all():
            continue
        frames.append(
            Frame(
                name=f"{number:05d}",
                intrinsics=K,
                T_world_camera=nearest_rigid(T_world_raw @ nearest_rigid(T_raw_camera)),
                width=width,
                height=height,
                rgb=rgb,
                depth=_depth(depth, (width, height)),
            )
        )
    if not frames:
        raise ValueError(f"{folder}: every pose is invalid; the scan's tracking failed")
    return validate_scene(Scene(folder.name, "scannet_export", tuple(frames), objects), file=folder)


def _depth(path: Path, size: tuple[int, int]) -> ImageSource:
    """A loader, where the depth picture has the size of the colour picture (in raw ScanNet it hasn't)."""
    if not path.is_file() or picture_size(path) != size:
        return None
    return partial(read_depth, path)
