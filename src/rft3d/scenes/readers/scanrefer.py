"""ScanRefer descriptions.

Source: github.com/daveredrum/ScanRefer README ("Data format"). ``ScanRefer_filtered_val.json`` has 9,508
rows in 141 scans. Numbers are text in the released files; whole numbers are read too. Some rows of the
released files have descriptions with untidy spaces; they are kept as they are.

Detected boxes, with which the benchmark is refined: ``metadata/scannet_val_pred_box.json`` of Video-3D-LLM's data
(Mask3D; centre and full size in the axis-aligned world)::

    {"scannet/scene0011_00": [[x, y, z, dx, dy, dz], ...], ...}

Whether upstream keeps all of them or the first 50 of a scan could not be verified; all are kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.files import excerpt, read_json
from rft3d.scenes.readers._files import iter_records
from rft3d.scenes.readers.records import ReferringRow
from rft3d.typed import Text, numbers

NYU40_CLASSES = frozenset({*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39})
"""The 20 ids of ScanNet's benchmark; every other id counts as 39 (other furniture), M3DRef-CLIP's rule."""


@dataclass(frozen=True)
class _Row:
    scene_id: Text
    object_id: int | Text
    object_name: Text
    ann_id: int | Text
    description: Text


def scanrefer(path: Path | str) -> Iterator[ReferringRow]:
    """The descriptions of a ScanRefer file, in file order, one in memory at a time.

    ValueError: naming file, record, field, value and fix.
    """
    for where, row in iter_records(path, _Row):
        for name in ("object_id", "ann_id"):
            if not str(value := getattr(row, name)).isdecimal():
                raise ValueError(
                    f"{where}.{name} is {excerpt(value)}; it must be a whole number, as text or not"
                )
        label = row.object_name.replace("_", " ")
        text = row.description.strip()
        yield ReferringRow(row.scene_id, int(row.object_id), label, str(int(row.ann_id)), text)


def unique_objects(rows: Iterable[ReferringRow], nyu40: Mapping[str, int]) -> dict[tuple[str, int], bool]:
    """``(scene, object_id)`` -> whether the object is the only described one of its class in its scene.

    The class is the NYU40 id of the object's name, over :data:`NYU40_CLASSES`. Names that the table doesn't
    know count as class 39.
    """
    classes: dict[tuple[str, int], int] = {}
    for row in rows:
        number = nyu40.get(row.object_name, 39)
        classes[row.scene, row.object_id] = number if number in NYU40_CLASSES else 39
    counts = Counter((scene, number) for (scene, _), number in classes.items())
    return {key: counts[key[0], number] == 1 for key, number in classes.items()}


def read_proposals(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """Scene id (without ``scannet/``) -> ``(N, 9)`` axis-aligned proposals in the aligned world.

    ValueError: naming file, scene and value of anything that is not a list of six finite numbers.
    """
    found = {}
    for scene, listed in read_json(path, dict).items():
        where = f"{path}.{scene}"
        rows = np.zeros((0, 6)) if listed == [] else numbers(listed, where, (-1, -1))
        if rows.shape[1] < 6:
            raise ValueError(
                f"{where} is {excerpt(listed)}; it must be a list of [x, y, z, dx, dy, dz] in metres"
            )
        found[scene.split("/")[-1]] = np.pad(rows[:, :6], ((0, 0), (0, 3)))
    return found
