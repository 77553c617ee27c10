"""A room made by hand, so that the tasks are tested without the generator and without pictures."""

from __future__ import annotations

import numpy as np
import pytest
from tests.geometry.helpers import look_at

from rft3d.scenes.types import Expression, Frame, Scene, SceneObject

K = np.array([[100.0, 0.0, 84.0], [0.0, 100.0, 56.0], [0.0, 0.0, 1.0]])


def thing(identity: int, label: str, centre: tuple[float, ...], size: tuple[float, ...], yaw: float = 0.0):
    return SceneObject(identity, label, np.array([*centre, *size, yaw, 0.0, 0.0]))


def frame(name: str, eye: tuple[float, ...], target: tuple[float, ...], visible: dict[int, float]) -> Frame:
    return Frame(name, K, look_at(eye, target), 168, 112, None, visible=visible)


def make_scene() -> Scene:
    """A 5 m x 4 m room: two chairs, six other objects, four frames that show them one after another."""
    objects = (
        thing(0, "bed", (1.0, 3.2, 0.3), (1.6, 1.4, 0.6)),
        thing(1, "table", (2.6, 2.0, 0.4), (0.9, 0.7, 0.8), 0.3),
        thing(2, "lamp", (4.6, 3.6, 0.8), (0.3, 0.3, 1.6)),
        thing(3, "chair", (2.6, 0.8, 0.45), (0.5, 0.5, 0.9), 0.8),
        thing(4, "chair", (3.6, 1.2, 0.45), (0.5, 0.5, 0.9), -0.4),
        thing(5, "bin", (0.4, 0.4, 0.2), (0.3, 0.3, 0.4)),
        thing(6, "dresser", (4.7, 0.6, 0.5), (0.5, 1.0, 1.0)),
        thing(7, "monitor", (2.6, 2.0, 1.0), (0.5, 0.1, 0.4), 0.3),
    )
    frames = (
        frame("000", (0.5, 0.5, 1.5), (1.5, 3.5, 0.5), {0: 0.9}),
        frame("001", (0.5, 1.5, 1.5), (3.0, 2.0, 0.5), {0: 0.5, 1: 0.8, 7: 0.7}),
        frame("002", (1.0, 2.0, 1.5), (4.5, 2.5, 0.5), {1: 0.6, 2: 0.7, 3: 0.4}),
        frame("003", (2.0, 3.0, 1.5), (3.5, 0.5, 0.5), {3: 0.9, 4: 0.8, 5: 0.6, 6: 0.7}),
    )
    expressions = (
        Expression("The bed by the WALL", 0, 0),
        Expression("the chair next to the table", 3),
        Expression("the table", 1, 1),
    )
    floor = np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 4.0], [0.0, 4.0]])
    return Scene("hand-0", "hand", frames, objects, expressions, floor)


def refs(scene: Scene) -> list[str]:
    return [f"hand:0/{index}" for index in range(len(scene.frames))]


@pytest.fixture(scope="session")
def scene() -> Scene:
    return make_scene()


@pytest.fixture(scope="session")
def frame_refs(scene: Scene) -> list[str]:
    return refs(scene)
