"""Readers of published data sets on small files in their layouts."""

from __future__ import annotations

import io
import json
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rft3d.datasets.extract import extract_scan, read_sens
from rft3d.geometry import box_corners, box_iou_pairs, boxes_from_extrinsic, invert_pose
from rft3d.scenes import SOURCES, Scene, load_rgb, validate_scene
from rft3d.scenes.readers.embodiedscan import embodiedscan
from rft3d.scenes.readers.records import iter_objects
from rft3d.scenes.readers.scanrefer import (
    axis_alignment,
    ply_vertices,
    read_nyu40,
    scan_objects,
    scanrefer,
    unique_objects,
)
from rft3d.scenes.readers.vgllm import vgllm
from rft3d.scenes.readers.vsi_bench import vsi_meta
from rft3d.scenes.sources import RECORDS

from .published import (
    T_WORLD_RAW,
    VAL,
    info_entry,
    room,
    write_descriptions,
    write_infos,
    write_labels,
    write_media,
    write_scans,
    write_sens,
)


def assert_same_place(scene: Scene, atol: float = 1e-5) -> None:
    """Cameras and boxes are the room's, in the aligned world."""
    for mine, true in zip(scene.frames, room().frames, strict=True):
        np.testing.assert_allclose(mine.T_world_camera, true.T_world_camera, atol=atol)
        np.testing.assert_allclose(mine.intrinsics, true.intrinsics, atol=1e-5)
    assert validate_scene(scene) is scene


def test_embodiedscan(tmp_path: Path) -> None:
    write_media(tmp_path)
    other = {**info_entry(), "sample_idx": "3rscan/abc"}
    infos = write_infos(tmp_path / "embodiedscan_infos_val.pkl", other, info_entry())
    (scene,) = SOURCES["embodiedscan"](infos)
    assert (scene.id, scene.source, scene.frames[1].name) == (VAL, "embodiedscan", "00010")
    assert_same_place(scene)
    for mine, true in zip(scene.objects, room().objects, strict=True):
        assert mine.label == true.label
        np.testing.assert_array_equal(mine.box, true.box)
    listed = info_entry()["images"][0]["visible_instance_ids"]
    assert list(scene.frames[0].visible) == listed, "the file's order is kept"
    assert load_rgb(scene.frames[0]).shape == (48, 64, 3)
    assert not list(SOURCES["embodiedscan"](infos, scenes=["scene0000_00"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda e: e["instances"][0].update(bbox_label_3d=99),
            r"bbox_label_3d is 99; it must be a number of metainfo",
        ),
        (
            lambda e: e["instances"][0].update(bbox_3d=[1, 2]),
            r"instances\[0\].bbox_3d is .* must be finite numbers",
        ),
        (lambda e: e["images"][0].update(visible_instance_ids=[77]), "visible names object 77"),
        (lambda e: e["images"][0].update(cam2global=2 * np.eye(4)), "not rigid|last row"),
    ],
)
def test_embodiedscan_names_what_is_wrong(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    write_media(tmp_path)
    entry = info_entry()
    change(entry)
    infos = write_infos(tmp_path / "infos.pkl", entry)
    with pytest.raises(ValueError, match=message) as caught:
        list(SOURCES["embodiedscan"](infos))
    assert "infos.pkl" in str(caught.value)


def test_sens_recordings(tmp_path: Path) -> None:
    path = write_sens(tmp_path / VAL / f"{VAL}.sens", lost=2)
    recording = read_sens(path)
    assert len(recording.frames) == 13 and not np.isfinite(recording.frames[2].T_world_camera).all()
    first = T_WORLD_RAW @ recording.frames[0].T_world_camera
    np.testing.assert_allclose(first, room().frames[0].T_world_camera, atol=1e-5)
    picture = np.asarray(Image.open(io.BytesIO(recording.colour_data(recording.frames[1]))))
    assert np.abs(picture.astype(int) - load_rgb(room().frames[1])).mean() < 8
    cut = tmp_path / "cut.sens"
    cut.write_bytes(path.read_bytes()[:-2000])
    assert read_sens(cut).truncated
    with pytest.raises(ValueError, match=r"cut off after \d+ of 13 frames"):
        extract_scan(cut, tmp_path / "out")
    cut.write_bytes(b"\x07\0\0\0" + path.read_bytes()[4:])
    with pytest.raises(ValueError, match="version 4"):
        read_sens(cut)


def test_scan_annotations(tmp_path: Path) -> None:
    found = scan_objects(write_scans(tmp_path / "scans") / VAL)
    for mine, true in zip(found, room().objects, strict=True):
        corners = box_corners(true.box[None])[0]
        np.testing.assert_allclose(mine.box[:3] - mine.box[3:6] / 2, corners.min(axis=0), atol=1e-4)
        np.testing.assert_allclose(mine.box[:3] + mine.box[3:6] / 2, corners.max(axis=0), atol=1e-4)


def test_scan_annotations_complain(tmp_path: Path) -> None:
    folder = write_scans(tmp_path) / VAL
    np.testing.assert_allclose(axis_alignment(folder / f"{VAL}.txt"), T_WORLD_RAW, atol=1e-8)
    mesh = folder / f"{VAL}_vh_clean_2.ply"
    whole = mesh.read_bytes()
    mesh.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match="cut off"):
        ply_vertices(mesh)
    mesh.write_bytes(
        b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float z\nproperty float x\n"
        b"property float y\nend_header\n" + np.array([3, 1, 2], "<f4").tobytes()
    )
    assert ply_vertices(mesh).tolist() == [[1, 2, 3]]
    with pytest.raises(ValueError, match=r"one a vertex \(1\)"):
        scan_objects(folder)
    (folder / f"{VAL}.txt").write_text("appVersionId = 6\n")
    with pytest.raises(ValueError, match="unaligned"):
        scan_objects(folder)


