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

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.files import blaming
from rft3d.scenes.fields import Fields
from rft3d.scenes.readers._files import nearest_rigid, picture_size, pinhole
from rft3d.scenes.restricted_pickle import load_restricted
from rft3d.scenes.types import Frame, Scene, SceneObject, validate_scene

Array = NDArray[np.float64]
CAMERA_FROM_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def mmdet3d(infos: Path | str, media: Path | str | None = None) -> Iterator[Scene]:
    """The scenes of an infos pickle, in file order.

    Args:
        infos: ``{scannet,sunrgbd}_infos_{train,val}.pkl``.
        media: mmdetection3d's data folder (``data/sunrgbd``), where pictures are; None: the folder of ``infos``.

    Raises:
        UnsafePickleError: the file holds more than data.
        ValueError: naming file, record, field, value and fix.
    """
    infos = Path(infos)
    root = Path(media) if media is not None else infos.parent
    found = load_restricted(infos)
    if isinstance(found, list):
        rows, names = Fields(infos, "", {"data_list": found}), {}
    else:
        rows = Fields(infos, "", found)
        categories = Fields(infos, "metainfo", rows.mapping("metainfo")).mapping("categories")
        with blaming(infos, ValueError, TypeError, OverflowError):
            names = {int(number): str(name) for name, number in categories.items()}
    for record in rows.records("data_list"):
        with blaming(infos, ValueError, TypeError, LookupError, OverflowError, AttributeError):
            scene = _new(record, names, root) if isinstance(found, dict) else _old(record, root)
        yield validate_scene(scene, frames=False, file=infos)


def _old(record: Fields, root: Path) -> Scene:
    annos = Fields(record.file, f"{record.where}.annos", record.data.get("annos") or {})
    labels = [str(name) for name in np.ravel(annos.data.get("name", []))]
    boxes = annos.data.get("gt_boxes_upright_depth", np.zeros((0, 6)))
    objects = tuple(
        SceneObject(k, label, _box(annos, "gt_boxes_upright_depth", box))
        for k, (label, box) in enumerate(zip(labels, boxes, strict=True))
    )
    frames: list[Frame] = []
    if record.has("image"):
        image, calib = (Fields(record.file, key, record.mapping(key)) for key in ("image", "calib"))
        height, width = np.ravel(image.get("image_shape", "height and width")).tolist()
        path = _picture(root, image.text("image_path"))
        R = CAMERA_FROM_UPRIGHT @ calib.array("Rt", (3, 3)).T
        frames.append(_frame(path, calib.array("K", (3, 3)), R.T, int(width), int(height)))
    elif record.has("img_paths"):
        aligned = annos.array("axis_align_matrix", (4, 4)) if annos.has("axis_align_matrix") else np.eye(4)
        K = pinhole(record.array("intrinsics", (4, 4)))
        poses = record.get("extrinsics", "a pose for each picture")
        for name, pose in zip(record.get("img_paths", "paths"), poses, strict=True):
            T = nearest_rigid(aligned @ np.asarray(pose, dtype=np.float64))
            if np.isfinite(T).all():
                frames.append(Frame(Path(name).stem, K, T, *picture_size(root / name), root / name))
    return Scene(Path(record.text("pts_path")).stem, "mmdet3d", tuple(frames), objects)


def _new(record: Fields, names: dict[int, str], root: Path) -> Scene:
    objects = []
    for item in record.records("instances") if record.has("instances") else []:
        number = int(item.get("bbox_label_3d", "a category's number"))
        if number in names and number >= 0:
            box = _box(item, "bbox_3d", item.get("bbox_3d", "6 or 7 numbers"))
            objects.append(SceneObject(len(objects), names[number], box))
    frames = ()
    if record.has("images") and "CAM0" in record.mapping("images"):
        image = Fields(record.file, f"{record.where}.images.CAM0", record.mapping("images")["CAM0"])
        K, R = _factors(image.array("depth2img", (3, 3)))
        size = (int(image.get("width", "pixels")), int(image.get("height", "pixels")))
        frames = (_frame(_picture(root, image.text("img_path")), K, R.T, *size),)
    points = Fields(record.file, f"{record.where}.lidar_points", record.mapping("lidar_points"))
    return Scene(Path(points.text("lidar_path")).stem, "mmdet3d", frames, tuple(objects))


def _box(record: Fields, field: str, value: Any) -> Array:
    numbers = np.ravel(np.asarray(value, dtype=np.float64))
    if len(numbers) not in (6, 7) or not np.isfinite(numbers).all() or not (numbers[3:6] > 0).all():
        raise record.error(field, numbers.tolist(), "6 or 7 finite numbers with positive sizes")
    return np.concatenate([numbers, np.zeros(9 - len(numbers))])


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
    return Frame(path.stem, pinhole(K), nearest_rigid(T), width, height, path)


def _picture(root: Path, name: str) -> Path:
    """Where upstream's folders have a picture; the first place when it is nowhere."""
    places = [root / name, root / "sunrgbd_trainval" / name, root / "sunrgbd_trainval" / "image" / name]
    return next((place for place in places if place.is_file()), places[-1 if "/" not in name else 1])
