"""Rigid transforms, and pinhole projection in the OpenCV camera frame (x right, y down, z forward).

Transforms are 4x4 matrices, named for what they map: ``p_world = T_world_camera @ p_camera``.

Pixel coordinates are continuous: the picture spans [0, width] x [0, height] and the centre of the pixel in
column j, row i is (j + 0.5, i + 0.5). K is ``[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`` in the same pixels.
"""

import numpy as np
from numpy.typing import ArrayLike

from rft3d.geometry.rotations import Array, exact_shape, trailing_shape


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

    Examples:
        >>> invert_pose(pose_from(np.eye(3), [0, 0, 1]))[2, 3]
        np.float64(-1.0)
    """
    pose = trailing_shape("pose", pose, (4, 4))
    rotation_inverse = np.swapaxes(pose[..., :3, :3], -1, -2)
    translation = -(rotation_inverse @ pose[..., :3, 3:])[..., 0]
    return pose_from(rotation_inverse, translation)


def transform_points(pose: ArrayLike, points: ArrayLike) -> Array:
    """``(4, 4)`` transform of ``(..., 3)`` points: ``points_a = transform_points(T_a_b, points_b)``.

    Examples:
        >>> transform_points(pose_from(np.eye(3), [0, 0, 1]), [[1, 2, 3]])
        array([[1., 2., 4.]])
    """
    pose = exact_shape("pose", pose, (4, 4))
    points = trailing_shape("points", points, (3,))
    return points @ pose[:3, :3].T + pose[:3, 3]


def _focal_and_centre(K: ArrayLike) -> tuple[float, float, float, float]:
    k = exact_shape("K", K, (3, 3))
    if not (k[0, 0] > 0 and k[1, 1] > 0):
        raise ValueError(f"K needs positive focal lengths in pixels, got fx={k[0, 0]}, fy={k[1, 1]}")
    return float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])


def project(points_camera: ArrayLike, K: ArrayLike) -> tuple[Array, Array]:
    """``(..., 3)`` camera points in metres -> ``uv`` ``(..., 2)`` pixels and depth ``z`` ``(...)`` in metres.

    Points with z <= 0 have no image: their uv is NaN. Skew is not supported.
    """
    points = trailing_shape("points_camera", points_camera, (3,))
    fx, fy, cx, cy = _focal_and_centre(K)
    z = points[..., 2]
    z_in_front = np.where(z > 0, z, np.nan)
    uv = np.stack([fx * points[..., 0] / z_in_front + cx, fy * points[..., 1] / z_in_front + cy], axis=-1)
    return uv, z


def camera_rays(K: ArrayLike, width: int, height: int) -> Array:
    """Camera-frame directions through the pixel centres, scaled to z = 1: ``(height, width, 3)``."""
    fx, fy, cx, cy = _focal_and_centre(K)
    rays = np.ones((height, width, 3))
    rays[..., 0] = (np.arange(width) + 0.5 - cx) / fx
    rays[..., 1] = ((np.arange(height) + 0.5 - cy) / fy)[:, None]
    return rays


def backproject(depth: ArrayLike, K: ArrayLike) -> Array:
    """``(H, W)`` depth along z in metres -> ``(H, W, 3)`` camera points of the pixel centres.

    A pixel of unknown depth (0) gives the camera centre (0, 0, 0): mask with ``depth > 0``.
    """
    depth = np.asarray(depth, dtype=np.float64)
    if depth.ndim != 2:
        raise ValueError(f"depth must have shape (H, W), got {depth.shape}")
    return camera_rays(K, depth.shape[1], depth.shape[0]) * depth[..., None]
