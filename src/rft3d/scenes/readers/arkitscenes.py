"""ARKitScenes' 3DOD scans: boxes, low-resolution frames, intrinsics and the trajectory.

    <video>/<video>_3dod_annotation.json     {"data": [{"uid", "label", "segments": {"obbAligned":
                                             {"centroid": 3, "axesLengths": 3, "normalizedAxes": 9}}}]}
    <video>/<video>_frames/lowres_wide/<video>_<seconds>.png
    <video>/<video>_frames/lowres_wide_intrinsics/<video>_<seconds>.pincam     width height fx fy cx cy
    <video>/<video>_frames/lowres_depth/<video>_<seconds>.png                  16-bit millimetres
    <video>/<video>_frames/lowres_wide.traj       a line a pose: seconds, axis-angle (3), translation (3)

Source: github.com/apple/ARKitScenes, ``DATA.md``, ``threedod/README.md``,
``threedod/benchmark_scripts/utils`` (``box_utils.compute_box_3d``: the *rows* of ``normalizedAxes`` are the
box's axes; ``tenFpsDataLoader``: a trajectory row maps the world to the camera). Units are metres, z is up.
Not verified on released files: that all frames keep to these names (``obb`` is read where ``obbAligned`` is
missing; frames lie next to ``<video>_frames`` in the *raw* download, which is tried too). Pictures may lie
on their side, as the phone was held.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import invert_pose, pose_from
from rft3d.scenes.fields import Fields, read_fields
from rft3d.scenes.readers._files import nearest_place, read_matrix, scans_at
from rft3d.scenes.readers.vsi_bench import box_from_axes
from rft3d.scenes.types import Frame, Scene, SceneObject, validate_scene

NEAR_S = 0.005
"""A frame's pose is the trajectory's one at its own time; the file names have milliseconds."""


def arkitscenes(path: Path | str, *, every: int = 1) -> Iterator[Scene]:
    """The scan in folder ``path``, or every one right below it, by name.

    Frames without a pose within 5 ms are left out.

    Raises:
        ValueError: no scan there, or a damaged one; names file, field, value and fix.
    """
    wanted = "<video>_3dod_annotation.json here or one level below"
    for folder in scans_at(Path(path), lambda folder: _annotation(folder).is_file(), wanted):
        yield _scan(folder, every)


def arkit_objects(path: Path | str) -> tuple[SceneObject, ...]:
    """The boxes of one annotation file, ids in file order, labels with spaces."""
    objects = []
    for index, item in enumerate(read_fields(Path(path)).records("data")):
        segments = item.mapping("segments")
        name = "obbAligned" if segments.get("obbAligned") else "obb"
        box = Fields(item.file, f"{item.where}.segments.{name}", segments.get(name))
        objects.append(SceneObject(index, item.text("label").replace("_", " "), box_from_axes(box)))
    return tuple(objects)


def _annotation(folder: Path) -> Path:
    return folder / f"{folder.name}_3dod_annotation.json"


def _scan(folder: Path, every: int) -> Scene:
    frames_at = folder / f"{folder.name}_frames"
    frames_at = frames_at if frames_at.is_dir() else folder
    times, poses = read_trajectory(frames_at / "lowres_wide.traj")
    frames = []
    for rgb in sorted((frames_at / "lowres_wide").glob("*.png"))[::every]:
        seconds = _seconds(rgb)
        place = nearest_place(times, seconds)
        if abs(times[place] - seconds) > NEAR_S:
            continue
        K, (width, height) = _pincam(frames_at / "lowres_wide_intrinsics", rgb.stem)
        depth = frames_at / "lowres_depth" / rgb.name
        frames.append(
            Frame(
                name=rgb.stem,
                intrinsics=K,
                T_world_camera=poses[place],
                width=width,
                height=height,
                rgb=rgb,
                depth=depth if depth.is_file() else None,
            )
        )
    if not frames:
        raise ValueError(f"{frames_at}: no picture in lowres_wide/ has a pose in lowres_wide.traj")
    objects = arkit_objects(_annotation(folder))
    return validate_scene(Scene(folder.name, "arkitscenes", tuple(frames), objects), file=folder)


def read_trajectory(path: Path) -> tuple[list[float], NDArray[np.float64]]:
    """Seconds (ascending) and ``(N, 4, 4)`` ``T_world_camera`` of a ``.traj`` file."""
    from scipy.spatial.transform import Rotation

    table = read_matrix(path, (-1, 7))
    if not np.isfinite(table).all():
        raise ValueError(f"{path}: must hold 7 finite numbers a line; a pose with another one is no pose")
    table = table[np.argsort(table[:, 0], kind="stable")]
    T_camera_world = pose_from(Rotation.from_rotvec(table[:, 1:4]).as_matrix(), table[:, 4:7])
    return table[:, 0].tolist(), invert_pose(T_camera_world)


def _seconds(picture: Path) -> float:
    word = picture.stem.rpartition("_")[2]
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{picture}: its name must end with a time in seconds") from None


def _pincam(folder: Path, stem: str) -> tuple[NDArray[np.float64], tuple[int, int]]:
    path = folder / f"{stem}.pincam"
    if not path.is_file():  # time stamps of pictures and cameras may differ in the last digit
        video, _, seconds = stem.rpartition("_")
        near = [folder / f"{video}_{float(seconds) + step:.3f}.pincam" for step in (-0.001, 0.001)]
        path = next((each for each in near if each.is_file()), path)
    width, height, fx, fy, cx, cy = read_matrix(path, (1, 6))[0].tolist()
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), (int(width), int(height))
