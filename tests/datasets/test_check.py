"""The doctor: each thing that can be wrong is found, named, and has a next step; a sound folder passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.scenes.clips import write_clip
from tests.scenes.published import (
    TRAIN,
    VAL,
    info_entry,
    room,
    turned,
    write_descriptions,
    write_infos,
    write_media,
    write_scans,
    write_sens,
)

from rft3d.cli import main
from rft3d.datasets import DetectionSettings, ScannetDetection, leaking
from rft3d.datasets.check import BoxSet, Report, angle_verdict, check_folder
from rft3d.datasets.leaks import benchmark_scenes
from rft3d.geometry import euler_zxy_from_matrix, invert_pose, matrix_from_euler_zxy, transform_boxes
from rft3d.scenes import RoomConfig, Scene, load_rgb, make_room, read_posed_clip, write_scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound folder with every kind of file."""
    write_media(tmp_path / "media")
    write_infos(tmp_path / "embodiedscan_infos_val.pkl")
    write_scans(tmp_path / "scans")
    write_sens(tmp_path / "scans" / VAL / f"{VAL}.sens")
    write_descriptions(tmp_path / "ScanRefer_filtered_val.json")
    ScannetDetection(
        infos=tmp_path / "embodiedscan_infos_val.pkl",
        out=tmp_path / "prepared" / "det.jsonl",
        media=tmp_path / "media",
        settings=DetectionSettings(frames=2),
    ).prepare()
    return tmp_path


def kinds(report: Report) -> set[str]:
    return {finding.kind for finding in report.problems}


def test_a_sound_folder_passes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check_folder(folder)
    assert not report.problems and report.exit_code == 0, report.text()
    assert main(["data", "check", str(folder)]) == 0
    text = capsys.readouterr().out
    for words in (
        "1 ScanNet scans",
        "13 posed pictures",
        "infos of 1 ScanNet scans",
        "ScanRefer,",
        "samples about",
        "no problems",
    ):
        assert words in text


def test_an_empty_folder_is_no_success(tmp_path: Path) -> None:
    report = check_folder(tmp_path)
    assert report.exit_code == 3 and "no known data" in report.text()
    with pytest.raises(FileNotFoundError):
        check_folder(tmp_path / "nowhere")


def images(folder: Path) -> Path:
    return folder / "media" / "scannet" / "posed_images" / VAL


def damage(folder: Path, how: str) -> None:
    picture = images(folder) / "00020.jpg"
    actions: dict[str, Any] = {
        "cut picture": lambda: picture.write_bytes(picture.read_bytes()[:-300]),
        "no picture": picture.unlink,
        "repeated picture": lambda: shutil.copy(images(folder) / "00010.jpg", picture),
        "cut recording": lambda: _cut(folder / "scans" / VAL / f"{VAL}.sens", 700),
        "no mesh": (folder / "scans" / VAL / f"{VAL}_vh_clean_2.ply").unlink,
        "unaligned scan": lambda: (folder / "scans" / VAL / f"{VAL}.txt").write_text("x = 1\n"),
        "unaligned infos": lambda: write_infos(
            folder / "embodiedscan_infos_val.pkl", {**info_entry(), "axis_align_matrix": np.eye(4)}
        ),
        "cut json": lambda: _cut(folder / "ScanRefer_filtered_val.json", 30),
        "pointer": lambda: (folder / "x.json").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "changed infos": lambda: write_infos(
            folder / "embodiedscan_infos_val.pkl", info_entry(), info_entry("scene0012_00")
        ),
        "changed samples": lambda: _cut(folder / "prepared" / "det.jsonl", 0, b"\n"),
        "evil pickle": lambda: (folder / "embodiedscan_infos_val.pkl").write_bytes(
            b"cos\nsystem\n(S'true'\ntR."
        ),
        "leak": lambda: write_descriptions(folder / "ScanRefer_filtered_train.json", "scene0011_01"),
    }
    actions[how]()


def _cut(path: Path, count: int, more: bytes = b"") -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - count] + more)


@pytest.mark.parametrize(
    ("how", "kind", "names"),
    [
        ("cut picture", "truncated", f"{VAL}/00020.jpg"),
        ("no picture", "missing", f"{VAL} (1)"),
        ("repeated picture", "duplicate", "00020.jpg = 00010.jpg"),
        ("cut recording", "truncated", f"{VAL}.sens"),
        ("no mesh", "missing", "_vh_clean_2.ply"),
        ("unaligned scan", "unaligned", VAL),
        ("unaligned infos", "unaligned", VAL),
        ("cut json", "truncated", "ScanRefer_filtered_val.json"),
        ("pointer", "missing", "x.json"),
        ("changed infos", "stale", "embodiedscan_infos_val.pkl"),
        ("changed samples", "stale", "det.jsonl"),
        ("evil pickle", "damaged", "posix.system|os.system"),
        ("leak", "leak", "scene0011_01"),
    ],
)  # fmt: skip
def test_each_damage_is_found(folder: Path, how: str, kind: str, names: str) -> None:
    damage(folder, how)
    report = check_folder(folder)
    assert kind in kinds(report), report.text()
    assert report.exit_code == 1 and report.next_step
    assert any(name in report.text() for name in names.split("|")), report.text()


