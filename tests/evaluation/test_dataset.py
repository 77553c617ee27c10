"""A folder of questions: complete or absent, and its gold answers earn full marks from the files alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rft3d.evaluation import (
    Prediction,
    load_frames,
    score_predictions,
    summarise,
    write_dataset,
)
from rft3d.evaluation.score import ScoreConfig
from rft3d.report.samples import Cameras, boxes_in_world, read_cameras
from rft3d.scenes import Scene, load_rgb, make_room, read_scene
from rft3d.tasks import TASKS, make_task, read_samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "rooms"
    counts = write_dataset((make_room(seed) for seed in range(3)), out)
    assert set(counts) == set(TASKS) and min(counts.values()) > 0
    return out


@pytest.mark.parametrize("name", list(TASKS))
def test_gold_from_the_files_earns_full_marks(folder: Path, name: str) -> None:
    task = make_task(name)
    samples = list(read_samples(folder / f"samples.{name}.jsonl"))
    predictions = [Prediction(sample.id, task.gold(sample)) for sample in samples]
    result = summarise(score_predictions(task, samples, predictions), ScoreConfig(resamples=5))
    assert result.scenes == 3
    assert result.parse_failures.count == 0
    best = {
        "detection": "f1@0.25/present",
        "grounding": "acc@0.5",
        "spatial": "micro",
        "captioning": "rouge_l@0.5",
    }[name]
    assert result.metrics[best] == 1.0


def test_pictures_and_cameras_are_the_scenes(folder: Path) -> None:
    room = make_room(1)
    sample = next(s for s in read_samples(folder / "samples.detection.jsonl") if s.scene == room.id)
    for picture, frame in zip(load_frames(sample, folder), room.frames, strict=True):
        assert np.array_equal(picture, load_rgb(frame))
    cameras, problem = read_cameras(sample)
    assert isinstance(cameras, Cameras) and problem == ""
    assert cameras.T_world_camera == pytest.approx(np.stack([f.T_world_camera for f in room.frames]))
    assert pytest.approx(np.stack([f.intrinsics for f in room.frames])) == cameras.K
    assert len(read_scene(folder / "scenes" / room.id).frames) == len(room.frames)


def test_a_grounded_box_is_the_same_box_from_every_frame(folder: Path) -> None:
    """The report moves a frame's box to the world by the poses in meta."""
    task = TASKS["grounding"](decimals=9)
    samples = list(read_samples(folder / "samples.grounding.jsonl"))
    late = next(s for s in samples if s.truth["frame"] > 0)
    cameras, _ = read_cameras(late)
    assert cameras is not None
    boxes, _ = boxes_in_world(task.parse(task.gold(late), late), cameras)
    assert boxes is not None
    assert boxes[0].box[:3] == pytest.approx(late.truth["box_world"][:3], abs=1e-6)


def test_nothing_is_left_of_a_run_that_fails(tmp_path: Path) -> None:
    def broken() -> Iterator[Scene]:
        yield make_room(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(broken(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_used_folder_is_refused_and_depth_can_be_left_out(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()  # an empty folder is fine
    tasks = {"detection": make_task("detection")}
    write_dataset([make_room(0)], out, tasks=tasks, with_depth=False, file_name="{task}.samples.jsonl")
    assert sorted(p.name for p in out.iterdir()) == ["detection.samples.jsonl", "scenes"]
    assert not list(out.rglob("depth"))
    with pytest.raises(FileExistsError, match="not an empty folder"):
        write_dataset([make_room(0)], out)


def test_a_relative_folder_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_dataset([make_room(3)], Path("some/data"), seed=0)
    made = tmp_path / "some" / "data"
    samples = [s for task in TASKS for s in read_samples(next(made.glob(f"*{task}*.jsonl")))]
    assert samples and all((made / frame).is_file() for s in samples for frame in s.frames)