def test_scanrefer_and_unique(tmp_path: Path) -> None:
    rows = list(scanrefer(write_descriptions(tmp_path / "ScanRefer_filtered_val.json")))
    assert len(rows) == 2 * len(room().objects) and rows[1].ann_id == "1"
    labels = write_labels(tmp_path / "labels.tsv")
    unique = unique_objects(rows, read_nyu40(labels))
    table = {"chair": 5, "couch": 6, "table": 7, "desk": 14}
    classes = [table.get(thing.label, 39) for thing in room().objects]
    assert [unique[VAL, k] for k in range(len(classes))] == [classes.count(c) == 1 for c in classes]
    with pytest.raises(ValueError, match=r"\[0\].object_id is 'x'; it must be"):
        list(
            scanrefer(
                _json(
                    tmp_path / "bad.json",
                    [
                        {
                            "scene_id": "a",
                            "object_id": "x",
                            "object_name": "b",
                            "ann_id": "0",
                            "description": "c",
                        }
                    ],
                )
            )
        )


def _json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def chat(**more: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhere?"}, {"from": "gpt", "value": "There."}]
    return {"conversations": turns, **more}


def test_vgllm_files(tmp_path: Path) -> None:
    frame, thing = room().frames[0], room().objects[0]
    raw = (invert_pose(T_WORLD_RAW) @ frame.T_world_camera).tolist()
    K = np.eye(4)
    K[:3, :3] = frame.intrinsics
    cameras = {"cam2img": K.tolist(), "cam2global": [raw], "axis_align_matrix": T_WORLD_RAW.tolist()}
    picture = f"scannet/posed_images/{VAL}/00000.jpg"
    old = [0.0, 0, 1, 1, 1, 1, 0.3, -0.8, 0.1]
    records = [
        chat(images=[picture], boxes=[{"label": "chair", "bbox_3d": old}], **cameras),
        chat(images=[picture], target={"frame": 0, "bbox_3d": thing.box.tolist()}, gt_bbox=thing.box.tolist(),
             metadata={"dataset": "scanrefer", "question_type": "unique"}, **cameras),
    ]  # fmt: skip
    one, two = vgllm(_json(tmp_path / "a.json", records))
    assert (one.scene, one.images, one.turns[1]) == (VAL, (picture,), "There.")
    np.testing.assert_allclose(one.extra["T_world_camera"][0], frame.T_world_camera, atol=1e-9)
    assert two.question_type == "unique" and two.extra["target"]["frame"] == 0
    (converted, _) = vgllm(_json(tmp_path / "a.json", records), old_angles=True)
    box = converted.extra["boxes"][0]["bbox_3d"]
    np.testing.assert_allclose(box, boxes_from_extrinsic(np.array([old]))[0])
    assert box_iou_pairs(np.array([box]), np.array([old]))[0] < 0.99
    for change, message in (
        ({"boxes": [{"label": "", "bbox_3d": old}]}, "label"),
        ({"target": {"frame": 1, "bbox_3d": old}}, "below the number of images"),
        ({"conversations": [{"from": "gpt", "value": "x"}]}, "human first, in turn"),
        ({"cam2global": [raw, raw]}, "one an image"),
    ):
        with pytest.raises(ValueError, match=message):
            list(vgllm(_json(tmp_path / "b.json", [{**records[0], **change}])))


def test_question_files(tmp_path: Path) -> None:
    row = chat(id="u1", data_source="scannet", scene_name="scene0191_00",
               question_type="object_rel_direction_v2",
               video="scannet/videos/scene0191_00.mp4")  # fmt: skip
    (record,) = RECORDS["vlm3r"](_json(tmp_path / "v.json", [row]))
    assert record.question_type == "object_rel_direction_medium"
    lines = [
        {"problem_id": 1, "problem": "How many?", "data_type": "video", "problem_type": "numerical",
         "options": [],
         "solution": "<answer>3</answer>", "path": "./SR/scene0001_00.mp4", "data_source": "SR_dataset"},
        {"problem_id": 2, "problem": "?", "data_type": "image", "problem_type": "OCR",
         "solution": "<answer>x</answer>",
         "path": "a.png", "data_source": "other"},
    ]  # fmt: skip
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (record,) = RECORDS["spacer"](path)
    assert (record.scene, record.answer, record.video) == ("scene0001_00", "3", "SR/scene0001_00.mp4")
    assert len(list(RECORDS["spacer"](path, source=None))) == 2


def test_vsi_bench_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = {
        "id": [0, 1], "dataset": ["scannet", "arkitscenes"], "scene_name": [VAL, "41069025"],
        "question_type": ["object_counting", "object_rel_distance"], "question": ["How many?", "Which?"],
        "options": [None, ["A. x", "B. y"]], "ground_truth": ["3", "B"],
    }  # fmt: skip
    path = tmp_path / "test.parquet"
    parquet.write_table(pyarrow.table(rows), path)
    first, second = RECORDS["vsi_bench"](path)
    assert (first.id, first.options, first.answer, first.video) == ("0", (), "3", f"scannet/{VAL}.mp4")
    assert second.options == ("A. x", "B. y")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cannot be read .*get the file again"):
        list(RECORDS["vsi_bench"](path))


def test_scene_metadata(tmp_path: Path) -> None:
    R = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for rotation in (R, -R):  # one of the two is left-handed: the same solid
        box = {
            "centroid": [1, 2, 3],
            "axesLengths": [1, 2, 0.5],
            "normalizedAxes": rotation.T.ravel().tolist(),
        }
        data = {
            "scene0011_00": {
                "room_size": 20.5,
                "object_counts": {"chair": 1},
                "object_bbox": {"chair": [box]},
            }
        }
        (scene,) = vsi_meta(_json(tmp_path / "scannet_meta_info_val.json", data))
        assert (scene.frames, scene.floor_area_m2, scene.counts) == ((), 20.5, {"chair": 1})
        corners = box_corners(scene.objects[0].box[None])[0]
        np.testing.assert_allclose(
            corners.max(axis=0), np.array([1, 2, 3]) + np.abs(R) @ [0.5, 1, 0.25], atol=1e-9
        )
    _json(tmp_path / "arkitscenes_meta_info_val.json", {"41069025": data["scene0011_00"]})
    assert [scene.id for scene in SOURCES["vsi_meta"](tmp_path)] == ["41069025", "scene0011_00"]
    with pytest.raises(ValueError, match=r"no \*_meta_info\*\.json"):
        list(vsi_meta(tmp_path.parent / tmp_path.name / ".."))


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_json_streams(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rft3d.scenes.readers.records.CHUNK", size)
    values = [{"a": "ü]}{" * k, "n": [1, {"b": None}]} for k in range(5)]
    path = tmp_path / "x.json"
    for text in (
        json.dumps(values, indent=1, ensure_ascii=False),
        "\n".join(map(json.dumps, values)) + "\n\n",
    ):
        path.write_text(text, encoding="utf-8")
        assert [value for _, value in iter_objects(path)] == values
    for text in ("[]", "", " \n"):
        path.write_text(text)
        assert list(iter_objects(path)) == []
    for text in ('[{"a": 1}, {"b"', '{"a": 1}\n{"b"', '[{"a": 1}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="after 1 records"):
            list(iter_objects(path))
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"\[0\] is 1; it must be an object"):
        list(iter_objects(path))


def test_embodiedscan_keeps_what_can_be_read(tmp_path: Path) -> None:
    entry = info_entry()
    whole = len(entry["instances"])
    flat, unknown = [0.0, 0, 0, 0, 1, 1, 0, 0, 0], [1.0] * 9
    bad = [{"bbox_3d": flat, "bbox_label_3d": 1}, {"bbox_3d": unknown, "bbox_label_3d": 99}]
    entry["instances"] = [*entry["instances"], *bad]
    lost = {**entry["images"][0], "cam2global": np.full((4, 4), np.inf)}
    entry["images"] = [lost, *entry["images"]]
    entry["images"][1]["visible_instance_ids"] = [0, whole]  # the second names an instance without a box
    del entry["axis_align_matrix"]
    write_infos(tmp_path / "infos.pkl", entry)
    left: Counter[str] = Counter()
    (scene,) = embodiedscan(tmp_path / "infos.pkl", image_size=(640, 480), most_left_out=0.9, left_out=left)
    assert len(scene.objects) == whole and len(scene.frames) == len(entry["images"]) - 1
    assert left == {"instance that cannot be read": 2, "image that cannot be read": 1}
    assert list(scene.frames[0].visible) == [0]
    with pytest.raises(ValueError, match="more than most_left_out=0"):
        list(embodiedscan(tmp_path / "infos.pkl", image_size=(640, 480), most_left_out=0.0))


def test_embodiedscan_categories_may_be_a_list(tmp_path: Path) -> None:
    entry = info_entry()
    entry["instances"] = [{**entry["instances"][0], "bbox_label_3d": 1}]
    for image in entry["images"]:
        image["visible_instance_ids"] = []
    data = {"metainfo": {"categories": ["wall", "sofa bed"]}, "data_list": [entry]}
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(data))
    (scene,) = embodiedscan(tmp_path / "infos.pkl", image_size=(640, 480))
    assert [thing.label for thing in scene.objects] == ["sofa bed"]
