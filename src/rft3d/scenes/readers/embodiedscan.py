"""EmbodiedScan infos (pickles) with ScanNet's posed pictures.

    {"metainfo": {"categories": {"chair": 7, ...}},
     "data_list": [{"sample_idx": "scannet/scene0000_00", "images": [...], "instances": [...]}]}

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

import operator
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.files import blaming, excerpt
from rft3d.scenes.readers.records import as_rigid, picture_size, pinhole
from rft3d.scenes.restricted_pickle import load_restricted
from rft3d.scenes.types import Frame, Scene, SceneObject, validate_scene
from rft3d.typed import Box9, Matrix4, Text, numbers, typed


@dataclass(frozen=True)
class _Image:
    img_path: Text
    visible_instance_ids: Any
    cam2global: Any = None
    cam2img: Any = None


@dataclass(frozen=True)
class _Instance:
    bbox_3d: Box9
    bbox_label_3d: Any


@dataclass(frozen=True)
class InfoEntry:
    """An entry of ``data_list``; its instances are read by :func:`embodiedscan`."""

    sample_idx: Text
    images: tuple[_Image, ...]
    instances: tuple[Any, ...]
    axis_align_matrix: Matrix4 = field(default_factory=lambda: np.eye(4))
    cam2img: Matrix4 | None = None

    @property
    def scan(self) -> str | None:
        """The scan id; None: not one of ScanNet's."""
        dataset, _, scan = self.sample_idx.partition("/")
        return scan if dataset == "scannet" else None

    @property
    def is_aligned(self) -> bool:
        """Whether ``axis_align_matrix`` is there and not the identity."""
        return bool(np.abs(self.axis_align_matrix - np.eye(4)).max() > 1e-9)


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
    seen: Counter[str] = Counter()
    problems: dict[str, list[str]] = {"instance": [], "image": []}
    for where, entry, names in info_entries(infos):
        if entry.scan is None or (scenes is not None and entry.scan not in scenes):
            continue
        seen.update(instance=len(entry.instances), image=len(entry.images))
        scene = _scene(entry, where, names, root, image_size, problems)
        if scene is not None:
            yield validate_scene(scene, file=infos)
    for kind, found in problems.items():
        if found and left_out is not None:
            left_out[f"{kind} that cannot be read"] += len(found)
        if len(found) > most_left_out * seen[kind]:
            raise ValueError(
                f"{infos}: {len(found)} of {seen[kind]} {kind}s cannot be read, more than most_left_out="
                f"{most_left_out:g}; the first: {found[0]}"
            )


def info_entries(infos: Path) -> Iterator[tuple[str, InfoEntry, dict[int, str]]]:
    """Each entry of ``data_list`` after its place, and the names of the categories by their number."""
    found = load_restricted(infos)
    with blaming(infos, ValueError, TypeError, LookupError, OverflowError):
        listed, entries = found["metainfo"]["categories"], list(found["data_list"])
        numbered = {name: n for n, name in enumerate(listed)} if isinstance(listed, list) else dict(listed)
        names = {int(n): str(name) for name, n in numbered.items()}
    for index, data in enumerate(entries):
        where = f"{infos}.data_list[{index}]"
        yield where, typed(InfoEntry, data, where, extra=True), names


def _scene(
    entry: InfoEntry,
    where: str,
    names: dict[int, str],
    root: Path,
    image_size: tuple[int, int] | None,
    problems: dict[str, list[str]],
) -> Scene | None:
    objects, frames = [], []
    for k, item in enumerate(entry.instances):
        try:
            objects.append(_object(k, item, names, f"{where}.instances[{k}]"))
        except ValueError as problem:
            problems["instance"].append(str(problem))
    known, places = {thing.id for thing in objects}, len(entry.instances)
    if not entry.images:
        raise ValueError(f"{where}.images is empty; it must have some")
    for k, image in enumerate(entry.images):
        place = f"{where}.images[{k}]"
        try:
            K = entry.cam2img
            K = numbers(image.cam2img, f"{place}.cam2img", (4, 4)) if K is None else K
            pose = numbers(image.cam2global, f"{place}.cam2global", (4, 4))
        except ValueError as problem:
            problems["image"].append(str(problem))
            continue
        rgb = root / image.img_path
        image_size = image_size or picture_size(rgb)
        named = (_whole(n, f"{place}.visible_instance_ids") for n in image.visible_instance_ids)
        visible = {n: 1.0 for n in named if n in known or not 0 <= n < places}
        T = as_rigid(entry.axis_align_matrix @ pose)
        frames.append(Frame(rgb.stem, pinhole(K), T, *image_size, rgb, visible=visible))
    scan = (entry.scan or "").replace("/", "_")
    return Scene(scan, "embodiedscan", tuple(frames), tuple(objects)) if frames else None


def _object(place: int, item: Any, names: dict[int, str], where: str) -> SceneObject:
    item = typed(_Instance, item, where, extra=True)
    number = _whole(item.bbox_label_3d, f"{where}.bbox_label_3d")
    if number not in names:
        known = f"a number of metainfo.categories ({len(names)} are known)"
        raise ValueError(f"{where}.bbox_label_3d is {number}; it must be {known}")
    if not (item.bbox_3d[3:6] > 0).all():
        raise ValueError(f"{where}.bbox_3d is {item.bbox_3d.tolist()}; it must have positive sizes")
    return SceneObject(place, names[number], item.bbox_3d)


def _whole(value: Any, where: str) -> int:
    try:
        return operator.index(value)  # numpy's whole numbers too
    except TypeError:
        raise ValueError(f"{where} is {excerpt(value)}; it must be a whole number") from None
