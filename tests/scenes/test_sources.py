"""Contracts of every source of scenes, and of references to their frames."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rft3d.scenes import (
    SOURCES,
    RoomConfig,
    Scene,
    frame_refs,
    load_depth,
    load_frame_ref,
    load_instances,
    load_rgb,
    make_room,
    open_scenes,
    read_posed_clip,
    validate_scene,
    write_scene,
)

from .clips import write_clip
from .published import (
    write_infos,
    write_media,
    write_meta,
    write_mmdet3d,
)

BOXES_ONLY = ("vsi_meta", "mmdet3d")
SMALL = RoomConfig(frames=2, width=56, height=42)


@pytest.fixture(params=sorted(SOURCES))
def scenes(request: pytest.FixtureRequest, tmp_path: Path) -> list[Scene]:
    """A few scenes of each source; a new source needs a line here."""
    write_scene(make_room(1, SMALL), tmp_path / "folders" / "a")
    write_scene(make_room(2, SMALL), tmp_path / "folders" / "b")
    make: dict[str, Callable[[], list[Scene]]] = {
        "rooms": lambda: list(SOURCES["rooms"](range(3), SMALL)),
        "folder": lambda: [
            *SOURCES["folder"](tmp_path / "folders"),
            *SOURCES["folder"](write_clip(tmp_path / "clip")),
        ],
        "embodiedscan": lambda: list(
            SOURCES["embodiedscan"](write_infos(write_media(tmp_path / "media") / "infos.pkl"))
        ),
        "mmdet3d": lambda: list(SOURCES["mmdet3d"](write_mmdet3d(tmp_path / "infos.pkl"))),
        "vsi_meta": lambda: list(SOURCES["vsi_meta"](write_meta(tmp_path / "scannet_meta_info_val.json"))),
    }
    return make[request.param]()


def test_scenes_of_every_source_are_valid_and_load(scenes: list[Scene]) -> None:
    assert scenes
    for scene in scenes:
        assert validate_scene(scene, frames=scene.source not in BOXES_ONLY) is scene
        assert scene.objects
        assert scene.expressions or scene.source not in ("rooms", "folder", "posed_clip")
        for frame in scene.frames:
            assert load_rgb(frame).shape == (frame.height, frame.width, 3)
            if frame.depth is not None:
                assert load_depth(frame).dtype == np.float32
            if frame.instances is not None:
                assert load_instances(frame).max() <= max(item.id for item in scene.objects) + 1


def test_frame_references_lead_back_to_the_picture(scenes: list[Scene], tmp_path: Path) -> None:
    for scene in scenes:
        refs = frame_refs(scene, tmp_path)
        assert len(set(refs)) == len(refs) == len(scene.frames)
        for ref, frame in zip(refs, scene.frames, strict=True):
            assert not os.path.isabs(ref)
            np.testing.assert_array_equal(load_frame_ref(ref, tmp_path, SMALL), load_rgb(frame))


def test_room_references_name_seed_and_index() -> None:
    assert frame_refs(make_room(12, SMALL)) == ("rooms:12/0", "rooms:12/1")
    with pytest.raises(ValueError, match="2 frames"):
        load_frame_ref("rooms:12/2", config=SMALL)
    with pytest.raises(ValueError, match="no picture"):
        load_frame_ref("rgb/nowhere.png", "/nonexistent")


def test_pictures_in_memory_have_no_reference() -> None:
    scene = replace(make_room(1, SMALL), source="elsewhere")
    with pytest.raises(ValueError, match="write_scene"):
        frame_refs(scene)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no scene\.json"):
        list(SOURCES["folder"](tmp_path))


def _with_pose(scene: Scene, T: np.ndarray) -> Scene:
    return replace(scene, frames=(replace(scene.frames[0], T_world_camera=T), *scene.frames[1:]))


def _with_object(scene: Scene, **changes: object) -> Scene:
    return replace(scene, objects=(replace(scene.objects[0], **changes), *scene.objects[1:]))  # type: ignore[arg-type]


def _broken(kind: str) -> Scene:
    scene = make_room(1, SMALL)
    T = scene.frames[0].T_world_camera
    box = scene.objects[0].box
    changes: dict[str, Callable[[], Scene]] = {
        "left-handed": lambda: _with_pose(scene, T @ np.diag([-1.0, 1, 1, 1])),
        "not rigid": lambda: _with_pose(scene, T @ np.diag([1.1, 1.1, 1.1, 1])),
        "last row": lambda: _with_pose(scene, np.concatenate([T[:3], [[0, 0, 0.1, 1]]])),
        "positive metres": lambda: _with_object(scene, box=box * [1, 1, 1, 1, -1, 1, 1, 1, 1]),
        "finite": lambda: _with_object(scene, box=np.where(np.arange(9) == 2, np.nan, box)),
        "label is empty": lambda: _with_object(scene, label=" "),
        "id occurs twice": lambda: _with_object(scene, id=1),
        "visible names object 99": lambda: replace(
            scene, frames=(replace(scene.frames[0], visible={99: 0.5}), *scene.frames[1:])
        ),
        "share in": lambda: replace(
            scene, frames=(replace(scene.frames[0], visible={0: 1.5}), *scene.frames[1:])
        ),
        "target 99": lambda: replace(scene, expressions=(replace(scene.expressions[0], target=99),)),
        "best_frame": lambda: replace(scene, expressions=(replace(scene.expressions[0], best_frame=7),)),
        "two frames are named": lambda: replace(scene, frames=(scene.frames[0], scene.frames[0])),
        "file-name safe": lambda: replace(scene, frames=(replace(scene.frames[0], name="../x"),)),
        "at least one": lambda: replace(scene, frames=()),
        "fx, fy > 0": lambda: replace(
            scene, frames=(replace(scene.frames[0], intrinsics=np.diag([-1.0, 1, 1])),)
        ),
        "counter-clockwise": lambda: replace(
            scene, floor_polygon=None if scene.floor_polygon is None else scene.floor_polygon[::-1]
        ),
    }
    return changes[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "left-handed", "not rigid", "last row", "positive metres", "finite", "label is empty",
        "id occurs twice", "visible names object 99", "share in", "target 99", "best_frame",
        "two frames are named", "file-name safe", "at least one", "fx, fy > 0", "counter-clockwise",
    ],
)  # fmt: skip
def test_unsound_scenes_are_refused_with_a_reason(kind: str) -> None:
    with pytest.raises(ValueError, match=kind) as caught:
        validate_scene(_broken(kind))
    assert "rooms-1" in str(caught.value)


@pytest.mark.skipif("RFT3D_REAL_CLIP" not in os.environ, reason="RFT3D_REAL_CLIP names no clip")
def test_a_real_clip_reads() -> None:
    scene = read_posed_clip(os.environ["RFT3D_REAL_CLIP"])
    assert len(scene.frames) > 1 and scene.objects
    frame = scene.frames[len(scene.frames) // 2]
    assert load_rgb(frame).std() > 5
    depth = load_depth(frame)
    assert 0.2 < np.median(depth[depth > 0]) < 10
    for e in scene.expressions:
        assert e.best_frame is not None
        assert e.target in scene.frames[e.best_frame].visible


def test_one_opener_takes_everything_that_holds_scenes(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_scene(make_room(seed, SMALL), tmp_path / "out" / "scenes" / f"rooms-{seed}")
    clip = write_clip(tmp_path / "clip")
    both = ["rooms-1", "rooms-2"]
    opened = {
        tmp_path / "out": both,  # what rft3d rooms writes
        tmp_path / "out" / "scenes": both,
        tmp_path / "out" / "scenes" / "rooms-2": ["rooms-2"],
        clip: ["clip_000"],
        "rooms:2": ["rooms-2"],
        "rooms:1-2": both,
    }
    for source, ids in opened.items():
        assert [scene.id for scene in open_scenes(source, SMALL)] == ids, source


def test_what_holds_no_scene_is_told_what_would(tmp_path: Path) -> None:
    (tmp_path / "walk.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="no true boxes; give a scene folder"):
        list(open_scenes(tmp_path / "walk.mp4"))
    with pytest.raises(FileNotFoundError, match="give a scene folder, a posed clip"):
        list(open_scenes(tmp_path / "gone"))
    with pytest.raises(ValueError, match="write rooms:1-3"):
        open_scenes("rooms:3-1")
