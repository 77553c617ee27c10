"""What the words of a question mean: directions, distances, sizes, on cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.geometry.helpers import look_at

from rft3d.geometry import transform_points
from rft3d.scenes.types import Frame, SceneObject
from rft3d.tasks.spatial import semantics as s

ROOM = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 3.0], [0.0, 3.0]])


def thing(label: str, centre, size, yaw: float = 0.0, identity: int = 0) -> SceneObject:
    return SceneObject(identity, label, np.array([*centre, *size, yaw, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("target", "degrees", "easy", "medium", "hard", "turn"),
    [
        # standing at the origin, facing +y
        ((1.0, 1.0), -45, "right", "right", "front-right", None),
        ((-1.0, 0.1), 84.3, "left", "left", "front-left", "Turn Left"),
        ((2.0, -0.5), -104.0, "right", "right", "back-right", "Turn Right"),
        ((-0.5, -2.0), 166.0, "left", "back", "back-left", "Turn Back"),
        ((0.1, 3.0), -1.9, "right", "right", "front-right", None),
    ],
)
def test_directions(target, degrees, easy, medium, hard, turn) -> None:
    angle = s.turn_rad((0, 0), (0, 2), target)
    assert math.degrees(angle) == pytest.approx(degrees, abs=0.1)
    assert s.direction_easy(angle) == easy
    assert s.direction_medium(angle) == medium
    assert s.direction_hard(angle) == hard
    if degrees != -45:
        assert s.turn_word(angle) == turn


@given(st.floats(-math.pi, math.pi), st.floats(0.5, 5), st.floats(-3, 3), st.floats(-math.pi, math.pi))
def test_turn_is_what_was_turned(turn: float, far: float, shift: float, heading: float) -> None:
    """Facing a heading and turning by ``turn`` looks at a point whose turn is ``turn``."""
    origin = np.array([shift, -shift])
    facing = origin + 2 * np.array([math.cos(heading), math.sin(heading)])
    target = origin + far * np.array([math.cos(heading + turn), math.sin(heading + turn)])
    measured = s.turn_rad(origin, facing, target)
    assert math.cos(measured - turn) == pytest.approx(1, abs=1e-9)


@given(st.floats(0, 2 * math.pi), st.floats(0.3, 3))
def test_area_is_invariant_and_analytic(angle: float, scale: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    assert s.polygon_area_m2(scale * ROOM @ turn.T + 7) == pytest.approx(12 * scale**2)
    assert s.polygon_area_m2(ROOM[::-1]) == pytest.approx(12)
    ell = np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]], float)
    assert s.polygon_area_m2(ell) == pytest.approx(3)


def test_longest_edge_and_distance() -> None:
    assert s.longest_edge_cm(np.array([0, 0, 0, 0.3, 1.204, 0.5, 1, 0, 0])) == 120
    a = thing("a", (0, 0, 0.5), (1, 1, 1))
    far, near = thing("b", (5, 0, 0.5), (1, 1, 1)), thing("b", (2, 0, 0.5), (1, 1, 1))
    assert s.closest_distance_m(a.box[None], np.stack([far.box, near.box])) == pytest.approx(1.0)
    assert s.closest_distance_m(a.box[None], a.box[None]) == 0.0


@pytest.mark.parametrize("target", [(3.0, 1.0, 0.0), (1.0, -4.0, 2.0), (0.0, 0.5, 1.0)])
def test_floor_frame_is_right_and_ahead(target) -> None:
    eye = (1.0, 2.0, 1.5)
    T = s.floor_frame(look_at(eye, target))
    ahead = transform_points(T, np.array([target], float))[0]
    assert ahead[0] == pytest.approx(0, abs=1e-9) and ahead[1] > 0
    assert ahead[2] == pytest.approx(target[2])  # heights stay above the floor
    camera_right = look_at(eye, target)[:3, 0]
    moved = transform_points(T, np.array([np.array(eye) + camera_right]))[0]
    np.testing.assert_allclose(moved, [1, 0, 1.5], atol=1e-9)
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)


def test_floor_frame_of_a_camera_that_looks_down() -> None:
    """The upper edge of the picture is ahead: here the picture's up is world +x."""
    down = np.array([[0.0, -1.0, 0.0, 2.0], [-1.0, 0.0, 0.0, 3.0], [0.0, 0.0, -1.0, 2.5], [0, 0, 0, 1.0]])
    assert np.linalg.det(down[:3, :3]) == pytest.approx(1)
    ahead = transform_points(s.floor_frame(down), np.array([[5.0, 3.0, 0.0]]))[0]
    np.testing.assert_allclose(ahead, [0, 3, 0], atol=1e-9)


def test_margin_is_to_the_nearest_boundary() -> None:
    assert s.margin_deg(math.radians(-100), (0.0, 90.0, 180.0)) == pytest.approx(10)
    assert s.margin_deg(math.radians(175), (0.0, 90.0, 180.0)) == pytest.approx(5)
    assert s.margin_deg(math.radians(175), (0.0, 135.0)) == pytest.approx(40)


def test_a_path_is_blocked_by_what_stands_on_it() -> None:
    start, end = (0.5, 1.5), (3.5, 1.5)
    in_the_way = thing("bed", (2.0, 1.5, 0.3), (0.5, 0.5, 0.6))
    assert s.path_is_free(start, end, [], ROOM)
    assert not s.path_is_free(start, end, [in_the_way], ROOM)
    beside = thing("bed", (2.0, 2.5, 0.3), (0.5, 0.5, 0.6))
    rug = thing("rug", (2.0, 1.5, 0.01), (1.0, 1.0, 0.02))
    lamp = thing("lamp", (2.0, 1.5, 2.2), (0.4, 0.4, 0.4))
    assert s.path_is_free(start, end, [beside, rug, lamp], ROOM)
    ell = np.array([[0, 0], [4, 0], [4, 1], [1, 1], [1, 3], [0, 3]], float)
    assert not s.path_is_free((0.5, 2.8), (3.8, 0.5), [], ell)
    assert s.path_is_free((0.5, 2.8), (3.8, 0.5), [], None)


def test_first_frame_needs_the_share() -> None:
    frames = [
        Frame(str(i), np.eye(3), np.eye(4), 4, 4, None, visible=v)
        for i, v in enumerate([{}, {5: 0.05}, {5: 0.4}])
    ]
    assert s.first_frame(frames, [5], 0.1) == 2
    assert s.first_frame(frames, [5, 6], 0.01) == 1
    assert s.first_frame(frames, [6], 0.01) is None
