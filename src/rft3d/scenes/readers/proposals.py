"""Detected boxes of ScanNet's validation scans, with which ScanRefer is refined and Scan2Cap is asked.

    {"scannet/scene0011_00": [[x, y, z, dx, dy, dz], ...], ...}

Mask3D's detections as ``metadata/scannet_val_pred_box.json`` of Video-3D-LLM's data: centre and full size, in
the axis-aligned world. Whether upstream keeps all of them or the first 50 of a scan could not be verified; all
are kept.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_proposals(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """Scene id (without ``scannet/``) -> ``(N, 9)`` axis-aligned proposals in the aligned world.

    Raises:
        ValueError: naming file, scene and value of anything that is not a list of six finite numbers.
    """
    with Path(path).open(encoding="utf-8") as file:
        try:
            data = json.load(file)
        except ValueError as error:  # also bytes that are no UTF-8
            raise ValueError(f"{path}: not JSON ({error}); give scannet_val_pred_box.json") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: must be an object scene -> list of boxes, got {type(data).__name__}")
    found = {}
    for scene, rows in data.items():
        for row in rows if isinstance(rows, list) else [rows]:
            if not isinstance(row, list) or len(row) < 6 or not all(_finite(value) for value in row[:6]):
                raise ValueError(f"{path}: {scene}: {row!r} is not [x, y, z, dx, dy, dz] in metres")
        boxes = np.zeros((len(rows), 9))
        if rows:
            boxes[:, :6] = [row[:6] for row in rows]
        found[scene.split("/")[-1]] = boxes
    return found


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
