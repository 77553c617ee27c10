"""mmdetection3d's infos (pickles): ScanNet's aligned boxes, and SUN RGB-D's pictures with boxes.

    [{"point_cloud": ..., "pts_path": "points/scene0191_00.bin",                                   before 1.1
      "annos": {"name": ["bed", ...], "gt_boxes_upright_depth": (N, 6 or 7), "axis_align_matrix": 4x4},
      "intrinsics": 4x4, "extrinsics": [4x4], "img_paths": [...],                                  ScanNet, if posed
      "image": {"image_path": "image/000001.jpg", "image_shape": [h, w]}, "calib": {"K", "Rt"}}]   SUN RGB-D
    {"metainfo": {"categories": {"bed": 1}}, "data_list": [{"lidar_points": {"lidar_path": "scene0191_00.bin"},
      "instances": [{"bbox_3d": 6 or 7 numbers, "bbox_label_3d": 1}],                              1.1 and later
      "images": {"CAM0": {"img_path": "000001.jpg", "height", "width", "depth2img": 3x3}}}]}

Source: github.com/open-mmlab/mmdetection3d, ``tools/dataset_converters/{scannet,sunrgbd}_data_utils.py`` and
``update_infos_to_v2.py``. A box is its centre, full sizes and, for SUN RGB-D, the heading: counter-clockwise about
z from x (before version 1.0 it had the other sign: such files are misread). The world is ScanNet's aligned one, or
SUN RGB-D's upright one (x right, y ahead, z up) with the camera at the origin. ScanNet's infos mostly have no
pictures: such scenes have no frames. Instances of no category are left out, as upstream ignores them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.files import blaming
from rft3d.scenes.readers.records import as_rigid, picture_size, pinhole
from rft3d.scenes.restricted_pickle import load_restricted
from rft3d.scenes.types import Frame, Scene, SceneObject, validate_scene
from rft3d.typed import Array, numbers

CAMERA_FROM_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def mmdet3d(infos: Path | str, media: Path | str | None = None) -> Iterator[Scene]:
    """The scenes of an infos pickle, in file order.

    Args:
        infos: ``{scannet,sunrgbd}_infos_{train,val}.pkl``.
        media: mmdetection3d's data folder (``data/sunrgbd``), where pictures are; None: the folder of ``infos``.

    Raises:
        UnsafePickleError: the file holds more than data.
        ValueError: naming file, record, field and value.
    """
    infos = Path(infos)
    root = Path(media) if media is not None else infos.parent
    found = load_restricted(infos)
    old = isinstance(found, list)
    with blaming(infos, ValueError, TypeError, LookupError, OverflowError, AttributeError):
        categories = {} if old else found["metainfo"]["categories"]
        names = {int(number): str(name) for name, number in categories.items()}
        for index, record in enumerate(found if old else found["data_list"]):
            where = f"{infos}.data_list[{index}]"
            scene = _old(record, root, where) if old else _new(record, names, root, where)
            yield validate_scene(scene, frames=False, file=infos)


def _old(record: dict[str, Any], root: Path, where: str) -> Scene:
    annos = record.get("annos") or {}
    labels = [str(name) for name in np.ravel(annos.get("name", []))]
    boxes = annos.get("gt_boxes_upright_depth", np.zeros((0, 6)))
    objects = tuple(
        SceneObject(k, label, _box(box, f"{where}.annos.gt_boxes_upright_depth[{k}]"))
        for k, (label, box) in enumerate(zip(labels, boxes, strict=True))
    )
    frames: list[Frame] = []
    if record.get("image") is not None:
        image, calib = record["image"], record["calib"]
        height, width = np.ravel(image["image_shape"]).tolist()
        K, Rt = (numbers(calib[name], f"{where}.calib.{name}", (3, 3)) for name in ("K", "Rt"))
        R = CAMERA_FROM_UPRIGHT @ Rt.T
        frames.append(_frame(_picture(root, image["image_path"]), K, R.T, int(width), int(height)))
    elif record.get("img_paths") is not None:
        align = numbers(annos.get("axis_align_matrix", np.eye(4)), f"{where}.annos.axis_align_matrix", (4, 4))
        K = pinhole(numbers(record["intrinsics"], f"{where}.intrinsics", (4, 4)))
        for name, pose in zip(record["img_paths"], record["extrinsics"], strict=True):
            T = as_rigid(align @ np.asarray(pose, dtype=np.float64))
            if np.isfinite(T).all():
                frames.append(Frame(Path(name).stem, K, T, *picture_size(root / name), root / name))
    return Scene(Path(record["pts_path"]).stem, "mmdet3d", tuple(frames), objects)


def _new(record: dict[str, Any], names: dict[int, str], root: Path, where: str) -> Scene:
    objects = []
    for k, item in enumerate(record.get("instances") or []):
        number = int(item["bbox_label_3d"])
        if number in names and number >= 0:
            box = _box(item["bbox_3d"], f"{where}.instances[{k}].bbox_3d")
            objects.append(SceneObject(len(objects), names[number], box))
    frames = ()
    if image := (record.get("images") or {}).get("CAM0"):
        K, R = _factors(numbers(image["depth2img"], f"{where}.images.CAM0.depth2img", (3, 3)))
        size = (int(image["width"]), int(image["height"]))
        frames = (_frame(_picture(root, image["img_path"]), K, R.T, *size),)
    return Scene(Path(record["lidar_points"]["lidar_path"]).stem, "mmdet3d", frames, tuple(objects))


def _box(value: Any, where: str) -> Array:
    box = numbers(value, where).ravel()
    if len(box) not in (6, 7) or not (box[3:6] > 0).all():
        raise ValueError(f"{where} is {box.tolist()}; it must be 6 or 7 numbers with positive sizes")
    return np.concatenate([box, np.zeros(9 - len(box))])


def _factors(depth2img: Array) -> tuple[Array, Array]:
    """Intrinsics and rotation (camera from upright) whose product is ``depth2img``: an RQ decomposition."""
    flip = np.eye(3)[::-1]
    Q, upper = np.linalg.qr((flip @ depth2img).T)
    K, R = flip @ upper.T @ flip, flip @ Q.T
    signs = np.sign(np.diag(K))
    K, R = K * signs, signs[:, None] * R
    return K / K[2, 2], R


def _frame(path: Path, K: Array, R_world_camera: Array, width: int, height: int) -> Frame:
    T = np.eye(4)
    T[:3, :3] = R_world_camera
    return Frame(path.stem, pinhole(K), as_rigid(T), width, height, path)


def _picture(root: Path, name: str) -> Path:
    """Where upstream's folders have a picture; the first place when it is nowhere."""
    places = [root / name, root / "sunrgbd_trainval" / name, root / "sunrgbd_trainval" / "image" / name]
    return next((place for place in places if place.is_file()), places[-1 if "/" not in name else 1])
