"""Scenes on disk, one ``scene.json`` beside plain pictures: our own scene folders, and posed clips.

    my_scene/
        scene.json            everything but pixels
        rgb/000.png           8-bit RGB
        depth/000.png         16-bit millimetres along the camera's z, 0 unknown (optional)
        instances/000.png     16-bit object id + 1, 0 none (optional)

``scene.json`` is written last and atomically: a folder that has one is complete. A posed clip is a hand-held RGB-D
walk with intrinsics, a pose per frame and a few labelled boxes:

    clip/
        scene.json   the fields of the records below
        rgb/*.jpg    all of ``image_size``, width and height
        depth/*.png  16 bit; value / depth_scale = metres along the camera's z, 0 unknown

Its boxes are in the scene frame (metric, z up), ``camera_to_scene`` is that of an OpenCV camera, a description's
``target`` a box's id and its ``best_frame`` a frame's index.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from rft3d.files import excerpt, write_text
from rft3d.scenes.images import MILLIMETRES, load_depth, load_instances, load_rgb, read_depth, write_image
from rft3d.scenes.readers.records import as_rigid
from rft3d.scenes.types import Expression, Frame, Scene, SceneObject, validate_scene
from rft3d.settings import Checked, Positive
from rft3d.typed import Array, Box9, Matrix3, Matrix4, Numbers, Text, typed_file

DEPTH_LIMIT_M = 65.535
"""The farthest depth that fits a 16-bit millimetre file."""
DATA_ROOT = "RFT3D_DATA_ROOT"
"""Environment variable: the folder within which links are followed out of a scene's own."""
_PIXELS: dict[str, Callable[[Frame], NDArray[np.generic]]] = {
    "rgb": load_rgb,
    "depth": lambda frame: _millimetres(load_depth(frame)),
    "instances": lambda frame: load_instances(frame).astype(np.uint16),
}


@dataclass(frozen=True, kw_only=True)
class _Frame:
    name: Text
    width: int
    height: int
    rgb: Text | None = None
    depth: Text | None = None
    instances: Text | None = None
    intrinsics: Matrix3
    T_world_camera: Matrix4
    visible: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    format: Literal["rft3d-scene"]
    version: Literal[1]
    id: Text
    source: Text
    frames: tuple[_Frame, ...]
    objects: tuple[SceneObject, ...]
    expressions: tuple[Expression, ...]
    floor_polygon: Annotated[Array, Numbers((-1, 2))] | None = None


def write_scene(scene: Scene, folder: Path | str) -> Path:
    """Write ``scene`` into ``folder`` (made if needed; pictures of equal names are replaced).

    Depth is rounded to millimetres. Returns the folder. ValueError: an unsound scene, a depth beyond 65.5 m or
    an object id beyond 65,534.
    """
    validate_scene(scene)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(item.id > 65534 for item in scene.objects):
        raise ValueError(f"scene {scene.id!r}: object ids must be below 65535 to fit 16 bits; renumber them")
    frames = tuple(_written(frame, folder) for frame in scene.frames)
    rest = (scene.objects, scene.expressions, scene.floor_polygon)
    data = asdict(_File("rft3d-scene", 1, scene.id, scene.source, frames, *rest))
    write_text(folder / "scene.json", json.dumps(data, indent=1, default=np.ndarray.tolist) + "\n")
    return folder


def _written(frame: Frame, folder: Path) -> _Frame:
    pictures: dict[str, str] = {}
    for kind, pixels in _PIXELS.items():
        if getattr(frame, kind) is not None:
            pictures[kind] = f"{kind}/{frame.name}.png"
            write_image(folder / pictures[kind], pixels(frame))
    return _Frame(**{**vars(frame), **pictures})


