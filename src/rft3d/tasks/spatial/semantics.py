"""What the words of a VSI-Bench question mean, as geometry: pure functions of boxes, floor and frames.

World: metres, z up. *Floor frame*: the world turned and shifted so that the first camera stands at the
origin, looks along +y and has its right hand on +x; z stays up and keeps the floor's height. Every position
that a person or a model can name ("1.2 m to the right, 2.5 m ahead") is in this frame. The meanings are those
that reproduce the official answer key from boxes (VSI-Bench, appendix B.1, arXiv 2412.14171).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d.geometry import box_corners, box_distance, invert_pose
from rft3d.geometry.rotations import Array
from rft3d.scenes.types import Frame, Scene, SceneObject

Point = Sequence[float] | NDArray[Any]


def longest_edge_cm(box: Array) -> int:
    """Longest edge of a ``(9,)`` box in whole centimetres."""
    return round(100.0 * float(np.max(box[3:6])))


def polygon_area_m2(polygon: Array) -> float:
    """Area of a simple ``(V, 2)`` polygon in square metres (shoelace formula, either orientation)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def floor_area_m2(scene: Scene) -> float | None:
    """From the floor polygon, else what the source says; None when unknown."""
    return scene.floor_area_m2 if scene.floor_polygon is None else polygon_area_m2(scene.floor_polygon)


def closest_distance_m(ones: Array, others: Array) -> float:
    """Smallest surface distance between any ``(N, 9)`` box and any ``(M, 9)`` one (0 when they overlap)."""
    return min(box_distance(a, b) for a in ones for b in others)


def turn_rad(origin: Point, facing: Point, target: Point) -> float:
    """Signed turn in the floor plane at ``origin`` from looking at ``facing`` to looking at ``target``.

    In (-pi, pi], positive = to the left: ``atan2(fx dy - fy dx, f . d)`` with ``f = facing - origin`` and
    ``d = target - origin``. Only x and y are read.
    """
    fx, fy = facing[0] - origin[0], facing[1] - origin[1]
    dx, dy = target[0] - origin[0], target[1] - origin[1]
    return math.atan2(fx * dy - fy * dx, fx * dx + fy * dy)


def direction_easy(turn: float) -> str:
    """``left`` or ``right``."""
    return "left" if turn > 0 else "right"


def direction_medium(turn: float) -> str:
    """``back`` beyond 135 degrees, else ``left`` or ``right``."""
    return "back" if abs(turn) > math.radians(135) else direction_easy(turn)


def direction_hard(turn: float) -> str:
    """The quadrant: ``front-left``, ``front-right``, ``back-left`` or ``back-right``."""
    return f"{'front' if abs(turn) < math.pi / 2 else 'back'}-{direction_easy(turn)}"


DIRECTIONS = {
    "easy": (direction_easy, ("left", "right"), (0.0, 180.0)),
    "medium": (direction_medium, ("left", "right", "back"), (0.0, 135.0)),
    "hard": (direction_hard, ("front-left", "front-right", "back-left", "back-right"), (0.0, 90.0, 180.0)),
}
"""level -> (meaning, its answers, boundaries of abs(turn) in degrees where the answer changes)."""


def turn_word(turn: float) -> str | None:
    """A robot's action for a turn: left/right from 45 to 135 degrees, back beyond, None when it walks on."""
    degrees = abs(math.degrees(turn))
    if degrees < 45:
        return None
    if degrees > 135:
        return "Turn Back"
    return "Turn Left" if turn > 0 else "Turn Right"


def walk(
    start: str, facing: Point, steps: Sequence[str | None], at: Callable[[str], Array]
) -> list[tuple[str, str, str, float]]:
    """The turns of a route: from where it came, where it is, what it turns to, and by how much (:func:`turn_rad`).

    Args:
        start: the label where it begins, looking at ``facing`` (xy).
        steps: labels to walk to, and None for each turn: towards the next label.
        at: the place of a label, xy first.

    Raises:
        ValueError: a turn with no label after it.
    """
    turns: list[tuple[str, str, str, float]] = []
    before, here, ahead = "", start, np.asarray(facing)
    for index, step in enumerate(steps):
        if step is not None:  # it arrives looking the way it came
            before, here, ahead = here, step, 2 * at(step) - at(here)
            continue
        goal = next((each for each in steps[index:] if each is not None), None)
        if goal is None:
            raise ValueError("a turn with nothing to walk to")
        turns.append((before, here, goal, turn_rad(at(here), ahead, at(goal))))
        ahead = at(goal)
    return turns


