"""The page of one clip: boxes where they belong, nothing executed, files that open."""

from __future__ import annotations

import builtins
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rft3d.evaluation.infer import clip_answer, detection_question, grounding_question, infer
from rft3d.prompts import Generation
from rft3d.report.clip_page import top_view, write_clip_report
from rft3d.report.draw import tile
from rft3d.scenes.clips import Clip, ClipSampling, read_clip, with_fov

BOX = '{"label": "chair", "bbox_3d": [0, 0, 2, 1, 1, 1, 0, 0, 0]}'


class Says:
    def __init__(self, text: str) -> None:
        self.text = text

    def sample_texts(self, *_: Any, **__: Any) -> list[list[Generation]]:
        return [[Generation(self.text, False, 5)]]


@pytest.fixture
def clip() -> Clip:
    """Three grey frames without a camera."""
    grey = tuple(np.full((60, 80, 3), 40 * (i + 1), np.uint8) for i in range(3))
    return Clip("grey", grey, (0, 5, 10), 11, (0.0, 0.5, 1.0), (80, 60), 1.0, "spread")


def write(clip: Clip, out: Path, text: str = f"[{BOX}]") -> tuple[dict[str, str], str]:
    found = infer(Says(text), clip, detection_question(clip))
    files = write_clip_report(clip_answer(found, clip, "m@1"), out)
    return files, (out / "index.html").read_text(encoding="utf-8")


def coloured(path: Path) -> int:
    """Pixels that are not grey: what was drawn."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.ptp(pixels, axis=-1) > 60).sum())


def frames(out: Path) -> list[int]:
    return [coloured(path) for path in sorted((out / "frames").iterdir())]


def test_without_a_camera_nothing_is_drawn_and_it_says_so(clip: Clip, tmp_path: Path) -> None:
    files, page = write(clip, tmp_path)
    assert frames(tmp_path) == [0, 0, 0] and "the camera is unknown" in page
    assert set(files) == {"page", "record", "sheet", "top"}
    assert coloured(tmp_path / "top.png") > 100
    saved = json.loads((tmp_path / "answer.json").read_text())
    assert saved["boxes"][0]["label"] == "chair" and saved["files"] == files


def test_a_given_camera_draws_into_the_boxes_own_frame(clip: Clip, tmp_path: Path) -> None:
    files, page = write(with_fov(clip, 60.0), tmp_path)
    drawn = frames(tmp_path)
    assert drawn[0] > 500 and drawn[1:] == [0, 0]
    assert "Boxes are drawn in frame 0 only" in page and "video" not in files


def test_poses_draw_into_every_frame_and_make_a_video(clip: Clip, tmp_path: Path) -> None:
    poses = np.repeat(np.eye(4)[None], 3, axis=0)
    poses[1:, 0, 3] = 0.2, 0.4
    files, page = write(replace(with_fov(clip, 60.0), T_world_camera=poses), tmp_path)
    assert all(count > 500 for count in frames(tmp_path)) and "moved by the clip" in page
    video = read_clip(files["video"], ClipSampling(3))
    assert video.total == 3 and video.times_s == (0.0, 0.5, 1.0)


def test_without_pyav_there_is_no_video_but_everything_else(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ModuleNotFoundError("No module named 'av'", name="av")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    poses = np.repeat(np.eye(4)[None], 3, axis=0)
    files, page = write(replace(with_fov(clip, 60.0), T_world_camera=poses), tmp_path)
    assert "video" not in files and "pip install" in page and ".[video]" in page


def test_texts_of_the_model_are_not_markup(clip: Clip, tmp_path: Path) -> None:
    evil = '[{"label": "<script>alert(1)</script>", "bbox_3d": [0, 0, 2, 1, 1, 1, 0, 0, 0]}]'
    _, page = write(with_fov(clip, 60.0), tmp_path, evil)
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_unreadable_answers_still_make_a_page(clip: Clip, tmp_path: Path) -> None:
    files, page = write(clip, tmp_path, "no idea")
    assert "unreadable" in page and "no boxes" in page and "top" not in files


@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_the_contact_sheet_holds_every_frame(count: int) -> None:
    pictures = [np.full((30, 40, 3), 100 + i, np.uint8) for i in range(count)]
    sheet = tile(pictures, [f"{i} s" for i in range(count)], min(count, 6), 1600)
    middles = {
        int(sheet[y + 25, x + 30, 0])
        for y in range(0, sheet.shape[0], 30)
        for x in range(0, sheet.shape[1], 40)
    }
    assert {100 + i for i in range(count)} <= middles


def test_the_view_from_above_stands_far_boxes_and_wild_ones(clip: Clip) -> None:
    text = '{"frame": 1, "bbox_3d": [1e300, 0, -1e300, 1, 1, 1, 0, 0, 0]}'
    found = infer(Says(text), clip, grounding_question(clip, "the \u202e chair"))
    assert top_view(found, clip).shape[2] == 3
