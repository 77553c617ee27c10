"""What only tests ask of boxes and cameras."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rft3d.geometry import euler_zxy_from_matrix, matrix_from_euler_zxy, pose_from
from rft3d.geometry.boxes import _RELABELLINGS, _SOURCES

Array = NDArray[np.float64]


def box_reparametrisations(box: ArrayLike) -> Array:
    """The 24 ways ``(24, 9)`` to write the solid of one ``(9,)`` box; the first keeps the box's own axes."""
    box = np.asarray(box, dtype=np.float64)
    out = np.empty((24, 9))
    out[:, :3] = box[:3]
    out[:, 3:6] = box[3:6][_SOURCES]
    out[:, 6:9] = euler_zxy_from_matrix(matrix_from_euler_zxy(box[6:9]) @ _RELABELLINGS)
    return out


def look_at(eye: ArrayLike, target: ArrayLike) -> Array:
    """``T_world_camera`` of an OpenCV camera at ``eye`` that looks at ``target``; the world's z is up."""
    eye, target = np.asarray(eye, dtype=np.float64), np.asarray(target, dtype=np.float64)
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / np.linalg.norm(right)
    return pose_from(np.stack([right, np.cross(forward, right), forward], axis=-1), eye)
