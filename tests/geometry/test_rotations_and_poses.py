"""Rotations, rigid transforms and the pinhole camera: round trips, gimbal lock, conventions, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.geometry.helpers import look_at

from rft3d.geometry import (
    backproject,
    camera_rays,
    euler_zxy_from_matrix,
    invert_pose,
    matrix_from_euler_zxy,
    matrix_from_euler_zxy_extrinsic,
    pose_from,
    project,
    transform_points,
)

Array = NDArray[np.float64]
ANGLES = st.lists(st.floats(-7, 7), min_size=3, max_size=3)
# cos(roll) from far above to far below the threshold that counts as gimbal lock
NEAR_LOCK = st.floats(-18, 0).map(lambda e: 10.0**e) | st.just(0.0)


def about(axis: int, angle: float) -> Array:
    """Textbook rotation about one coordinate axis."""
    matrix = np.eye(3)
    j, k = (axis + 1) % 3, (axis + 2) % 3
    matrix[j, j] = matrix[k, k] = np.cos(angle)
    matrix[j, k], matrix[k, j] = -np.sin(angle), np.sin(angle)
    return matrix


@given(ANGLES)
def test_matrix_is_the_product_of_three_turns(angles: list[float]) -> None:
    yaw, roll, pitch = angles
    expected = about(2, yaw) @ about(0, roll) @ about(1, pitch)
    np.testing.assert_allclose(matrix_from_euler_zxy(angles), expected, atol=1e-15)
    expected = about(1, pitch) @ about(0, roll) @ about(2, yaw)
    np.testing.assert_allclose(matrix_from_euler_zxy_extrinsic(angles), expected, atol=1e-15)


@given(ANGLES)
def test_euler_round_trip(angles: list[float]) -> None:
    matrix = matrix_from_euler_zxy(angles)
    back = euler_zxy_from_matrix(matrix)
    np.testing.assert_allclose(matrix_from_euler_zxy(back), matrix, atol=5e-15)
    assert abs(back[1]) <= np.pi / 2
    assert np.all(np.abs(back) <= np.pi)


@given(st.floats(-3, 3), st.floats(-1.5, 1.5), st.floats(-3, 3))
def test_euler_angles_come_back_away_from_the_lock(yaw: float, roll: float, pitch: float) -> None:
    back = euler_zxy_from_matrix(matrix_from_euler_zxy([yaw, roll, pitch]))
    np.testing.assert_allclose(back, [yaw, roll, pitch], atol=1e-13)


@given(st.floats(-3, 3), NEAR_LOCK, st.floats(-3, 3), st.sampled_from([-1, 1]))
def test_matrix_survives_gimbal_lock(yaw: float, distance: float, pitch: float, side: int) -> None:
    matrix = matrix_from_euler_zxy([yaw, side * (np.pi / 2 - distance), pitch])
    back = euler_zxy_from_matrix(matrix)
    np.testing.assert_allclose(matrix_from_euler_zxy(back), matrix, atol=2e-14)
    if distance < 1e-15:
        assert back[2] == 0.0


def test_upright_rotation_has_clean_zeros() -> None:
    back = euler_zxy_from_matrix(matrix_from_euler_zxy([0.3, 0, 0]))
    assert back[1:].tolist() == [0.0, 0.0]
    assert not np.signbit(back[1:]).any()


def test_batches_of_any_shape() -> None:
    angles = np.random.default_rng(0).uniform(-3, 3, (2, 5, 3))
    matrices = matrix_from_euler_zxy(angles)
    assert matrices.shape == (2, 5, 3, 3)
    one_by_one = [euler_zxy_from_matrix(m) for m in matrices.reshape(-1, 3, 3)]
    assert np.array_equal(euler_zxy_from_matrix(matrices).reshape(-1, 3), one_by_one)
    assert euler_zxy_from_matrix(np.empty((0, 3, 3))).shape == (0, 3)


def test_pose_algebra() -> None:
    rng = np.random.default_rng(1)
    pose = pose_from(matrix_from_euler_zxy(rng.uniform(-3, 3, (6, 3))), rng.normal(size=(6, 3)))
    np.testing.assert_allclose(invert_pose(pose) @ pose, np.broadcast_to(np.eye(4), (6, 4, 4)), atol=1e-14)
    points = rng.normal(size=(4, 2, 3))
    there = transform_points(pose[0], points)
    np.testing.assert_allclose(there[1, 1], (pose[0] @ [*points[1, 1], 1])[:3], atol=1e-14)
    np.testing.assert_allclose(transform_points(invert_pose(pose[0]), there), points, atol=1e-14)


def test_look_at_centres_its_target_and_keeps_up_upright() -> None:
    K = np.array([[300.0, 0, 160], [0, 310, 120], [0, 0, 1]])
    eye, target = np.array([3.0, -1, 1.7]), np.array([0.5, 2, 0.4])
    above = target + np.array([0, 0, 0.2])
    T_camera_world = invert_pose(look_at(eye, target))
    uv, z = project(transform_points(T_camera_world, np.stack([target, above])), K)
    np.testing.assert_allclose(uv[0], (160, 120), atol=1e-10)
    assert z[0] == pytest.approx(np.linalg.norm(target - eye))
    assert uv[1, 0] == pytest.approx(160)
    assert uv[1, 1] < 120  # higher in the world is higher in the picture


def test_projection_and_back() -> None:
    K = np.array([[50.0, 0, 4.0], [0, 40, 3.0], [0, 0, 1]])
    depth = np.random.default_rng(2).uniform(0.5, 4, (6, 8))
    points = backproject(depth, K)
    uv, z = project(points, K)
    columns, rows = np.meshgrid(np.arange(8), np.arange(6))
    np.testing.assert_allclose(uv, np.stack([columns, rows], axis=-1) + 0.5, atol=1e-12)
    np.testing.assert_allclose(z, depth)
    np.testing.assert_allclose(camera_rays(K, 8, 6) * depth[..., None], points)
    assert camera_rays(K, 8, 6)[2, 3].tolist() == [(3.5 - 4) / 50, (2.5 - 3) / 40, 1.0]


def test_points_behind_the_camera_have_no_pixel() -> None:
    uv, z = project([[1, 1, -2], [1, 1, 0], [1, 1, 2]], np.diag([10.0, 10, 1]))
    assert np.isnan(uv[:2]).all()
    assert uv[2].tolist() == [5, 5]
    assert z.tolist() == [-2, 0, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: matrix_from_euler_zxy([1, 2]), r"angles .*\(2,\)"),
        (lambda: euler_zxy_from_matrix(np.zeros((3, 2))), r"rotation .*\(3, 2\)"),
        (lambda: invert_pose(np.eye(3)), r"pose .*\(3, 3\)"),
        (lambda: transform_points(np.eye(4), [1, 2]), r"points .*\(2,\)"),
        (lambda: project([[1, 2, 3]], np.eye(4)), r"K .*\(4, 4\)"),
        (lambda: camera_rays(np.zeros((3, 3)), 2, 2), "focal"),
        (lambda: backproject(np.zeros(4), np.eye(3)), r"depth .*\(4,\)"),
    ],
)
def test_errors_name_the_argument(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