def _millimetres(depth_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Rounded millimetres; unknown (0, negative, not finite) becomes 0.

    ValueError: a depth beyond :data:`DEPTH_LIMIT_M`.
    """
    known = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, 0.0)
    if known.max(initial=0.0) > DEPTH_LIMIT_M:
        raise ValueError(f"a depth of {known.max():.2f} m does not fit 16 bits; clip it at {DEPTH_LIMIT_M} m")
    return np.round(known * MILLIMETRES).astype(np.uint16)


def read_scene(folder: Path | str) -> Scene:
    """The scene of a folder; pictures are loaded when they are used.

    ValueError: naming file, field, value and fix.
    """
    file = Path(folder) / "scene.json"
    data = typed_file(_File, file)
    frames = []
    for index, frame in enumerate(data.frames):
        pictures = {
            kind: file_below(name, file, f"frames[{index}].{kind}")
            for kind in _PIXELS
            if (name := getattr(frame, kind)) is not None
        }
        frames.append(Frame(**{**vars(frame), **pictures}))
    rest = (data.objects, data.expressions, data.floor_polygon)
    return validate_scene(Scene(data.id, data.source, tuple(frames), *rest), file=file)


def file_below(name: str, file: Path, field: str) -> Path:
    """The existing file ``name``, relative to the folder of ``file``: inside it, or below :data:`DATA_ROOT`.

    ValueError: naming ``file`` and ``field``: there is none, or it is elsewhere.
    """
    roots = [file.parent.resolve()]
    if given := os.environ.get(DATA_ROOT):
        roots.append(Path(given).resolve())
    where = f"{file}.{field} is {excerpt(name)}; it must be"
    try:
        path = (roots[0] / name).resolve()
        there = path.is_file()
    except (OSError, ValueError):  # longer than names can be, or with a zero byte
        raise ValueError(f"{where} the path of a file") from None
    if not any(path.is_relative_to(root) for root in roots):
        inside = f"a path inside the scene's folder, or below the folder that {DATA_ROOT} names"
        raise ValueError(f"{where} {inside}")
    if not there:
        raise ValueError(f"{where} an existing file relative to the scene's folder")
    return path


@dataclass(frozen=True)
class _Box:
    id: int
    label: Text
    bbox_9dof: Box9


@dataclass(frozen=True)
class _Seen:
    box: int
    in_view_fraction: float


@dataclass(frozen=True)
class _ClipFrame:
    index: int
    rgb: Text
    camera_to_scene: Matrix4
    depth: Text | None = None
    visible: tuple[_Seen, ...] | None = None


@dataclass(frozen=True)
class _Clip(Checked):
    scene_id: Text
    intrinsics: Matrix3
    image_size: Annotated[Array, Numbers((2,))]
    frames: tuple[_ClipFrame, ...]
    depth_scale: Positive | None = None
    boxes: tuple[_Box, ...] | None = None
    expressions: tuple[Expression, ...] | None = None


def read_posed_clip(path: Path | str) -> Scene:
    """The clip in folder ``path``; pictures are loaded when they are used.

    Boxes and expressions may be missing (a clip without labels). ``Frame.visible`` holds the clip's
    ``in_view_fraction``: the share of the box inside the picture, occlusion not counted. ValueError: naming
    file, field, value and fix.
    """
    file = Path(path) / "scene.json"
    data = typed_file(_Clip, file)
    width, height = (int(n) for n in data.image_size)
    frames = []
    for k, frame in enumerate(data.frames):
        rgb = file_below(frame.rgb, file, f"frames[{k}].rgb")
        depth = frame.depth and file_below(frame.depth, file, f"frames[{k}].depth")
        loader = partial(read_depth, depth, data.depth_scale or MILLIMETRES) if depth else None
        visible = {seen.box: seen.in_view_fraction for seen in frame.visible or ()}
        camera = (data.intrinsics, as_rigid(frame.camera_to_scene), width, height)
        frames.append(Frame(f"{frame.index:03d}", *camera, rgb, loader, visible=visible))
    objects = tuple(SceneObject(box.id, box.label, box.bbox_9dof) for box in data.boxes or ())
    order = {frame.index: k for k, frame in enumerate(data.frames)}
    expressions = []
    for each in data.expressions or ():
        if each.best_frame is not None and each.best_frame not in order:
            said = f"{file}: best_frame must be the index of one of the frames"
            raise ValueError(f"{said}, got {each.best_frame} for {excerpt(each.text)}")
        place = None if each.best_frame is None else order[each.best_frame]
        expressions.append(replace(each, best_frame=place))
    scene = Scene(data.scene_id, "posed_clip", tuple(frames), objects, tuple(expressions))
    return validate_scene(scene, file=file)
