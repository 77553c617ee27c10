"""Procedural rooms: sound, free of collisions, consistent between pictures and records, deterministic."""

from __future__ import annotations

from dataclasses import astuple
from random import Random

import numpy as np
import pytest

from rft3d.geometry import backproject, box_corners, box_iou, project, transform_points
from rft3d.scenes import (
    CATE8,
    CATE20,
    CATE31,
    WORLDS,
    RoomConfig,
    iter_rooms,
    load_depth,
    load_instances,
    load_rgb,
    make_room,
    validate_scene,
)
from rft3d.scenes.rooms._furniture import BUILDERS, build
from rft3d.scenes.rooms._parts import CUBOID, Rect, apart, gap
from rft3d.scenes.rooms._render import Parts, render, world_parts
from rft3d.scenes.rooms._room import plan_room
from rft3d.scenes.types import Scene

SEEDS = range(30)


def rect(x: float, y: float, hx: float, hy: float, yaw: float) -> Rect:
    return Rect(x, y, hx, hy, np.cos(yaw), np.sin(yaw))


@pytest.fixture(scope="module")
def rooms() -> list[Scene]:
    return [make_room(seed) for seed in SEEDS]


def test_vocabularies_are_closed_and_buildable() -> None:
    assert len(set(CATE20)) == 20 and set(CATE8) <= set(CATE20)
    assert len(set(CATE31)) == len(CATE31) == 30, "lamp is listed once"
    assert "towel" in CATE31 and "towl" not in CATE31
    assert tuple(BUILDERS) == CATE20


@pytest.mark.parametrize("label", CATE20)
def test_furniture_is_built_of_parts_within_plausible_sizes(label: str) -> None:
    for seed in range(20):
        thing = build(label, Random(seed))
        size = np.subtract(thing.high, thing.low)
        assert len(thing.parts) >= 3
        assert (size > 0.02).all() and (size < 2.4).all(), (label, size)
        assert thing.low[2] >= -1e-9, "nothing reaches below the floor"
        for top in thing.tops:
            assert top.x0 < top.x1 and top.y0 < top.y1 and 0 < top.z <= thing.high[2] + 1e-9


def test_rooms_are_valid_scenes(rooms: list[Scene]) -> None:
    for scene in rooms:
        validate_scene(scene)
        assert 3 <= len(scene.objects) <= 7
        assert len(scene.frames) == 4
        assert {item.label for item in scene.objects} <= set(CATE20)
        assert scene.floor_polygon is not None
        for frame in scene.frames:
            assert isinstance(frame.rgb, np.ndarray) and frame.rgb.shape == (112, 168, 3)
            assert frame.rgb.dtype == np.uint8 and isinstance(frame.depth, np.ndarray)
            assert frame.depth.dtype == np.float32 and frame.depth.min() > 0.05
            assert 10 < frame.rgb.mean() < 245 and frame.rgb.std() > 8


def test_objects_stand_inside_the_room_and_boxes_keep_apart(rooms: list[Scene]) -> None:
    for scene in rooms:
        boxes = np.stack([item.box for item in scene.objects])
        assert scene.floor_polygon is not None
        low, high = scene.floor_polygon.min(0), scene.floor_polygon.max(0)
        corners = box_corners(boxes)
        assert (corners[..., :2] >= low).all() and (corners[..., :2] <= high).all()
        assert (corners[..., 2] > -1e-6).all() and (corners[..., 2] < 2.9).all()
        # A pillow lies inside the box of its bed (the headboard is higher): only then may boxes overlap.
        iou = box_iou(boxes, boxes)
        carriers = {"bed", "couch"}
        for i, j in zip(*np.nonzero(np.triu(iou, 1) > 1e-9), strict=True):
            assert {scene.objects[i].label, scene.objects[j].label} & carriers and iou[i, j] < 0.2


