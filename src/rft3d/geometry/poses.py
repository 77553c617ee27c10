"""Rigid transforms as 4x4 matrices, named for what they map: ``p_world = T_world_camera @ p_camera``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rft3d.geometry.rotations import trailing_shape

Array = NDArray[np.float64]


def pose_from(rotation: ArrayLike, translation: ArrayLike) -> Array:
    """``(..., 3, 3)`` rotation and ``(..., 3)`` translation in metres -> ``(..., 4, 4)`` transform."""
    rotation = trailing_shape("rotation", rotation, (3, 3))
    translation = trailing_shape("translation", translation, (3,))
    batch = np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    pose = np.zeros((*batch, 4, 4))
    pose[..., :3, :3] = rotation
    pose[..., :3, 3] = translation
    pose[..., 3, 3] = 1.0
    return pose


def invert_pose(pose: ArrayLike) -> Array:
    """Inverse of ``(..., 4, 4)`` rigid transforms: ``T_b_a = invert_pose(T_a_b)``.

    Uses the transpose of the rotation, so it is exact for rigid transforms only.
    """
    pose = trailing_shape("pose", pose, (4, 4))
    rotation_inverse = np.swapaxes(pose[..., :3, :3], -1, -2)
    translation = -(rotation_inverse @ pose[..., :3, 3:])[..., 0]
    return pose_from(rotation_inverse, translation)


def transform_points(pose: ArrayLike, points: ArrayLike) -> Array:
    """``(4, 4)`` transform of ``(..., 3)`` points: ``points_a = transform_points(T_a_b, points_b)``."""
    pose = np.asarray(pose, dtype=np.float64)
    if pose.shape != (4, 4):
        raise ValueError(f"pose must have shape (4, 4), got {pose.shape}")
    points = trailing_shape("points", points, (3,))
    return points @ pose[:3, :3].T + pose[:3, 3]
