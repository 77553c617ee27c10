"""Our own scene folder: one ``scene.json`` beside plain PNG files.

    my_scene/
        scene.json            everything but pixels
        rgb/000.png           8-bit RGB
        depth/000.png         16-bit millimetres along the camera's z, 0 unknown (optional)
        instances/000.png     16-bit object id + 1, 0 none (optional)

``scene.json`` is written last and atomically: a folder that has one is complete.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from rft3d.files import excerpt, write_text
from rft3d.scenes.images import depth_to_millimetres, load_depth, load_instances, load_rgb, write_image
from rft3d.scenes.types import Expression, Frame, Scene, SceneObject, validate_scene
from rft3d.typed import Array, Matrix3, Matrix4, Numbers, Text, typed_file

DATA_ROOT = "RFT3D_DATA_ROOT"
"""Environment variable: the folder within which links are followed out of a scene's own."""


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
    frames = [_write_frame(frame, folder) for frame in scene.frames]
    data = {
        "format": "rft3d-scene",
        "version": 1,
        "id": scene.id,
        "source": scene.source,
        "frames": frames,
        "objects": [
            {"id": o.id, "label": o.label, "box": np.asarray(o.box).tolist(), "attributes": o.attributes}
            for o in scene.objects
        ],
        "expressions": [
            {"text": e.text, "target": e.target, "best_frame": e.best_frame} for e in scene.expressions
        ],
        "floor_polygon": None if scene.floor_polygon is None else scene.floor_polygon.tolist(),
    }
    write_text(folder / "scene.json", json.dumps(data, indent=1) + "\n")
    return folder


_PIXELS: dict[str, Callable[[Frame], NDArray[np.generic]]] = {
    "rgb": load_rgb,
    "depth": lambda frame: depth_to_millimetres(load_depth(frame)),
    "instances": lambda frame: load_instances(frame).astype(np.uint16),
}


def _write_frame(frame: Frame, folder: Path) -> dict[str, object]:
    pictures: dict[str, str | None] = {}
    for kind, pixels in _PIXELS.items():
        there = getattr(frame, kind) is not None
        pictures[kind] = f"{kind}/{frame.name}.png" if there else None
        if there:
            write_image(folder / kind / f"{frame.name}.png", pixels(frame))
    return {
        "name": frame.name,
        "width": frame.width,
        "height": frame.height,
        **pictures,
        "intrinsics": np.asarray(frame.intrinsics).tolist(),
        "T_world_camera": np.asarray(frame.T_world_camera).tolist(),
        "visible": {str(k): share for k, share in frame.visible.items()},
    }


@dataclass(frozen=True)
class _Frame:
    name: Text
    intrinsics: Matrix3
    T_world_camera: Matrix4
    width: int
    height: int
    rgb: Text | None = None
    depth: Text | None = None
    instances: Text | None = None
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
