"""ScanRefer descriptions.

    [{"scene_id": "scene0000_00", "object_id": "39", "object_name": "coffee_table", "ann_id": "0",
      "description": "this is a brown table ...", "token": [...]}]

Source: github.com/daveredrum/ScanRefer README ("Data format"). ``ScanRefer_filtered_val.json`` has 9,508
rows in 141 scans. Numbers are text in the released files; whole numbers are read too. Some rows of the
released files have descriptions with untidy spaces; they are kept as they are.

Detected boxes, with which the benchmark is refined: ``metadata/scannet_val_pred_box.json`` of Video-3D-LLM's data
(Mask3D; centre and full size in the axis-aligned world)::

    {"scannet/scene0011_00": [[x, y, z, dx, dy, dz], ...], ...}

Whether upstream keeps all of them or the first 50 of a scan could not be verified; all are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.fields import Fields, read_fields
from rft3d.scenes.readers._files import iter_objects
from rft3d.scenes.readers.records import ReferringRow

NYU40_CLASSES = frozenset({*range(1, 13), 14, 16, 24, 28, 33, 34, 36, 39})
"""The 20 ids of ScanNet's benchmark; every other id counts as 39 (other furniture), M3DRef-CLIP's rule."""


def scanrefer(path: Path | str) -> Iterator[ReferringRow]:
    """The descriptions of a ScanRefer file, in file order, one in memory at a time.

    Raises:
        ValueError: naming file, record, field, value and fix.
    """
    for record in iter_objects(path):
        yield ReferringRow(
            scene=record.text("scene_id"),
            object_id=_number(record, "object_id"),
            object_name=record.text("object_name").replace("_", " "),
            ann_id=str(_number(record, "ann_id")),
            text=record.text("description").strip(),
        )


def _number(record: Fields, field: str) -> int:
    value = record.get(field, "a whole number >= 0, as text or not")
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return record.integer(field)


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

    Raises:
        ValueError: naming file, scene and value of anything that is not a list of six finite numbers.
    """
    fields = read_fields(Path(path))
    found = {}
    for scene, listed in fields.data.items():
        rows = np.zeros((0, 6)) if listed == [] else fields.array(scene, (-1, -1))
        if rows.shape[1] < 6:
            raise fields.error(scene, listed, "a list of [x, y, z, dx, dy, dz] in metres")
        found[scene.split("/")[-1]] = np.pad(rows[:, :6], ((0, 0), (0, 3)))
    return found
