"""Exports: the same boxes in every format, compared with the geometry code; hostile texts stay harmless."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.report.runs import HOSTILE, make_run

from rft3d.evaluation import load_frames
from rft3d.geometry import box_corners, invert_pose, matrix_from_euler_zxy, project, transform_points
from rft3d.report.card import write_card
from rft3d.report.draw import label_colour
from rft3d.report.exhibit import (
    Exhibit,
    OverlayStyle,
    Wanted,
    draw_frame,
    draw_sheet,
    exhibits,
    export_overlays,
    file_stem,
    look,
    of_answers,
    of_scene,
)
from rft3d.report.rerun_export import box_arrays, write_rerun
from rft3d.report.run_folder import read_run_folder
from rft3d.scenes import CATE20, RoomConfig, make_room
from rft3d.scenes.folder import write_scene


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="module")
def shown(run: Path) -> list[Exhibit]:
    return list(exhibits(run, Wanted(tasks=("detection",))))


# ---------------------------------------------------------------------------------- exhibits


def test_exhibits_hold_boxes_in_the_world(run: Path, shown: list[Exhibit]) -> None:
    assert [e.id for e in shown] == ["s0", "s1", "s2"]
    sample = read_run_folder(run, 1).tasks[0].samples[1]
    truth = np.array([row["bbox_3d"] for row in sample.truth["boxes"]])
    T = np.array(sample.meta["T_world_camera"])[0]
    expected = transform_points(T, box_corners(truth))
    found = box_corners(np.array([box.box for box in shown[1].true or ()]))
    assert found == pytest.approx(expected, abs=2e-4)
    good = shown[2].predicted["SFT"]
    assert [box.label for box in good] == ["chair", "table"]
    assert all(box.match is not None and box.iou is not None and box.iou > 0.9 for box in good)
    assert shown[0].predicted["SFT"] == [] and shown[0].texts["SFT"] == HOSTILE


def test_what_is_asked_for_is_shown(run: Path, tmp_path: Path) -> None:
    only = list(exhibits(run, Wanted(only=("rft_matched",), ids=("g1",))))
    assert [(e.id, list(e.predicted)) for e in only] == [("g1", ["SFT → RFT (matched reward)"])]
    assert len(list(exhibits(run, Wanted(tasks=("grounding",), limit=2)))) == 2
    for wrong in ({"tasks": ("nothing",)}, {"only": ("x",)}, {"ids": ("x",)}):
        with pytest.raises(ValueError, match="has no"):
            list(exhibits(run, Wanted(**wrong)))  # type: ignore[arg-type]
    room = make_room(3, RoomConfig(frames=2, width=84, height=56, max_objects=3))
    (scene,) = exhibits(write_scene(room, tmp_path / "scene"))
    assert [box.label for box in scene.true or ()] == [thing.label for thing in room.objects]
    assert scene.cloud is not None
    points, colours = scene.cloud
    assert len(points) == len(colours) > 300
    floor = points[:, 2].min()
    assert -0.05 < floor < 0.3, "depth becomes world points: nothing lies below the floor"


def test_pictures_without_cameras_are_shown_as_they_are(tmp_path: Path) -> None:
    room = make_room(3, RoomConfig(frames=3, width=84, height=56, max_objects=3))
    write_scene(room, tmp_path / "scene")
    pictures = next(
        path for path in (tmp_path / "scene").iterdir() if path.is_dir() and any(path.glob("*.png"))
    )
    (found,) = exhibits(pictures, Wanted(limit=2))
    assert found.cameras is None and found.true is None and len(found.pictures) == 2
    assert export_overlays([found], tmp_path / "out", OverlayStyle(width=84)) == 1 + 2
    with Image.open(next((tmp_path / "out").glob("*/*-000.png"))) as drawn:
        assert np.abs(np.asarray(drawn).astype(int) - found.pictures[0]).max() <= 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="nor pictures"):
        list(exhibits(tmp_path / "empty"))
    pytest.importorskip("rerun")
    assert write_rerun([found], tmp_path / "a.rrd") == 1
    entities, frames, _ = read_rerun(tmp_path / "a.rrd")
    assert "/world/camera/image" in entities and "/world/path" not in entities and frames == {0, 1}


# ---------------------------------------------------------------------------------- overlays


@pytest.mark.parametrize("frame", [0, 1])
def test_edges_are_drawn_where_the_geometry_code_projects_them(shown: list[Exhibit], frame: int) -> None:
    exhibit = shown[2]
    assert exhibit.cameras is not None
    style = OverlayStyle(width=168 * 4, labels=False)
    picture = draw_frame(exhibit, frame, None, style).astype(int)
    green = (picture[..., 1] > picture[..., 0] + 40) & (picture[..., 1] > picture[..., 2] + 20)
    for box in exhibit.true or ():
        corners = transform_points(
            invert_pose(exhibit.cameras.T_world_camera[frame]), box_corners(np.array([box.box]))[0]
        )
        uv, _ = project(corners, exhibit.cameras.K[frame])
        for u, v in uv * 4:
            if 4 <= u < picture.shape[1] - 4 and 4 <= v < picture.shape[0] - 4:
                assert green[int(v) - 3 : int(v) + 4, int(u) - 3 : int(u) + 4].any(), (box.label, u, v)


def test_colours_are_the_same_everywhere(shown: list[Exhibit]) -> None:
    assert shown[2].true
    true, hit = shown[2].true[0], shown[2].predicted["SFT"][0]
    assert look(true, True, "kind") == ("#18a558", False) and look(hit, False, "kind") == ("#ff7f0e", False)
    assert look(hit, False, "label")[0] == look(true, True, "label")[0] == label_colour("chair")
    assert look(true, True, "label")[1] and not look(true, True, "label", alone=True)[1]
    assert len({label_colour(label) for label in CATE20}) == len(CATE20)
    assert label_colour("a thing nobody knows") == label_colour("a thing nobody knows")


def test_sheet_and_frames_are_written(shown: list[Exhibit], tmp_path: Path) -> None:
    assert export_overlays([shown[1]], tmp_path, OverlayStyle(width=200)) == 1 + 2 * 2
    files = sorted((tmp_path / "s1").iterdir())
    assert len(files) == 2 * 2
    with Image.open(tmp_path / "s1.png") as sheet, Image.open(files[1]) as frame:
        assert sheet.size == (2 * 200, 2 * 133)
        assert frame.size == (200, 133)
    assert not list(tmp_path.rglob(".*"))


def test_video_has_every_frame(shown: list[Exhibit], tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    export_overlays([shown[2]], tmp_path, OverlayStyle(width=201), fps=2.5)
    with av.open(str(tmp_path / "s2" / "SFT.mp4")) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert float(stream.average_rate) == 2.5
    assert len(frames) == 2 and frames[0].shape == (134, 200, 3)
    expected = draw_frame(shown[2], 1, "SFT", OverlayStyle(width=201))[:134, :200]
    assert np.abs(frames[1].astype(int) - expected).mean() < 12


def test_hostile_labels_and_names(shown: list[Exhibit], run: Path, tmp_path: Path) -> None:
    task = read_run_folder(run, 1).tasks[0]
    sample = task.samples[0]
    text = '```json\n[\n\t{"label": "' + "x" * 90 + '", "bbox_3d": [0, 0, 2, 1, 1, -1, 0, 0, 0]}\n]```'
    pictures = load_frames(sample, task.file.parent)
    for answer in (text, HOSTILE, "[]"):
        found = of_answers(sample, pictures, {"SFT": (task.runs[0].scored.task, answer)})
        assert draw_sheet(found, OverlayStyle()).shape[2] == 3
    assert file_stem("../../etc/passwd\x00") == "etc_passwd" and file_stem("///") == "unnamed"


# ------------------------------------------------------------------------------ rerun


def test_rerun_boxes_are_the_same_solids(shown: list[Exhibit]) -> None:
    boxes = list(shown[1].true or ())
    arrays = box_arrays(boxes)
    for row, centre, half, (x, y, z, w) in zip(
        boxes, arrays["centers"], arrays["half_sizes"], arrays["quaternions"], strict=True
    ):
        R = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        assert pytest.approx(matrix_from_euler_zxy(row.box[6:]), abs=1e-9) == R
        assert centre == pytest.approx(row.box[:3]) and 2 * half == pytest.approx(row.box[3:6])
    assert box_arrays([])["centers"].shape == (0, 3)


def read_rerun(path: Path) -> tuple[set[str], set[int], dict[str, list[Any]]]:
    """Entities, values of the time line ``frame``, and the half sizes logged for each entity."""
    from rerun.chunk import RrdReader

    entities, frames, sizes = set(), set(), {}
    for chunk in RrdReader(path).stream():
        entities.add(chunk.entity_path)
        batch = chunk.to_record_batch()
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name == "frame":
                frames |= set(column.to_pylist())
            if name.endswith("half_sizes"):
                sizes.setdefault(chunk.entity_path, []).extend(column.to_pylist())
    return entities, frames, sizes


def test_rerun_recording_holds_everything(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    path = tmp_path / "out" / "run.rrd"
    assert write_rerun(exhibits(run, Wanted(limit=2)), path) == 4, "spatial questions here have no cameras"
    assert not list(path.parent.glob(".*"))
    entities, frames, sizes = read_rerun(path)
    assert {"/world/true", "/world/predicted/SFT", "/world/camera/image", "/world/path", "/texts"} <= entities
    assert frames == {0, 1}
    first = read_run_folder(run, 1).tasks[0].samples[0]
    found = np.array(next(row for row in sizes["/world/true"] if len(row or ()) == 2))
    expected = np.array([row["bbox_3d"][3:6] for row in first.truth["boxes"]]) / 2
    assert found == pytest.approx(expected, abs=1e-4), "sizes are not changed by the move to the world"
    with pytest.raises(ValueError, match="nothing to export"):
        write_rerun([], tmp_path / "none.rrd")
    assert not (tmp_path / "none.rrd").exists()


# ---------------------------------------------------------------------------------- model card


def test_the_card_says_what_the_files_say(run: Path) -> None:
    import json

    yaml = pytest.importorskip("yaml")
    path = write_card(run, "sft")
    assert path == run / "models" / "sft" / "README.md"
    text = path.read_text()
    front = yaml.safe_load(text.split("---")[1])
    scores = json.loads((run / "eval" / "sft" / "detection.scores.json").read_text())
    results = front["model-index"][0]["results"]
    numbers = {m["type"]: m["value"] for m in results[0]["metrics"]}
    for name, found in scores["headline"].items():
        assert numbers[name] == pytest.approx(100 * found["value"], abs=0.005)
        assert f"| detection | {name} | {100 * found['value']:.1f} |" in text
    for section in ("convention", "Data", "Numbers", "Protocol", "Training", "Limits", "Licences"):
        assert section in text
    assert "intrinsic ZXY" in text and "abcdef0123456789" in text and "1 of 3 unreadable" in text
    assert "Alarm still on at the end of stage rft" in text
    assert "<script" not in text and "<img" not in text and "\x00" not in text
    assert front["license"] == "other", "its scenes are not procedural rooms, so the licence is not known"
    assert "Training data: not stated by the run" in text


def test_licences_can_be_told(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "card.md"
    write_card(run, "sft", out, {"data": "CC-BY-4.0 (own recordings)", "base": "Apache-2.0"})
    assert "CC-BY-4.0 (own recordings)" in out.read_text()
    with pytest.raises(ValueError, match="no answers of model 'x'; it has rft"):
        write_card(run, "x")


def test_a_scene_of_metadata_alone_has_nothing_to_draw_on() -> None:
    with pytest.raises(ValueError, match="'rooms-3' has no frames to draw on"):
        of_scene(replace(make_room(3), frames=()))
