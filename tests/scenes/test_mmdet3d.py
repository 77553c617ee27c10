"""mmdetection3d's infos: both layouts of ScanNet and SUN RGB-D, as files of pickles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rft3d.geometry import project
from rft3d.scenes import SOURCES, Scene
from rft3d.scenes.restricted_pickle import UnsafePickleError

K = np.array([[530.0, 0, 365], [0, 530, 265], [0, 0, 1]])
TILT = np.radians(12)
RT = np.array([[1, 0, 0], [0, np.cos(TILT), -np.sin(TILT)], [0, np.sin(TILT), np.cos(TILT)]])
UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
BED = [0.5, 3.0, -0.6, 2.0, 1.5, 0.8, 0.4]


def read(tmp_path: Path, infos: Any) -> list[Scene]:
    (tmp_path / "infos.pkl").write_bytes(pickle.dumps(infos, protocol=4))
    return list(SOURCES["mmdet3d"](tmp_path / "infos.pkl"))


def old_sunrgbd() -> dict[str, Any]:
    return {
        "point_cloud": {"num_features": 6, "lidar_idx": 1}, "pts_path": "points/000001.bin",
        "image": {"image_idx": 1, "image_shape": np.array([530, 730], np.int32), "image_path": "image/000001.jpg"},
        "calib": {"K": K.astype(np.float32), "Rt": RT.astype(np.float32)},
        "annos": {"gt_num": 1, "name": np.array(["bed"]), "gt_boxes_upright_depth": np.array([BED])},
    }  # fmt: skip


def new_sunrgbd() -> dict[str, Any]:
    camera = {
        "img_path": "000001.jpg",
        "height": 530,
        "width": 730,
        "depth2img": (K @ UPRIGHT @ RT.T).tolist(),
    }
    item = {"bbox_3d": BED, "bbox_label_3d": 0}
    record = {
        "lidar_points": {"num_pts_feats": 6, "lidar_path": "000001.bin"},
        "images": {"CAM0": camera},
        "instances": [item, {"bbox_3d": BED, "bbox_label_3d": -1}],
    }
    return {"metainfo": {"categories": {"bed": 0, "table": 1}, "dataset": "sunrgbd"}, "data_list": [record]}


@pytest.mark.parametrize("layout", ["before 1.1", "1.1"])
def test_sunrgbd_has_a_camera_that_sees_its_boxes(layout: str, tmp_path: Path) -> None:
    (scene,) = read(tmp_path, [old_sunrgbd()] if layout == "before 1.1" else new_sunrgbd())
    (thing,), (frame,) = scene.objects, scene.frames
    assert (scene.id, thing.label, frame.width, frame.height) == ("000001", "bed", 730, 530)
    np.testing.assert_allclose(thing.box, [*BED, 0, 0])
    # upstream's own projection: x = K · upright · Rtᵀ · p
    expected = K @ UPRIGHT @ RT.T @ np.array(BED[:3])
    seen = (np.linalg.inv(frame.T_world_camera) @ [*BED[:3], 1])[:3]
    pixels, _ = project(seen[None], frame.intrinsics)
    np.testing.assert_allclose(pixels[0], expected[:2] / expected[2], rtol=1e-5)
    assert frame.rgb == tmp_path / "sunrgbd_trainval" / "image" / "000001.jpg"


def test_scannet_has_aligned_boxes_and_no_frames(tmp_path: Path) -> None:
    annos = {
        "name": np.array(["chair", "table"]),
        "gt_boxes_upright_depth": np.array([BED[:6], BED[:6]]),
        "axis_align_matrix": np.eye(4),
    }
    old = {"point_cloud": {}, "pts_path": "points/scene0191_00.bin", "annos": annos}
    record = {
        "lidar_points": {"lidar_path": "scene0191_00.bin"},
        "axis_align_matrix": np.eye(4).tolist(),
        "instances": [{"bbox_3d": BED[:6], "bbox_label_3d": n} for n in (0, 1)],
    }
    new = {"metainfo": {"categories": {"chair": 0, "table": 1}}, "data_list": [record]}
    for infos in ([old], new):
        (scene,) = read(tmp_path, infos)
        assert scene.id == "scene0191_00" and scene.frames == ()
        assert [thing.label for thing in scene.objects] == ["chair", "table"]
        np.testing.assert_allclose(scene.objects[0].box, [*BED[:6], 0, 0, 0])


def test_what_is_wrong_is_named_and_nothing_runs(tmp_path: Path) -> None:
    bad = new_sunrgbd()
    bad["data_list"][0]["instances"][0]["bbox_3d"] = [0, 0, 0, 1, -1, 1]
    with pytest.raises(
        ValueError, match=r"infos\.pkl\.data_list\[0\]\.instances\[0\]\.bbox_3d is .* it must be 6 or 7"
    ):
        read(tmp_path, bad)
    with pytest.raises(UnsafePickleError, match="pathlib"):
        read(tmp_path, [Path("x")])