def margin_deg(turn: float, boundaries: Sequence[float]) -> float:
    """Degrees from ``abs(turn)`` to the nearest of ``boundaries`` (degrees in [0, 180])."""
    return min(abs(abs(math.degrees(turn)) - boundary) for boundary in boundaries)


def first_frame(frames: Sequence[Frame], ids: Sequence[int], share: float) -> int | None:
    """Index of the first frame that shows at least ``share`` of any object of ``ids``; None if none does."""
    for index, frame in enumerate(frames):
        if any(frame.visible.get(i, 0.0) >= share for i in ids):
            return index
    return None


def floor_frame(T_world_camera: Array) -> Array:
    """``(4, 4)`` ``T_floor_world`` of the floor frame of a camera (see the module's docstring).

    A camera that looks straight up or down has no heading on the floor; the direction of its picture's upper
    edge (looking down) or lower edge (looking up) stands in.
    """
    forward = T_world_camera[:2, 2]
    if np.linalg.norm(forward) < 1e-6:
        # -y of the camera is "up" in the picture: ahead when looking down, behind when looking up
        forward = T_world_camera[:2, 1] * (1.0 if T_world_camera[2, 2] > 0 else -1.0)
    fx, fy = forward / np.linalg.norm(forward)
    T_world_floor = np.eye(4)
    T_world_floor[:3, 0] = (fy, -fx, 0.0)
    T_world_floor[:3, 1] = (fx, fy, 0.0)
    T_world_floor[:2, 3] = T_world_camera[:2, 3]
    return invert_pose(T_world_floor)


CLEARANCE_M = 0.15
ROBOT_HEIGHT_M = 1.0


def path_is_free(
    start: Point, end: Point, obstacles: Sequence[SceneObject], floor_polygon: Array | None
) -> bool:
    """Whether a robot can roughly walk straight from ``start`` to ``end`` (world xy, metres).

    Rough on purpose: points every 5 cm along the segment must lie inside the floor polygon (the outer 5 % at
    both ends excepted, where furniture stands against the wall) and outside every obstacle's upright
    bounding rectangle grown by :data:`CLEARANCE_M`. Obstacles whose underside hangs above :data:`ROBOT_HEIGHT_M`
    or that end below 5 cm (rugs) don't block; the floor is at z = 0.
    """
    a, b = np.asarray(start[:2], float), np.asarray(end[:2], float)
    steps = max(2, math.ceil(float(np.linalg.norm(b - a)) / 0.05))
    along = np.linspace(0.05, 0.95, steps)[:, None]
    points = a + along * (b - a)
    if floor_polygon is not None and not inside_polygon(points, floor_polygon).all():
        return False
    for obstacle in obstacles:
        corners = box_corners(obstacle.box[None])[0]
        low, high = corners.min(axis=0), corners.max(axis=0)
        if low[2] > ROBOT_HEIGHT_M or high[2] < 0.05:
            continue
        hit = (points > low[:2] - CLEARANCE_M) & (points < high[:2] + CLEARANCE_M)
        if bool(hit.all(axis=1).any()):
            return False
    return True


def inside_polygon(points: Array, polygon: Array) -> Array:
    """Which of the xy ``points`` ``(..., 2)`` lie in a simple ``(V, 2)`` polygon (even-odd rule)."""
    x, y = np.asarray(points, float)[..., None, 0], np.asarray(points, float)[..., None, 1]
    (x0, y0), (x1, y1) = np.asarray(polygon, float).T, np.roll(np.asarray(polygon, float), -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    rise = np.where(y1 == y0, 1.0, y1 - y0)  # a level edge crosses nothing
    return (crosses & (x < (x1 - x0) * (y - y0) / rise + x0)).sum(-1) % 2 == 1
