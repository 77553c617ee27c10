"""EmbodiedScan infos (pickles) with ScanNet's posed pictures.

    {"metainfo": {"categories": {"chair": 7, ...}},
     "data_list": [{"sample_idx": "scannet/scene0000_00",
                    "axis_align_matrix": 4x4, "cam2img": 4x4,
                    "images": [{"img_path": "scannet/posed_images/scene0000_00/00000.jpg", "cam2global": 4x4,
                                "visible_instance_ids": [0, 4], "depth_path": "...png"}],
                    "instances": [{"bbox_3d": 9 numbers, "bbox_label_3d": 7, "bbox_id": 0}]}]}

Source: github.com/OpenRobotLab/EmbodiedScan, ``embodiedscan/explorer.py`` and
``datasets/embodiedscan_dataset.py``. ``cam2global`` maps the camera to ScanNet's raw world,
``axis_align_matrix`` that to the aligned world, in which the boxes are (intrinsic ZXY). Pictures are every
10th raw frame, five digits. ``visible_instance_ids`` are places in ``instances``. 3RScan and Matterport3D
entries (other ``sample_idx``) have ``cam2img`` per image. Not verified on the released files, which need a
form: the names of the depth fields. As in upstream's own reader, ``categories`` may be a list of names, and a
missing ``axis_align_matrix`` is the identity.

An instance without a box (a size of 0, a number that is not finite, an unknown label) or an image without a pose is
left out and counted; a file of which more than ``most_left_out`` is left out is refused.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.fields import Fields
from rft3d.scenes.readers._files import nearest_rigid, picture_size, pinhole
from rft3d.scenes.restricted_pickle import load_restricted
from rft3d.scenes.types import Frame, Scene, SceneObject, validate_scene


def embodiedscan(
    infos: Path | str,
    media: Path | str | None = None,
    *,
    scenes: Collection[str] | None = None,
    image_size: tuple[int, int] | None = None,
    most_left_out: float = 0.1,
    left_out: Counter[str] | None = None,
) -> Iterator[Scene]:
    """Scenes of an infos pickle, in file order; the world is the axis-aligned one.

    ``Frame.visible`` is 1.0 for the objects that the file calls visible, in its order: it knows no shares.
    Object ids are places in ``instances``.

    Args:
        infos: ``embodiedscan_infos_{train,val}.pkl``.
        media: folder that ``img_path`` starts in; None: the folder of ``infos``.
        scenes: only these scan ids.
        image_size: ``(width, height)`` of the pictures; None: read from each scene's first picture.
        most_left_out: the largest share of instances, or of images, that may be left out of a whole file.
        left_out: is told what was left out and how often.

    Raises:
        UnsafePickleError: the file holds more than data.
        ValueError: naming file, record, field, value and fix.
    """
    infos = Path(infos)
    root = Path(media) if media is not None else infos.parent
    counted = _Counted(Counter() if left_out is None else left_out)
    for record, names in info_records(infos):
        kind, _, scan = record.text("sample_idx").partition("/")
        if kind != "scannet" or (scenes is not None and scan not in scenes):
            continue
        scene = _scene(record, scan.replace("/", "_"), names, root, image_size, counted)
        if scene is not None:
            yield scene
    counted.refuse_above(most_left_out, infos)


def info_records(infos: Path) -> Iterator[tuple[Fields, dict[int, str]]]:
    """Each entry of ``data_list``, not read further, and the names of the categories by their number."""
    top = Fields(infos, "", load_restricted(infos))
    metainfo = Fields(infos, "metainfo", top.mapping("metainfo"))
    listed = metainfo.get("categories", "names and their numbers, or a list of names")
    if isinstance(listed, list):
        names = {number: str(name) for number, name in enumerate(listed)}
    else:
        names = {int(number): str(name) for name, number in metainfo.mapping("categories").items()}
    for record in top.records("data_list"):
        yield record, names


def image_paths(record: Fields) -> list[str]:
    """``img_path`` of every image of an entry, as the file has them."""
    return [image.text("img_path") for image in record.records("images")]


class _Counted:
    """Instances and images seen and left out of a file."""

    def __init__(self, left_out: Counter[str]) -> None:
        self.left_out = left_out
        self.seen: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def leave_out(self, kind: str, problem: ValueError) -> None:
        """One instance or image less."""
        self.gone[kind] += 1
        self.left_out[f"{kind} that cannot be read"] += 1
        self.first.setdefault(kind, str(problem))

    def refuse_above(self, share: float, infos: Path) -> None:
        """ValueError when too large a part of a kind was left out."""
        for kind, gone in self.gone.items():
            if gone > share * self.seen[kind]:
                raise ValueError(
                    f"{infos}: {gone} of {self.seen[kind]} {kind}s cannot be read, more than most_left_out="
                    f"{share:g}; the first: {self.first[kind]}"
                )


def _scene(
    record: Fields,
    scan: str,
    names: dict[int, str],
    root: Path,
    image_size: tuple[int, int] | None,
    counted: _Counted,
) -> Scene | None:
    aligned = record.has("axis_align_matrix")
    T_world_raw = record.array("axis_align_matrix", (4, 4)) if aligned else np.eye(4)
    objects = []
    for k, item in enumerate(record.records("instances")):
        counted.seen["instance"] += 1
        try:
            objects.append(SceneObject(k, _label(item, names), _box(item)))
        except ValueError as problem:
            counted.leave_out("instance", problem)
    known = {thing.id for thing in objects}
    images = record.records("images")
    if not images:
        raise record.error("images", [], "a non-empty list")
    shared = record.array("cam2img", (4, 4)) if record.has("cam2img") else None
    frames = []
    places = len(record.records("instances"))
    for image in images:
        counted.seen["image"] += 1
        try:
            K = shared if shared is not None else image.array("cam2img", (4, 4))
            pose = nearest_rigid(T_world_raw @ image.array("cam2global", (4, 4)))
        except ValueError as problem:
            counted.leave_out("image", problem)
            continue
        rgb = root / image.text("img_path")
        if image_size is None:
            image_size = picture_size(rgb)
        listed = image.get("visible_instance_ids", "a list of places in instances")
        seen = (_whole(image, "visible_instance_ids", k) for k in listed)
        frames.append(
            Frame(
                name=rgb.stem,
                intrinsics=pinhole(K),
                T_world_camera=pose,
                width=image_size[0],
                height=image_size[1],
                rgb=rgb,
                visible={k: 1.0 for k in seen if k in known or not 0 <= k < places},
            )
        )
    if not frames:
        return None
    return validate_scene(Scene(scan, "embodiedscan", tuple(frames), tuple(objects)), file=record.file)


def _box(item: Fields) -> NDArray[np.float64]:
    box = item.array("bbox_3d", (9,))
    if not (box[3:6] > 0).all():
        raise item.error("bbox_3d", box.tolist(), "positive sizes")
    return box


def _label(item: Fields, names: dict[int, str]) -> str:
    number = _whole(item, "bbox_label_3d", item.get("bbox_label_3d", "a category's number"))
    if number not in names:
        raise item.error("bbox_label_3d", number, f"a number of metainfo.categories ({len(names)} are known)")
    return names[number]


def _whole(record: Fields, field: str, value: Any) -> int:
    try:
        return operator.index(value)  # numpy's whole numbers too
    except TypeError:
        raise record.error(field, value, "whole numbers") from None


def unaligned(T_world_raw: NDArray[np.float64]) -> bool:
    """Whether an ``axis_align_matrix`` aligns nothing (it is the identity)."""
    return bool(np.abs(T_world_raw - np.eye(4)).max() <= 1e-9)
