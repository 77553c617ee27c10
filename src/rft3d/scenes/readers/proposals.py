"""Detected boxes of ScanNet's validation scans, with which ScanRefer is refined.

    {"scannet/scene0011_00": [[x, y, z, dx, dy, dz], ...], ...}

Mask3D's detections as ``metadata/scannet_val_pred_box.json`` of Video-3D-LLM's data: centre and full size, in
the axis-aligned world. Whether upstream keeps all of them or the first 50 of a scan could not be verified; all
are kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rft3d.scenes.fields import read_fields


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
