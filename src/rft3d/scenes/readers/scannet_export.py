"""Exported ScanNet scans: pictures, poses and intrinsics as files, in either of the two usual layouts.

ScanNet's own exporter (``SensReader/python/reader.py``; frames are numbered from 0 without zeros)::

    <scan>/color/0.jpg   depth/0.png   pose/0.txt   intrinsic/intrinsic_color.txt

and EmbodiedScan's ``posed_images`` (``embodiedscan/converter/generate_image_scannet.py``; five digits)::

    <scan>/00000.jpg   00000.png   00000.txt   intrinsic.txt   depth_intrinsic.txt

A pose maps the colour camera to the raw world and holds -inf where tracking failed: such frames are left out.
With ``scans`` (the folder with ScanNet's annotations) the world is aligned and objects are read,
:mod:`rft3d.scenes.readers.scannet_labels`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from rft3d.scenes.images import read_depth
from rft3d.scenes.readers._files import nearest_rigid, picture_size, pinhole, read_matrix, scans_at
from rft3d.scenes.readers.scannet_labels import axis_alignment, scan_objects
from rft3d.scenes.types import Frame, ImageSource, Scene, SceneObject
from rft3d.scenes.validate import validate_scene


def scannet_export(path: Path | str, scans: Path | str | None = None, *, every: int = 1) -> Iterator[Scene]:
    """The exported scan in ``path``, or every one right below it, by name.

    Args:
        scans: ScanNet's ``scans`` folder; None: no objects, raw world.
        every: only frames whose number is a multiple of it.

    Raises:
        ValueError: no exported scan, or a damaged one; names file, value and fix.
    """
    wanted = (
        "exported scan here or one level below (color/, pose/ and intrinsic/, or 00000.jpg with 00000.txt and "
        "intrinsic.txt); rft3d data extract makes the latter from .sens files"
    )
    for each in scans_at(Path(path), is_export, wanted):
        yield _scan(each, None if scans is None else Path(scans) / each.name, every)


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


def _scan(folder: Path, annotations: Path | None, every: int) -> Scene:
    nested = folder / "intrinsic" / "intrinsic_color.txt"
    K = pinhole(read_matrix(nested if nested.is_file() else folder / "intrinsic.txt", (4, 4)))
    T_world_raw = np.eye(4)
    objects: tuple[SceneObject, ...] = ()
    if annotations is not None:
        T_world_raw = axis_alignment(annotations / f"{folder.name}.txt")
        objects = scan_objects(annotations)
    rows = [row for row in export_files(folder) if row[0] % every == 0]
    if not rows:
        raise ValueError(f"{folder}: no numbered .jpg pictures")
    width, height = picture_size(rows[0][1])
    frames = []
    for number, rgb, pose, depth in rows:
        T_raw_camera = read_matrix(pose, (4, 4))
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