def test_fast_leaves_pictures_closed(folder: Path) -> None:
    damage(folder, "cut picture")
    assert check_folder(folder, fast=True).exit_code == 0


def old_angles(boxes: np.ndarray) -> np.ndarray:
    """The same solids as the files of before 2025-11-27 write them: R = Ry(c) Rx(b) Rz(a)."""
    out = boxes.copy()
    inverse = np.swapaxes(matrix_from_euler_zxy(boxes[:, 6:]), -1, -2)
    out[:, 6:] = -euler_zxy_from_matrix(inverse)
    return out


def camera_boxes(scene: Scene, old: bool) -> list[tuple[str, np.ndarray, np.ndarray]]:
    labels = tuple(thing.label for thing in scene.objects)
    world = np.stack([thing.box for thing in scene.objects])
    out = []
    for frame in scene.frames:
        boxes = transform_boxes(invert_pose(frame.T_world_camera), world)
        out.append((labels, old_angles(boxes) if old else boxes, frame.T_world_camera))
    return out  # type: ignore[return-value]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("evidence", ["cameras", "no cameras", "true boxes"])
def test_the_boxes_tell_their_convention(old: bool, evidence: str) -> None:
    scene = turned(room())
    world = np.stack([thing.box for thing in scene.objects])
    sets = [
        BoxSet(
            "s",
            labels,  # type: ignore[arg-type]
            boxes,
            None if evidence == "no cameras" else T,
            world if evidence == "true boxes" else None,
        )
        for labels, boxes, T in camera_boxes(scene, old)
    ]
    verdict = angle_verdict(sets)
    assert verdict.convention == ("extrinsic" if old else "intrinsic"), verdict
    assert (verdict.reprojected is None) == (evidence == "no cameras")


def test_few_boxes_or_small_angles_tell_nothing() -> None:
    box = np.array([[0.0, 0, 2, 1, 1, 1, 0.2, 0, 0]])
    assert angle_verdict([BoxSet("s", ("a",), box)]).convention == "undecided"
    many = [BoxSet("s", ("a",) * 3, np.repeat(box, 3, axis=0)) for _ in range(9)]
    assert angle_verdict(many).convention == "undecided", "one angle alone is the same in both"


@pytest.mark.parametrize("old", [False, True])
def test_vgllm_files_are_judged(tmp_path: Path, old: bool) -> None:
    turns = [{"from": "human", "value": "<image>\nDetect."}, {"from": "gpt", "value": "x"}]
    rows = [
        {"conversations": turns, "images": [f"scannet/posed_images/{TRAIN}/{k:05d}.jpg"],
         "boxes": [{"label": name, "bbox_3d": box.tolist()} for name, box in zip(labels, boxes, strict=True)]}
        for k, (labels, boxes, _) in enumerate(camera_boxes(turned(room()), old))
    ]  # fmt: skip
    (tmp_path / "scannet_det_train_4frames.json").write_text(json.dumps(rows))
    report = check_folder(tmp_path)
    assert ("old-angles" in kinds(report)) == old, report.text()
    assert "missing" in kinds(report), "its pictures are not there"


def test_benchmark_lists() -> None:
    lists = benchmark_scenes()
    assert {name: len(ids) for name, ids in lists.items()} == {"vsi_bench": 288, "scannet_val": 312}
    assert leaking([TRAIN, "scene0191_00"]) == {}
    assert leaking(["scene0011_01"])["scannet_val"] == ["scene0011_01"], "another scan of the same room"


def test_posed_clips_and_linked_folders_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(tmp_path / "elsewhere" / "walk")
    write_scene(make_room(1, RoomConfig(frames=2, width=56, height=42)), tmp_path / "elsewhere" / "room")
    root = tmp_path / "data"
    root.mkdir()
    (root / "clips").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root)  # a link back
    assert main(["data", "check", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "clips: 1 scene folders and 1 posed clips with" in printed and printed.count("posed clips") == 1
    picture = next((tmp_path / "elsewhere" / "walk" / "rgb").iterdir())
    picture.write_bytes(picture.read_bytes()[:-20])
    assert main(["data", "check", str(root)]) == 1
    assert f"walk/{picture.name}" in capsys.readouterr().out
    (tmp_path / "elsewhere" / "walk" / "scene.json").write_text("{}")
    assert main(["data", "check", str(root), "--fast"]) == 1
    assert "1 scenes cannot be read: walk (" in capsys.readouterr().out


def test_linked_pictures_are_read_within_a_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "data" / "walk")
    (clip / "rgb").rename(tmp_path / "data" / "pictures")
    (clip / "rgb").symlink_to(tmp_path / "data" / "pictures")
    with pytest.raises(ValueError, match="below the folder that RFT3D_DATA_ROOT names"):
        read_posed_clip(clip)
    monkeypatch.setenv("RFT3D_DATA_ROOT", str(tmp_path / "data"))
    assert load_rgb(read_posed_clip(clip).frames[0]).ndim == 3
    (clip / "rgb").unlink()
    (tmp_path / "data" / "pictures").rename(tmp_path / "outside")
    (clip / "rgb").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="RFT3D_DATA_ROOT"):
        read_posed_clip(clip)
