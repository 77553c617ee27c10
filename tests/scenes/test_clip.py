"""Folders as clips, sampling, and cameras that somebody gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.scenes.clips import write_clip as write_posed_clip
from tests.scenes.videos import picture

from rft3d.scenes import RoomConfig, make_room, write_scene
from rft3d.scenes.clips import ClipSampling, read_clip, spread_indices, with_fov, with_intrinsics


def pictures(folder: Path, names: list[str], size: tuple[int, int] = (64, 48)) -> Path:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(picture(index, *size)).save(folder / name)
    return folder


def test_spread_indices_are_the_harness_own() -> None:
    assert spread_indices(3, 32) == [0, 1, 2]
    assert spread_indices(100, 4) == [0, 33, 66, 99]
    assert spread_indices(100, 32) == np.linspace(0, 99, 32).astype(int).tolist()
    assert spread_indices(5, 1) == [0]


def test_pictures_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "room", ["f2.png", "f10.png", "f1.png"])
    clip = read_clip(folder, ClipSampling(3))
    assert [int(frame[-1, -1, 0]) // 8 for frame in clip.frames] == [2, 0, 1]
    assert clip.K is None and clip.T_world_camera is None and clip.times_s is None
    assert clip.name == "room" and clip.names == ("picture 0", "picture 1", "picture 2")


def test_a_picture_is_a_clip_of_one_frame_turned_by_its_tag(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(picture(0, 64, 48)).save(tmp_path / "p.png", exif=exif)
    clip = read_clip(tmp_path / "p.png")
    assert clip.size == (48, 64) and clip.sampling == "one picture"
    assert clip.frames[0][4, -4].mean() > 240, "the white quarter stands in the upper right"


def test_a_scene_folder_knows_its_cameras(tmp_path: Path) -> None:
    scene = make_room(1, RoomConfig(frames=5, width=84, height=56, max_objects=3))
    clip = read_clip(write_scene(scene, tmp_path / "scene"), ClipSampling(3))
    assert clip.indices == (0, 2, 4) and clip.name == scene.id
    assert clip.K is not None and clip.T_world_camera is not None
    for place, index in enumerate(clip.indices):
        np.testing.assert_allclose(clip.K[place], scene.frames[index].intrinsics)
        np.testing.assert_allclose(clip.T_world_camera[place], scene.frames[index].T_world_camera)


def test_a_posed_clip_is_read_by_its_own_reader(tmp_path: Path) -> None:
    clip = read_clip(write_posed_clip(tmp_path / "clip"), ClipSampling(2))
    assert clip.T_world_camera is not None and clip.T_world_camera.shape == (len(clip.frames), 4, 4)


def test_what_is_no_clip_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing at .*; give a video"):
        read_clip(tmp_path / "absent.mp4")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match=r"neither a scene\.json nor pictures"):
        read_clip(empty)
    (empty / "v.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"it holds videos, give one of them: v\.mp4"):
        read_clip(empty)
    folder = pictures(tmp_path / "mixed", ["a.png"])
    pictures(folder, ["b.png"], (32, 48))
    with pytest.raises(ValueError, match=r"b\.png is 32x48 but a\.png is 64x48; all frames"):
        read_clip(folder)
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"bad\.jpg cannot be read"):
        read_clip(tmp_path / "bad.jpg")


def test_given_cameras_are_scaled_with_the_frames(tmp_path: Path) -> None:
    clip = read_clip(pictures(tmp_path / "big", ["a.png"], (2560, 1280)))
    assert clip.scale == 0.75
    known = with_intrinsics(clip, 2000.0, 2000.0, 1280.0, 640.0)
    assert known.K is not None
    np.testing.assert_allclose(known.K[0], [[1500, 0, 960], [0, 1500, 480], [0, 0, 1]])
    guessed = with_fov(clip, 90.0)
    assert guessed.K is not None
    np.testing.assert_allclose(guessed.K[0], [[960, 0, 960], [0, 960, 480], [0, 0, 1]])


@pytest.mark.parametrize(
    ("values", "message"),
    [((-1, 1, 10, 10), "positive pixels"), ((50, 50, 500, 10), r"outside the 64x48 picture")],
)
def test_impossible_cameras_are_refused(
    tmp_path: Path, values: tuple[float, float, float, float], message: str
) -> None:
    clip = read_clip(pictures(tmp_path / "p", ["a.png"]))
    with pytest.raises(ValueError, match=message):
        with_intrinsics(clip, *values)
    with pytest.raises(ValueError, match="between 0 and 180"):
        with_fov(clip, 180.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frames": 0}, "frames must be at least 1"),
        ({"every_s": 0.0}, "every_s must be above 0"),
        ({"start_s": -1.0}, "start_s must be at least 0"),
        ({"start_s": 2.0, "end_s": 1.0}, "end must lie after start=2 s"),
    ],
)
def test_impossible_samplings_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipSampling(**fields)  # type: ignore[arg-type]
