"""Our scene folder and the posed RGB-D clip: round trips, and complaints that name file, field and value."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rft3d.scenes import (
    RoomConfig,
    load_depth,
    load_instances,
    load_rgb,
    make_room,
    read_posed_clip,
    read_scene,
    write_scene,
)

from .clips import clip_data, write_clip

SMALL = RoomConfig(frames=2, width=56, height=42)


def test_a_scene_survives_the_folder(tmp_path: Path) -> None:
    scene = make_room(4, SMALL)
    again = read_scene(write_scene(scene, tmp_path / "room"))
    assert (again.id, again.source) == (scene.id, scene.source)
    assert [astuple(e) for e in again.expressions] == [astuple(e) for e in scene.expressions]
    assert scene.floor_polygon is not None and again.floor_polygon is not None
    np.testing.assert_array_equal(again.floor_polygon, scene.floor_polygon)
    for a, b in zip(scene.objects, again.objects, strict=True):
        assert (a.id, a.label, a.attributes) == (b.id, b.label, b.attributes)
        np.testing.assert_array_equal(a.box, b.box)
    for a, b in zip(scene.frames, again.frames, strict=True):
        assert isinstance(b.rgb, Path), "pictures stay files until they are asked for"
        np.testing.assert_array_equal(a.T_world_camera, b.T_world_camera)
        np.testing.assert_array_equal(a.intrinsics, b.intrinsics)
        np.testing.assert_array_equal(load_rgb(a), load_rgb(b))
        np.testing.assert_array_equal(load_instances(a), load_instances(b))
        np.testing.assert_allclose(load_depth(a), load_depth(b), atol=5.1e-4)
        assert a.visible == b.visible
    assert not [p for p in (tmp_path / "room").rglob("*") if p.name.endswith(".tmp")]


def test_optional_pictures_may_be_missing(tmp_path: Path) -> None:
    scene = make_room(4, SMALL)
    scene = replace(scene, frames=tuple(replace(f, depth=None, instances=None) for f in scene.frames))
    frame = read_scene(write_scene(scene, tmp_path)).frames[0]
    assert frame.depth is None and frame.instances is None
    with pytest.raises(ValueError, match="no depth"):
        load_depth(frame)


def test_pictures_of_the_wrong_size_are_refused(tmp_path: Path) -> None:
    frame = make_room(4, SMALL).frames[0]
    with pytest.raises(ValueError, match=r"rgb must have shape \(43, 56, 3\)"):
        load_rgb(replace(frame, height=43))


def test_depth_beyond_16_bits_is_refused(tmp_path: Path) -> None:
    scene = make_room(4, SMALL)
    far = replace(scene.frames[0], depth=np.full((42, 56), 70.0, dtype=np.float32))
    with pytest.raises(ValueError, match=r"65\.535"):
        write_scene(replace(scene, frames=(far,), expressions=()), tmp_path)


@pytest.mark.parametrize(
    ("way", "value", "message"),
    [
        (["format"], "other", r"format is 'other'; it must be one of 'rft3d-scene'"),
        (["version"], 2, "version is 2; it must be one of 1"),
        (["id"], "", "id is ''; it must be text that is not empty"),
        (["objects", 0, "box"], [1, 2, 3], r"object 0: box must be 9 finite numbers"),
        (["objects", 0, "box"], "big", r"objects\[0\].box"),
        (["objects", 0, "id"], True, r"objects\[0\].id is True; it must be a whole number"),
        (["objects", 0, "attributes"], {"colour": 3}, r"objects\[0\].attributes"),
        (["objects", 0], 5, r"objects\[0\] is 5; it must be an object"),
        (["frames", 1, "rgb"], "rgb/none.png", r"frames\[1\].rgb is .*; it must be an existing file"),
        (["frames", 1, "rgb"], "../../secret.png", r"frames\[1\].rgb is .*; it must be a path inside"),
        (["frames", 0, "visible"], {"a": 1}, r"frames\[0\].visible"),
        (["frames", 0, "width"], 0, r"frame '000': width and height must be positive"),
        (["frames", 0, "T_world_camera"], [[1, 0], [0, 1]], r"frames\[0\].T_world_camera"),
        (["frames", 0, "T_world_camera", 0, 0], 9.0, "not rigid"),
        (["expressions", 0, "target"], 99, "target 99 is unknown"),
    ],
)
def test_damaged_folders_are_refused_with_field_and_value(
    tmp_path: Path, way: list[Any], value: Any, message: str
) -> None:
    write_scene(make_room(4, SMALL), tmp_path)
    file = tmp_path / "scene.json"
    data = json.loads(file.read_text())
    at = data
    for step in way[:-1]:
        at = at[step]
    at[way[-1]] = value
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message) as caught:
        read_scene(tmp_path)
    assert str(file) in str(caught.value)


def test_missing_fields_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file"):
        read_scene(tmp_path)
    (tmp_path / "scene.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        read_scene(tmp_path)
    (tmp_path / "scene.json").write_text('{"format": "rft3d-scene"}')
    with pytest.raises(ValueError, match=r"lacks the field 'version'"):
        read_scene(tmp_path)


def test_a_clip_reads_as_the_room_it_came_from(tmp_path: Path) -> None:
    scene = read_posed_clip(write_clip(tmp_path))
    _, room = clip_data()
    assert (scene.id, scene.source) == ("clip_000", "posed_clip")
    assert [astuple(e) for e in scene.expressions] == [astuple(e) for e in room.expressions]
    for a, b in zip(room.objects, scene.objects, strict=True):
        assert a.label == b.label
        np.testing.assert_allclose(a.box, b.box)
    for a, b in zip(room.frames, scene.frames, strict=True):
        np.testing.assert_allclose(a.T_world_camera, b.T_world_camera, atol=2e-6)
        R = b.T_world_camera[:3, :3]
        np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-12, err_msg="rounded poses become rigid again")
        np.testing.assert_array_equal(load_rgb(a), load_rgb(b))
        np.testing.assert_allclose(load_depth(a), load_depth(b), atol=1.1e-3)
        assert b.visible == pytest.approx(a.visible, abs=5.1e-4)


def test_a_clip_without_labels_reads(tmp_path: Path) -> None:
    data, _ = clip_data()
    bare = [{k: v for k, v in f.items() if k in ("index", "rgb", "camera_to_scene")} for f in data["frames"]]
    scene = read_posed_clip(write_clip(tmp_path, boxes=None, expressions=None, frames=bare))
    assert scene.objects == () and scene.expressions == () and scene.frames[0].depth is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth_scale": 0}, "depth_scale must be above 0"),
        ({"image_size": [60]}, r"image_size is \[60\]; it must be finite numbers of shape \[2\]"),
        ({"intrinsics": None}, "lacks the field 'intrinsics'|intrinsics is None"),
        ({"boxes": [{"id": 0, "label": "chair", "bbox_9dof": [0] * 9}]}, "positive metres"),
        ({"expressions": [{"text": "x", "target": 0, "best_frame": 44}]}, "best_frame must be the index"),
    ],
)
def test_damaged_clips_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_posed_clip(write_clip(tmp_path, **changes))
