"""Rotations: intrinsic ZXY Euler angles <-> matrices <-> unit quaternions.

Convention of the whole project: ``angles = (yaw, roll, pitch)`` in radians and
``R = Rz(yaw) @ Rx(roll) @ Ry(pitch)`` (intrinsic ZXY, as EmbodiedScan and VG-LLM write their boxes).
Matrices act on column vectors: ``p_parent = R @ p_child``. Every function works on any batch shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_GIMBAL_COS_ROLL = 1e-14
"""Below this cos(roll), yaw and pitch turn about the same axis up to rounding and pitch is set to 0."""


def trailing_shape(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """``value`` as float64 whose trailing axes are ``shape``, or a ValueError that names the argument."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape[max(array.ndim - len(shape), 0) :] != shape:
        wanted = ", ".join(["...", *map(str, shape)])
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    return array


def matrix_from_euler_zxy(angles: ArrayLike) -> Array:
    """``(..., 3)`` intrinsic ZXY angles (yaw, roll, pitch) in radians -> ``(..., 3, 3)`` matrices."""
    angles = trailing_shape("angles", angles, (3,))
    cos, sin = np.cos(angles), np.sin(angles)
    return matrix_from_cos_sin(cos, sin)


def matrix_from_cos_sin(cos: Array, sin: Array) -> Array:
    """``Rz @ Rx @ Ry`` from the ``(..., 3)`` cosines and sines of (yaw, roll, pitch) -> ``(..., 3, 3)``."""
    ca, cb, cg = cos[..., 0], cos[..., 1], cos[..., 2]
    sa, sb, sg = sin[..., 0], sin[..., 1], sin[..., 2]
    rotation = np.empty((*cos.shape[:-1], 3, 3))
    rotation[..., 0, 0] = ca * cg - sa * sb * sg
    rotation[..., 0, 1] = -sa * cb
    rotation[..., 0, 2] = ca * sg + sa * sb * cg
    rotation[..., 1, 0] = sa * cg + ca * sb * sg
    rotation[..., 1, 1] = ca * cb
    rotation[..., 1, 2] = sa * sg - ca * sb * cg
    rotation[..., 2, 0] = -cb * sg
    rotation[..., 2, 1] = sb
    rotation[..., 2, 2] = cb * cg
    return rotation


def matrix_from_euler_zxy_extrinsic(angles: ArrayLike) -> Array:
    """``(..., 3)`` *extrinsic* ZXY angles (a, b, c) -> ``R = Ry(c) @ Rx(b) @ Rz(a)``, ``(..., 3, 3)``.

    VG-LLM's data published before 2025-11-27 reads its angles this way. The inverse of an intrinsic
    ZXY matrix of the negated angles is exactly this product, which is how it is computed.
    """
    angles = trailing_shape("angles", angles, (3,))
    return np.ascontiguousarray(np.swapaxes(matrix_from_euler_zxy(-angles), -1, -2))


def euler_zxy_from_matrix(rotation: ArrayLike) -> Array:
    """``(..., 3, 3)`` rotation matrices -> ``(..., 3)`` intrinsic ZXY angles (yaw, roll, pitch) in radians.

    Yaw and pitch lie in [-pi, pi], roll in [-pi/2, pi/2]. At gimbal lock (roll = +-pi/2) only
    yaw +- pitch is defined: pitch is set to 0 and the matrix is still reproduced.

    Pitch is read from ``Rz(-yaw) @ R`` and not from the last row, so the two angles stay consistent
    and the matrix is reproduced to rounding arbitrarily near the lock.
    """
    R = trailing_shape("rotation", rotation, (3, 3))
    yaw = np.arctan2(-R[..., 0, 1], R[..., 1, 1])
    locked = np.hypot(R[..., 0, 1], R[..., 1, 1]) < _GIMBAL_COS_ROLL
    yaw = np.where(locked, np.arctan2(R[..., 1, 0], R[..., 0, 0]), yaw)
    cos_yaw, sin_yaw = np.cos(yaw), np.sin(yaw)
    unyawed_00 = cos_yaw * R[..., 0, 0] + sin_yaw * R[..., 1, 0]  # cos(pitch)
    unyawed_02 = cos_yaw * R[..., 0, 2] + sin_yaw * R[..., 1, 2]  # sin(pitch)
    unyawed_11 = cos_yaw * R[..., 1, 1] - sin_yaw * R[..., 0, 1]  # cos(roll)
    pitch = np.where(locked, 0.0, np.arctan2(unyawed_02, unyawed_00))
    roll = np.arctan2(R[..., 2, 1], unyawed_11)
    return np.stack([yaw, roll, pitch], axis=-1) + 0.0  # "+ 0.0" turns -0.0 into 0.0


def quaternion_from_matrix(rotation: ArrayLike) -> Array:
    """``(..., 3, 3)`` rotation matrices -> ``(..., 4)`` unit quaternions (w, x, y, z) with w >= 0.

    Every row of the outer product ``4 q q^T`` is the quaternion times one of its own components;
    the row of the largest component is the well-conditioned one (Shepperd 1978).
    """
    R = trailing_shape("rotation", rotation, (3, 3))
    r00, r11, r22 = R[..., 0, 0], R[..., 1, 1], R[..., 2, 2]
    outer = np.empty((*R.shape[:-2], 4, 4))
    outer[..., 0, 0] = 1.0 + r00 + r11 + r22
    outer[..., 1, 1] = 1.0 + r00 - r11 - r22
    outer[..., 2, 2] = 1.0 - r00 + r11 - r22
    outer[..., 3, 3] = 1.0 - r00 - r11 + r22
    outer[..., 0, 1] = outer[..., 1, 0] = R[..., 2, 1] - R[..., 1, 2]
    outer[..., 0, 2] = outer[..., 2, 0] = R[..., 0, 2] - R[..., 2, 0]
    outer[..., 0, 3] = outer[..., 3, 0] = R[..., 1, 0] - R[..., 0, 1]
    outer[..., 1, 2] = outer[..., 2, 1] = R[..., 0, 1] + R[..., 1, 0]
    outer[..., 1, 3] = outer[..., 3, 1] = R[..., 0, 2] + R[..., 2, 0]
    outer[..., 2, 3] = outer[..., 3, 2] = R[..., 1, 2] + R[..., 2, 1]
    largest = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    quaternion: Array = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    quaternion = quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True)
    return np.where(quaternion[..., :1] < 0, -quaternion, quaternion) + 0.0


def matrix_from_quaternion(quaternion: ArrayLike) -> Array:
    """``(..., 4)`` quaternions (w, x, y, z), normalised here -> ``(..., 3, 3)``; ValueError for zero."""
    q = trailing_shape("quaternion", quaternion, (4,))
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    if not np.all(norm > 0):
        raise ValueError("quaternion must not be zero or NaN; the identity is (1, 0, 0, 0)")
    w, x, y, z = np.moveaxis(q / norm, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
