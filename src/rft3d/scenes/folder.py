"""Our own scene folder: one ``scene.json`` beside plain PNG files.

    my_scene/
        scene.json            everything but pixels
        rgb/000.png           8-bit RGB
        depth/000.png         16-bit millimetres along the camera's z, 0 unknown (optional)
        instances/000.png     16-bit object id + 1, 0 none (optional)

``scene.json`` is written last and atomically: a folder that has one is complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.files import write_text
from rft3d.scenes.fields import Fields, read_fields
from rft3d.scenes.images import depth_to_millimetres, load_depth, load_instances, load_rgb, write_image
from rft3d.scenes.types import Expression, Frame, Scene, SceneObject, validate_scene
from rft3d.typed import is_number

FORMAT = "rft3d-scene"
VERSION = 1


def write_scene(scene: Scene, folder: Path | str) -> Path:
    """Write ``scene`` into ``folder`` (made if needed; pictures of equal names are replaced).

    Depth is rounded to millimetres. Returns the folder.

    Raises:
        ValueError: an unsound scene, a depth beyond 65.5 m or an object id beyond 65,534.
    """
    validate_scene(scene)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(item.id > 65534 for item in scene.objects):
        raise ValueError(f"scene {scene.id!r}: object ids must be below 65535 to fit 16 bits; renumber them")
    frames = [_write_frame(frame, folder) for frame in scene.frames]
    data = {
        "format": FORMAT,
        "version": VERSION,
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


def read_scene(folder: Path | str) -> Scene:
    """The scene of a folder; pictures are loaded when they are used.

    Raises:
        ValueError: naming file, field, value and fix.
    """
    fields = read_fields(Path(folder) / "scene.json")
    if fields.text("format") != FORMAT:
        raise fields.error("format", fields.data["format"], repr(FORMAT))
    if fields.integer("version") != VERSION:
        raise fields.error(
            "version", fields.data["version"], f"{VERSION} (the only version that this program reads)"
        )
    objects = tuple(_object(record) for record in fields.records("objects"))
    expressions = tuple(
        Expression(
            record.text("text"),
            record.integer("target"),
            record.integer("best_frame") if record.has("best_frame") else None,
        )
        for record in fields.records("expressions")
    )
    scene = Scene(
        id=fields.text("id"),
        source=fields.text("source"),
        frames=tuple(_frame(record) for record in fields.records("frames")),
        objects=objects,
        expressions=expressions,
        floor_polygon=fields.array("floor_polygon", (-1, 2)) if fields.has("floor_polygon") else None,
    )
    return validate_scene(scene, file=fields.file)


def _object(record: Fields) -> SceneObject:
    attributes = record.mapping("attributes") if record.has("attributes") else {}
    if not all(isinstance(value, str) for value in attributes.values()):
        raise record.error("attributes", attributes, "an object of strings")
    return SceneObject(
        record.integer("id"), record.text("label"), record.array("box", (9,)), dict(attributes)
    )


def _frame(record: Fields) -> Frame:
    visible: dict[int, float] = {}
    shares = record.mapping("visible") if record.has("visible") else {}
    for key, share in shares.items():
        if not (key.isdecimal() and len(key) < 16 and is_number(share)):
            raise record.error("visible", {key: share}, "an object of object id -> share")
        visible[int(key)] = float(share)
    return Frame(
        name=record.text("name"),
        intrinsics=record.array("intrinsics", (3, 3)),
        T_world_camera=record.array("T_world_camera", (4, 4)),
        width=record.integer("width", 1),
        height=record.integer("height", 1),
        rgb=record.path("rgb") if record.has("rgb") else None,
        depth=record.path("depth") if record.has("depth") else None,
        instances=record.path("instances") if record.has("instances") else None,
        visible=visible,
    )