def _placed(parts: Parts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, rotations to the world and half sizes."""
    return parts.solids[:, :3], parts.solids[:, 3:12].reshape(-1, 3, 3), parts.solids[:, 12:15]


def _separated(parts: Parts, i: int, j: int, tolerance: float) -> bool:
    """Whether a separating axis of two part boxes leaves less than ``tolerance`` of overlap."""
    centres, rotations, halves = _placed(parts)
    a, b = rotations[i] * halves[i], rotations[j] * halves[j]
    offset = centres[j] - centres[i]
    axes = [*rotations[i].T, *rotations[j].T]
    axes += [np.cross(u, v) for u in rotations[i].T for v in rotations[j].T]
    for axis in axes:
        length = np.linalg.norm(axis)
        if length < 1e-6:
            continue
        n = axis / length
        if abs(n @ offset) > np.abs(n @ a).sum() + np.abs(n @ b).sum() - tolerance:
            return True
    return False


@pytest.mark.parametrize("config", [RoomConfig(), WORLDS["rooms"]], ids=["usual", "rooms"])
def test_no_part_reaches_into_another_object(config: RoomConfig) -> None:
    for seed in range(12):
        parts = world_parts(plan_room(seed, config).layout.placed)
        centres, _, halves = _placed(parts)
        reach = np.linalg.norm(halves, axis=1)
        for i in range(len(parts.owner)):
            for j in range(i):
                near = np.linalg.norm(centres[i] - centres[j]) < reach[i] + reach[j]
                if near and parts.owner[i] != parts.owner[j]:
                    assert _separated(parts, i, j, 1e-3), (seed, parts.owner[i], parts.owner[j])


@pytest.mark.parametrize("config", [RoomConfig(), WORLDS["rooms"]], ids=["usual", "rooms"])
def test_boxes_are_tight_around_the_parts(config: RoomConfig) -> None:
    for seed in range(12):
        placed = plan_room(seed, config).layout.placed
        parts = world_parts(placed)
        for index, (item, spot) in enumerate(zip(make_room(seed, config).objects, placed, strict=True)):
            mine = parts.owner == index
            corners = []
            for c, R, h in zip(*(each[mine] for each in _placed(parts)), strict=True):
                signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
                corners.append(c + (signs * h) @ R.T)
            yaw = item.box[6]
            back = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
            local = (np.concatenate(corners) - item.box[:3]) @ back.T
            np.testing.assert_allclose(local.max(0), item.box[3:6] / 2, atol=1e-9)
            np.testing.assert_allclose(local.min(0), -item.box[3:6] / 2, atol=1e-9)
            assert spot.yaw == yaw


def test_visible_objects_appear_and_instances_lie_in_their_boxes(rooms: list[Scene]) -> None:
    checked = 0
    for scene in rooms:
        for frame in scene.frames:
            assert isinstance(frame.depth, np.ndarray) and isinstance(frame.instances, np.ndarray)
            world = transform_points(frame.T_world_camera, backproject(frame.depth, frame.intrinsics))
            counts = np.bincount(frame.instances.ravel(), minlength=len(scene.objects) + 1)
            smallest = np.ceil(0.0015 * frame.width * frame.height)
            assert set(frame.visible) == {k for k in range(len(scene.objects)) if counts[k + 1] >= smallest}
            for k, share in frame.visible.items():
                box = scene.objects[k].box
                c, s = np.cos(box[6]), np.sin(box[6])
                points = world[frame.instances == k + 1] - box[:3]
                local = points @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
                inside = (np.abs(local) <= box[3:6] / 2 + 0.02).all(-1)
                assert inside.mean() > 0.999, (scene.id, frame.name, k)
                assert 0 <= share <= 1
                checked += 1
    assert checked > 100


def test_most_objects_are_seen(rooms: list[Scene]) -> None:
    seen = sum(len(set().union(*(frame.visible for frame in scene.frames))) for scene in rooms)
    assert seen > 0.85 * sum(len(scene.objects) for scene in rooms)


def test_share_counts_occlusion_and_the_picture_s_edge() -> None:
    scene = make_room(2)
    checked = 0
    for frame in scene.frames:
        for k, share in frame.visible.items():
            uv, z = project(
                transform_points(
                    np.linalg.inv(frame.T_world_camera), box_corners(scene.objects[k].box[None])[0]
                ),
                frame.intrinsics,
            )
            whole = (z > 0.1).all() and (uv >= 0).all() and (uv <= (frame.width, frame.height)).all()
            if not whole:
                continue
            alone = pixels_alone(2, k)[int(frame.name)]
            assert share == pytest.approx((load_instances(frame) == k + 1).sum() / alone, abs=1e-9)
            checked += 1
    assert checked >= 2


def pixels_alone(seed: int, index: int) -> list[int]:
    """Pixels of object ``index`` of a room in each frame when all other furniture is taken away."""
    config = RoomConfig()
    plan = plan_room(seed, config)
    parts = world_parts([plan.layout.placed[index]])
    pictures = render(parts, plan.shell, plan.T_world_cameras, plan.K, config.width, config.height)
    return [int((picture == 1).sum()) for picture in pictures.instances]


def test_eyes_are_hand_held_and_outside_of_objects(rooms: list[Scene]) -> None:
    for scene in rooms:
        for frame in scene.frames:
            x, y, z = frame.T_world_camera[:3, 3]
            assert 1.2 < z < 1.75
            forward = frame.T_world_camera[:3, 2]
            assert 5 < np.degrees(np.arcsin(-forward[2])) < 30, "the camera looks slightly down"
            for item in scene.objects:
                if item.box[2] - item.box[5] / 2 < 0.01:  # on the floor
                    area = rect(item.box[0], item.box[1], item.box[3] / 2, item.box[4] / 2, item.box[6])
                    assert area.distance(x, y) > 0.1


def test_a_seed_gives_the_same_arrays_whatever_was_made_before() -> None:
    first = make_room(5)
    make_room(11)
    again = make_room(5, RoomConfig())
    threaded = list(iter_rooms([4, 5, 6], workers=2))[1]
    for other in (again, threaded):
        assert [astuple(e) for e in other.expressions] == [astuple(e) for e in first.expressions]
        for a, b in zip(first.frames, other.frames, strict=True):
            np.testing.assert_array_equal(load_rgb(a), load_rgb(b))
            np.testing.assert_array_equal(load_depth(a), load_depth(b))
            np.testing.assert_array_equal(a.T_world_camera, b.T_world_camera)
            assert a.visible == b.visible
    assert any(
        not np.array_equal(load_rgb(a), load_rgb(b))
        for a, b in zip(first.frames, make_room(6).frames, strict=True)
    )


def test_furniture_does_not_depend_on_the_pictures() -> None:
    small, large = make_room(3), make_room(3, RoomConfig(frames=2, width=64, height=48))
    for a, b in zip(small.objects, large.objects, strict=True):
        np.testing.assert_array_equal(a.box, b.box)
        assert (a.label, a.attributes) == (b.label, b.attributes)


def test_iter_rooms_keeps_the_order() -> None:
    assert [scene.id for scene in iter_rooms([9, 2, 5, 1, 7], RoomConfig(frames=1), workers=2)] == [
        f"rooms-{seed}" for seed in (9, 2, 5, 1, 7)
    ]


def test_labels_restrict_the_furniture() -> None:
    config = RoomConfig(frames=1, labels=CATE8, min_objects=2, max_objects=5)
    assert {item.label for seed in range(12) for item in make_room(seed, config).objects} <= set(CATE8)
    only = make_room(1, RoomConfig(frames=1, labels=("monitor",), min_objects=2, max_objects=2))
    assert [item.label for item in only.objects] == ["monitor", "monitor"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"labels": ("chair", "sofa")}, "sofa"),
        ({"labels": ()}, "at least one"),
        ({"labels": ("chair", "chair")}, "distinct"),
        ({"frames": 0}, "RoomConfig.frames"),
        ({"min_objects": 5, "max_objects": 4}, "max_objects"),
        ({"fov_deg": 200.0}, "fov_deg"),
    ],
)
def test_bad_configs_are_refused(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RoomConfig(**kwargs)  # type: ignore[arg-type]


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="seed"):
        make_room(-1)


def test_gap_is_the_distance_between_rectangles() -> None:
    a, b = rect(0, 0, 1, 0.5, 0.0), rect(3, 0, 1, 0.5, 0.0)
    assert gap(a, b) == pytest.approx(1.0) and apart(a, b, 0.99) and not apart(a, b, 1.01)
    turned = rect(0, 3, 1, 1, np.pi / 4)
    assert gap(a, turned) == pytest.approx(3 - np.sqrt(2) - 0.5)
    assert gap(a, rect(0.5, 0.2, 0.2, 0.2, 1.0)) == 0.0


def test_every_part_kind_is_drawn() -> None:
    shapes = {part.shape for label in CATE20 for part in build(label, Random(1)).parts}
    assert shapes == {0, 1, 2} and CUBOID == 0
