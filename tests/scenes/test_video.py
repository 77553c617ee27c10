"""Video in, few frames out: which frames, which way up, and what is said of files that can't be read."""

from __future__ import annotations

import builtins
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.scenes.videos import picture, write_clip, write_sound

from rft3d.scenes.clips import Clip, ClipSampling, read_clip, read_video, write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``v.mp4``: 24 frames, four a second, a keyframe every six."""
    made = tmp_path_factory.mktemp("videos")
    write_clip(made / "v.mp4")
    return made


def levels(clip: Clip) -> list[int]:
    """Which frames the pixels are, by the grey of their lower right corner."""
    return [round(float(frame[-8:, -8:].mean()) / 8) for frame in clip.frames]


@pytest.mark.parametrize(
    ("sampling", "indices", "words"),
    [
        (ClipSampling(4), (0, 7, 15, 23), "spread over 0.00 to 5.75 s"),
        (ClipSampling(4, every_s=1.0), (0, 4, 8, 12), "one frame every 1 s from 0.00 s on"),
        (ClipSampling(3, every_s=0.5, start_s=2.0), (8, 10, 12), "one frame every 0.5 s from 2.00 s on"),
        (ClipSampling(3, start_s=1.0, end_s=3.0), (4, 8, 12), "spread over 1.00 to 3.00 s"),
        (ClipSampling(4, every_s=3.0), (0, 7, 15, 23), "too short"),
        (ClipSampling(24), tuple(range(24)), "spread"),
    ],
)
def test_the_frames_that_the_benchmark_would_take(
    folder: Path, sampling: ClipSampling, indices: tuple[int, ...], words: str
) -> None:
    clip = read_clip(folder / "v.mp4", sampling)
    assert clip.indices == indices and clip.total == 24
    assert levels(clip) == list(indices), "the pixels are those of the frames that were chosen"
    assert clip.times_s == tuple(index / 4 for index in indices)
    assert words in clip.sampling and clip.notes == ()
    assert clip.size == (96, 64) and clip.frames[0].shape == (64, 96, 3) and clip.scale == 1.0


@pytest.mark.parametrize("name", ["v.mkv", "v.webm", "v.avi", "v.ts"])
def test_other_containers_and_codecs_give_the_same_frames(tmp_path: Path, name: str) -> None:
    codec = {"v.webm": "libvpx-vp9", "v.avi": "mpeg4"}.get(name, "libx264")
    clip = read_clip(write_clip(tmp_path / name, codec=codec), ClipSampling(3, start_s=2.0))
    assert clip.indices == (8, 15, 23) and levels(clip) == [8, 15, 23]


def test_one_frame(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "one.mp4", frames=1), ClipSampling(4, every_s=1.0))
    assert clip.indices == (0,) and clip.total == 1
    assert clip.notes == ("4 frames were asked for, 1 could be chosen",)


@pytest.mark.parametrize(("turn", "corner"), [(90, (-4, 4)), (180, (-4, -4)), (270, (4, -4))])
def test_a_turned_video_is_shown_upright(tmp_path: Path, turn: int, corner: tuple[int, int]) -> None:
    """The white upper left quarter goes, counter-clockwise, to the lower left, lower right, upper right."""
    clip = read_clip(write_clip(tmp_path / "t.mp4", turn=turn))
    portrait = turn != 180
    assert clip.size == ((64, 96) if portrait else (96, 64))
    frame = clip.frames[0]
    assert frame.shape[:2] == clip.size[::-1]
    others = [(y, x) for y in (4, -4) for x in (4, -4) if (y, x) != corner]
    assert frame[corner].mean() > 240 and all(frame[other].mean() < 20 for other in others)
    assert any("portrait" in note for note in clip.notes) == portrait


def test_a_long_video_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "long.mp4", frames=3000, width=64, height=48, fps=25, keys_every=250)
    tracemalloc.start()
    clip = read_clip(path, ClipSampling(8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.total == 3000 and clip.indices[-1] == 2999
    assert peak < 3e6, f"{peak} bytes for 8 frames of 9 kB; all frames would be 28 MB"


def test_only_what_is_needed_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import rft3d.scenes.clips._video as module

    path = write_clip(tmp_path / "v.mp4", frames=240, keys_every=10)
    counted = 0
    sound = module._sound_frames

    def counting(*args: Any) -> Any:
        nonlocal counted
        for item in sound(*args):
            counted += 1
            yield item

    monkeypatch.setattr(module, "_sound_frames", counting)
    assert read_video(path, ClipSampling(3)).indices == (0, 119, 239)
    assert counted <= 3 * (10 + 5), "a keyframe interval a chosen frame, not 240 frames"


def test_large_frames_are_made_smaller(tmp_path: Path) -> None:
    clip = read_clip(write_clip(tmp_path / "big.mp4", frames=2, width=2560, height=1280))
    assert clip.size == (2560, 1280) and clip.frames[0].shape == (960, 1920, 3) and clip.scale == 0.75


def broken(folder: Path, kind: str) -> Path:
    whole = (folder / "v.mp4").read_bytes()
    path = folder / f"{kind}.mp4"
    if kind == "codec":
        path.write_bytes(whole.replace(b"avc1", b"zzzz"))
    elif kind == "sound":
        write_sound(path)
    elif kind == "small":
        write_clip(path, width=20, height=20)
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello\n" * 50}[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut", "cannot be read as a video .* cut off"),
        ("empty", "cannot be read as a video"),
        ("text", "cannot be read as a video"),
        ("codec", "no decoder for the video; convert it first"),
        ("sound", "holds no video, only audio"),
        ("small", "is 20x20; frames need at least 28 pixels a side"),
    ],
)
def test_what_cannot_be_read_says_why(folder: Path, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_clip(broken(folder, kind))


def test_damage_in_the_middle_names_the_time_and_spares_the_rest(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "v.mp4", frames=60)
    data = bytearray(path.read_bytes())
    body = data.index(b"mdat")
    first, last = body + (data.index(b"moov") - body) // 3, body + (data.index(b"moov") - body) // 2
    data[first:last] = np.random.default_rng(0).integers(0, 256, last - first, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"the frame at \d+\.\d\d s is damaged .* --start and --end"):
        read_clip(path, ClipSampling(60))
    clip = read_clip(path, ClipSampling(3, start_s=12.0))
    assert levels(clip) == [round(8 * index % 200 / 8) for index in clip.indices]


def test_a_file_that_ends_early_is_read_with_a_note(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "v.mkv", frames=60)
    path = tmp_path / "half.mkv"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clip = read_clip(path, ClipSampling(3))
    assert 10 < clip.total < 50 and "the file says 15.0 s but holds" in clip.notes[0]
    assert read_clip(whole).notes == ()


def test_raw_streams_and_empty_spans_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"raw\.h264 cannot be read as a video"):
        read_clip(write_clip(tmp_path / "raw.h264"))
    with pytest.raises(ValueError, match=r"is 5\.8 s long; nothing lies between start=9 s and end=its end"):
        read_clip(folder / "v.mp4", ClipSampling(start_s=9.0))


def test_a_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "av":
            raise ModuleNotFoundError("No module named 'av'", name="av")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ModuleNotFoundError) as caught:
        read_clip(folder / "v.mp4")
    assert caught.value.name == "av"


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    frames = [picture(index, 63, 47) for index in range(5)]
    path = write_video(tmp_path / "out" / "w.mp4", iter(frames), fps=2.0)
    clip = read_clip(path, ClipSampling(5))
    assert clip.size == (62, 46) and clip.times_s == (0.0, 0.5, 1.0, 1.5, 2.0)
    assert levels(clip) == [0, 1, 2, 3, 4]
    assert [p.name for p in path.parent.iterdir()] == ["w.mp4"], "no temporary file stays"
    with pytest.raises(ValueError, match="no frames to write"):
        write_video(tmp_path / "none.mp4", [])
    assert not (tmp_path / "none.mp4").exists()
