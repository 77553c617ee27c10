"""Rotations: intrinsic ZXY Euler angles <-> matrices.

Convention of the whole project: ``angles = (yaw, roll, pitch)`` in radians and
``R = Rz(yaw) @ Rx(roll) @ Ry(pitch)`` (intrinsic ZXY, as EmbodiedScan and VG-LLM write their boxes).
Matrices act on column vectors: ``p_parent = R @ p_child``. Every function works on any batch shape.
"""

from typing import Any

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


def exact_shape(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """``value`` as float64 of this shape, or a ValueError that names the argument."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


def matrix_from_euler_zxy(angles: ArrayLike) -> Array:
    """``(..., 3)`` intrinsic ZXY angles (yaw, roll, pitch) in radians -> ``(..., 3, 3)`` matrices."""
    angles = trailing_shape("angles", angles, (3,))
    entries = rotation_entries(np.moveaxis(np.cos(angles), -1, 0), np.moveaxis(np.sin(angles), -1, 0))
    return np.stack(entries, axis=-1).reshape(*angles.shape, 3)


def rotation_entries(cos: NDArray[Any], sin: NDArray[Any]) -> list[NDArray[Any]]:
    """The nine entries of ``Rz(yaw) Rx(roll) Ry(pitch)``, row by row, from ``(3, ...)`` cosines and sines."""
    (ca, cb, cg), (sa, sb, sg) = cos, sin
    return [
        *(ca * cg - sa * sb * sg, -sa * cb, ca * sg + sa * sb * cg),
        *(sa * cg + ca * sb * sg, ca * cb, sa * sg - ca * sb * cg),
        *(-cb * sg, sb, cb * cg),
    ]


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
