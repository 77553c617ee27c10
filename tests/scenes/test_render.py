"""The renderer: compiled and the readable reference agree, depth is right, shadows fall."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tests.scenes import raster_reference

from rft3d.geometry import camera_rays
from rft3d.scenes import make_room
from rft3d.scenes.rooms._layout import Placed
from rft3d.scenes.rooms._parts import (
    CUBOID,
    CYLINDER,
    ELLIPSOID,
    Furniture,
    bounds,
    cuboid,
    cylinder,
    ellipsoid,
)
from rft3d.scenes.rooms._render import render, world_parts
from rft3d.scenes.rooms._room import plan_room

REFERENCE = "rft3d.scenes.rooms._raster_numba.draw_views"


def test_the_compiled_renderer_and_the_reference_draw_the_same_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seed in (0, 3, 8):
        fast = make_room(seed)
        with monkeypatch.context() as patched:
            patched.setattr(REFERENCE, raster_reference.draw)
            plain = make_room(seed)
        for a, b in zip(fast.frames, plain.frames, strict=True):
            different = np.abs(np.asarray(a.rgb, dtype=int) - np.asarray(b.rgb, dtype=int)).max(-1) > 1
            assert different.mean() < 2e-3, "only rounding at edges may differ"
            assert (np.asarray(a.instances) != np.asarray(b.instances)).mean() < 1e-3
            assert (np.abs(np.asarray(a.depth) - np.asarray(b.depth)) > 1e-3).mean() < 1e-3
            assert a.visible == pytest.approx(b.visible, abs=0.02)


def test_importing_scenes_imports_neither_numba_nor_torch() -> None:
    code = "import sys, rft3d.scenes; print([m for m in ('numba', 'torch', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def _solid(shape: int) -> Placed:
    make = {CUBOID: cuboid, CYLINDER: cylinder, ELLIPSOID: ellipsoid}[shape]
    parts = [make((0, 0, 0.5), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))]
    thing = Furniture("chair", tuple(parts), "grey", (0.5, 0.5, 0.5), "medium", *bounds(parts))
    return Placed(thing, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("renderer", ["compiled", "reference"])
@pytest.mark.parametrize("shape", [CUBOID, CYLINDER, ELLIPSOID])
def test_depth_of_a_solid_is_analytic(shape: int, renderer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera at 0.5 m height, 1.5 m from the axis of a 1 m solid, looking level at it."""
    if renderer == "reference":
        monkeypatch.setattr(REFERENCE, raster_reference.draw)
    plan = plan_room(0)
    T = np.eye(4)
    T[:3, :3] = np.array([[0, 0, 1.0], [-1.0, 0, 0], [0, -1.0, 0]])
    T[:3, 3] = (-1.5, 0.0, 0.5)
    K = np.array([[60.0, 0, 30], [0, 60.0, 20], [0, 0, 1]])
    out = render(world_parts([_solid(shape)]), plan.shell, T[None], K, 60, 40)
    rays = camera_rays(K, 60, 40)
    middle = out.instances[0, 20, 30]
    assert middle == 1
    u, v = rays[20, 30, 0], rays[20, 30, 1]
    if shape == CUBOID:
        expected = 1.0
    else:
        # |(t - 1.5, t u, t v)| = 0.5, without v for the upright cylinder.
        a = 1 + u * u + (v * v if shape == ELLIPSOID else 0.0)
        expected = (1.5 - np.sqrt(2.25 - a * 2.0)) / a
    assert out.depth[0, 20, 30] == pytest.approx(expected, abs=1e-5)
    assert out.seen[0, 0] == out.alone[0, 0] == (out.instances[0] == 1).sum()


def test_shell_depth_meets_the_walls() -> None:
    plan = plan_room(4)
    parts = world_parts(plan.layout.placed)
    out = render(parts, plan.shell, plan.T_world_cameras, plan.K, 84, 56)
    rays = camera_rays(plan.K, 84, 56)
    for k, T in enumerate(plan.T_world_cameras):
        world = (rays * out.depth[k][..., None]) @ T[:3, :3].T + T[:3, 3]
        shell = world[out.instances[k] == 0]
        half = np.array([plan.layout.half_x, plan.layout.half_y])
        to_faces = np.concatenate(
            [
                np.abs(half - np.abs(shell[:, :2])),
                np.abs(shell[:, 2:]),
                np.abs(plan.layout.height - shell[:, 2:]),
            ],
            1,
        )
        assert to_faces.min(1).max() < 1e-4


def test_furniture_darkens_the_floor() -> None:
    """The same room with and without its furniture: floor pixels only get darker, some of them much."""
    plan = plan_room(7)
    size = (168, 112)
    parts = world_parts(plan.layout.placed)
    full = render(parts, plan.shell, plan.T_world_cameras, plan.K, *size)
    # One small thing far away stands in for an empty room (a scene without parts is never drawn).
    spot = replace(plan.layout.placed[-1], x=50.0, y=50.0)
    empty = render(world_parts([spot]), plan.shell, plan.T_world_cameras, plan.K, *size)
    floor = full.instances == 0
    change = full.rgb.astype(int).sum(-1)[floor] - empty.rgb.astype(int).sum(-1)[floor]
    assert (change <= 3).mean() > 0.999
    assert (change < -60).mean() > 0.01
