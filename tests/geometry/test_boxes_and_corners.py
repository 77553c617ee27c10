"""Box records and arrays: corners, transforms, the 24 re-parametrisations and the canonical form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.geometry.helpers import box_reparametrisations

from rft3d.geometry import (
    BOX_EDGES,
    BOX_FACES,
    box_corners,
    canonical_boxes,
    matrix_from_euler_zxy,
    pose_from,
    transform_boxes,
    transform_points,
)

Array = NDArray[np.float64]


def random_boxes(n: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    columns = rng.uniform(-3, 3, (n, 3)), rng.uniform(0.1, 2, (n, 3)), rng.uniform(-7, 7, (n, 3))
    return np.concatenate(columns, axis=1)


def corner_set(box: Array) -> Array:
    """The eight corners in an order that depends on the solid only."""
    corners = np.round(box_corners(box[None])[0], 9) + 0.0
    return corners[np.lexsort(corners.T)]


def test_corners_of_an_unrotated_box() -> None:
    corners = box_corners([[1, 2, 3, 2, 4, 6, 0, 0, 0]])[0]
    assert corners.tolist() == [list(c) for c in itertools.product((0, 2), (0, 4), (0, 6))]


def test_corners_of_a_yawed_box() -> None:
    """A quarter turn about z maps the box's +x side to world +y."""
    corners = box_corners([[0, 0, 0, 4, 2, 2, np.pi / 2, 0, 0]])[0]
    np.testing.assert_allclose(corners[0b111], (-1, 2, 1), atol=1e-15)
    np.testing.assert_allclose(np.ptp(corners, axis=0), (2, 4, 2), atol=1e-15)


def test_edges_and_faces_index_the_corners() -> None:
    corners = box_corners([[0, 0, 0, 1, 2, 3, 0.4, 0.3, 0.2]])[0]
    lengths = np.linalg.norm(corners[BOX_EDGES[:, 0]] - corners[BOX_EDGES[:, 1]], axis=1)
    np.testing.assert_allclose(np.sort(lengths), [1] * 4 + [2] * 4 + [3] * 4)
    axes = matrix_from_euler_zxy([0.4, 0.3, 0.2]).T
    for k, face in enumerate(BOX_FACES):
        p = corners[face]
        outward = axes[k // 2] * (1 if k % 2 else -1)
        normal = np.cross(p[1] - p[0], p[2] - p[1])
        np.testing.assert_allclose(normal / np.linalg.norm(normal), outward, atol=1e-14)
        np.testing.assert_allclose(p[0] + p[2], p[1] + p[3], atol=1e-14)


def test_transforming_boxes_moves_their_corners() -> None:
    rng = np.random.default_rng(4)
    boxes = random_boxes(50)
    pose = pose_from(matrix_from_euler_zxy(rng.uniform(-3, 3, 3)), rng.normal(size=3))
    moved = transform_boxes(pose, boxes)
    np.testing.assert_allclose(box_corners(moved), transform_points(pose, box_corners(boxes)), atol=1e-13)
    assert np.array_equal(moved[:, 3:6], boxes[:, 3:6])
    assert transform_boxes(pose, []).shape == (0, 9)


@pytest.mark.parametrize("rotation", [2 * np.eye(3), np.diag([1, 1, -1.0]), np.full((3, 3), np.nan)])
def test_transforms_that_are_not_rigid_are_refused(rotation: Array) -> None:
    with pytest.raises(ValueError, match="rigid"):
        transform_boxes(pose_from(rotation, np.zeros(3)), random_boxes(1))


def test_the_24_reparametrisations_are_distinct_and_the_same_solid() -> None:
    box = random_boxes(1, seed=9)[0]
    ways = box_reparametrisations(box)
    assert len({tuple(np.round(w, 6)) for w in ways}) == 24
    for way in ways:
        np.testing.assert_allclose(corner_set(way), corner_set(box), atol=2e-9)
    rotations = matrix_from_euler_zxy(ways[:, 6:])
    np.testing.assert_allclose(rotations[0], matrix_from_euler_zxy(box[6:]), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)


def test_canonical_form_is_nearest_the_identity_and_the_same_solid() -> None:
    boxes = random_boxes(200)
    canonical = canonical_boxes(boxes)
    for box, found in zip(boxes, canonical, strict=True):
        np.testing.assert_allclose(corner_set(found), corner_set(box), atol=2e-9)
        traces = np.trace(matrix_from_euler_zxy(box_reparametrisations(box)[:, 6:]), axis1=1, axis2=2)
        assert np.trace(matrix_from_euler_zxy(found[6:])) == pytest.approx(traces.max(), abs=1e-8)
    np.testing.assert_allclose(canonical_boxes(canonical), canonical, atol=1e-12)


EIGHTHS = st.integers(-8, 8).map(lambda k: k * np.pi / 4)
SPECIAL_ANGLES = st.lists(EIGHTHS | st.floats(-3, 3), min_size=3, max_size=3)


@given(SPECIAL_ANGLES)
def test_canonical_form_is_one_for_all_24(angles: list[float]) -> None:
    """Also at 45 degrees, where two labellings are equally near the identity."""
    forms = canonical_boxes(box_reparametrisations([1, 2, 3, 0.5, 1.0, 1.5, *angles]))
    np.testing.assert_allclose(forms, np.broadcast_to(forms[0], (24, 9)), atol=1e-12)


def test_canonical_yaw_of_upright_boxes() -> None:
    boxes = np.array([[0, 0, 0, 1, 2, 3, yaw, 0, 0] for yaw in np.radians([100, -170, 45, -45, 30])])
    canonical = canonical_boxes(boxes)
    np.testing.assert_allclose(np.degrees(canonical[:, 6]), [10, 10, 45, 45, 30], atol=1e-12)
    assert canonical[:, 3:6].tolist() == [[2, 1, 3], [1, 2, 3], [1, 2, 3], [2, 1, 3], [1, 2, 3]]
    assert np.all(canonical[:, 7:] == 0)
    assert canonical_boxes([]).shape == (0, 9)
