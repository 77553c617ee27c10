"""Reader of posed RGB-D clips: a hand-held walk with intrinsics, a pose per frame and a few labelled boxes.

    clip/
        scene.json   the fields of the records below
        rgb/*.jpg    all of ``image_size``, width and height
        depth/*.png  16 bit; value / depth_scale = metres along the camera's z, 0 unknown

Boxes are in the scene frame (metric, z up), ``camera_to_scene`` is that of an OpenCV camera, a description's
``target`` a box's id and its ``best_frame`` a frame's index.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

from rft3d.files import excerpt
from rft3d.scenes.folder import file_below
from rft3d.scenes.images import read_depth
from rft3d.scenes.readers._files import nearest_rigid
from rft3d.scenes.types import Expression, Frame, Scene, SceneObject, validate_scene
from rft3d.settings import Checked, Positive
from rft3d.typed import Array, Box9, Matrix3, Matrix4, Numbers, Text, typed_file


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
class _Frame:
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
    frames: tuple[_Frame, ...]
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
        depth = frame.depth and file_below(frame.depth, file, f"frames[{k}].depth")
        made = Frame(
            name=f"{frame.index:03d}",
            intrinsics=data.intrinsics,
            T_world_camera=nearest_rigid(frame.camera_to_scene),
            width=width,
            height=height,
            rgb=file_below(frame.rgb, file, f"frames[{k}].rgb"),
            depth=partial(read_depth, depth, data.depth_scale or 1000.0) if depth else None,
            visible={seen.box: seen.in_view_fraction for seen in frame.visible or ()},
        )
        frames.append(made)
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
