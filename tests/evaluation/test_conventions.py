"""Boxes of other models: each convention is read as its own code draws it, and a file's convention is found."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rft3d.answers.foreign import CONVENTIONS, Convention, foreign_boxes
from rft3d.cli import main
from rft3d.evaluation import ScoreConfig, score_files
from rft3d.evaluation.conventions import fitting_conventions, sun_rgbd_score
from rft3d.evaluation.records import Prediction
from rft3d.geometry import box_corners, euler_zxy_from_matrix, matrix_from_euler_zxy
from rft3d.tasks.samples import write_samples

from .fakes import detection_sample

SAMPLES = [detection_sample(n) for n in range(8)]


def corners_of_the_notebook(box: list[float]) -> np.ndarray:
    """Qwen3-VL's drawing: x, then y, then z; the last three are pitch, yaw, roll in units of pi."""
    pitch, yaw, roll = (math.pi * each for each in box[6:])
    rows = []
    for sx in (1, -1):
        for sy in (1, -1):
            for sz in (1, -1):
                p = np.array([sx * box[3], sy * box[4], sz * box[5]]) / 2
                c, s = math.cos(pitch), math.sin(pitch)
                p = np.array([p[0], p[1] * c - p[2] * s, p[1] * s + p[2] * c])
                c, s = math.cos(yaw), math.sin(yaw)
                p = np.array([p[0] * c + p[2] * s, p[1], -p[0] * s + p[2] * c])
                c, s = math.cos(roll), math.sin(roll)
                p = np.array([p[0] * c - p[1] * s, p[0] * s + p[1] * c, p[2]])
                rows.append(p + box[:3])
    return np.array(rows)


def ordered(points: np.ndarray) -> np.ndarray:
    return np.array(sorted(np.round(points, 9).tolist()))


def only_box(text: str, convention: Convention) -> np.ndarray:
    (found,) = foreign_boxes(text, convention)
    return np.array([found.box])


def test_qwen3_boxes_have_the_corners_that_its_notebook_draws() -> None:
    box = [0.2, -0.1, 2.5, 0.8, 0.5, 0.3, 0.16, 0.13, -0.4]
    read = only_box(json.dumps([{"bbox_3d": box, "label": "chair"}]), "qwen3-vl")
    assert ordered(box_corners(read)[0]) == pytest.approx(ordered(corners_of_the_notebook(box)), abs=1e-8)


def test_sun_rgbd_boxes_turn_x_towards_z_and_seven_numbers_do() -> None:
    nine = only_box('{"box_3d": [0, 0, 2, 1, 1, 0.2, 0.7, 0.3, 0.5], "class": "bed"}', "sun-rgbd")
    seven = only_box('{"bbox": [0, 0, 2, 1, 1, 0.2, 0.5], "name": "bed"}', "sun-rgbd")
    assert np.allclose(nine, seven)  # roll and pitch are ignored
    c, s = math.cos(0.5), math.sin(0.5)
    flat = [[x * c - z * s, z * c + x * s + 2] for x in (-0.5, 0.5) for z in (-0.1, 0.1)]
    found = {tuple(np.round([x, z], 6)) for x, _, z in box_corners(nine)[0].tolist()}
    assert found == {tuple(np.round(row, 6)) for row in flat}


def test_boxes_are_found_in_damaged_and_nested_json() -> None:
    one = '{"bbox3d": [0, 0, 2, 1, 1, 1, 0], "label": "bed"}'
    assert len(foreign_boxes(f'```json\n[{one}, {one}, {{"bbox_3d": [1', "sun-rgbd")) == 2
    assert len(foreign_boxes(json.dumps({"objects": [json.loads(one)]}), "sun-rgbd")) == 1
    assert foreign_boxes("nothing", "sun-rgbd") == () and foreign_boxes('{"bbox": [1]}', "sun-rgbd") == ()


def written(box: list[float], convention: str) -> list[float]:
    """A house box as a model of ``convention`` writes it."""
    R = matrix_from_euler_zxy(np.array(box[6:]))
    if convention == "extrinsic-zxy":
        return [*box[:6], *(-euler_zxy_from_matrix(R.T)).tolist()]
    if convention == "opengl":
        turn = np.diag([1.0, -1.0, -1.0])
        return [*(turn @ box[:3]).tolist(), *box[3:6], *euler_zxy_from_matrix(turn @ R).tolist()]
    if convention == "qwen3-vl":
        yaw = math.asin(-R[2, 0])
        pitch, roll = math.atan2(R[2, 1], R[2, 2]), math.atan2(R[1, 0], R[0, 0])
        return [*box[:6], *(angle / math.pi for angle in (pitch, yaw, roll))]
    return [*box[:6], 0.0, 0.0, -box[8]] if convention == "sun-rgbd" else box


def predictions(convention: str) -> list[Prediction]:
    return [
        Prediction(s.id, json.dumps([
            {"label": row["label"], "bbox_3d": written(row["bbox_3d"], convention)} for row in s.truth["boxes"]
        ]))
        for s in TURNED
    ]  # fmt: skip


TURNED = [
    replace(s, truth={"boxes": [
        {**row, "bbox_3d": [*row["bbox_3d"][:3], 2.0, 0.3, 0.6, 0.4, -0.7, 0.9]} for row in s.truth["boxes"]
    ]})
    for s in SAMPLES
]  # fmt: skip


@pytest.mark.parametrize("convention", [c for c in CONVENTIONS if c != "sun-rgbd"])
def test_the_convention_of_a_file_is_found(
    convention: Convention, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = fitting_conventions(TURNED, predictions(convention))[0]
    assert best.convention == convention and best.mean_iou > 0.99
    write_samples(tmp_path / "s.jsonl", TURNED)
    (tmp_path / "p.json").write_text(json.dumps({p.id: p.text for p in predictions(convention)}))
    code = main(["data", "check", str(tmp_path / "p.json"), "--samples", str(tmp_path / "s.jsonl")])
    out = capsys.readouterr().out
    assert (code == 0) == (convention == "house")
    assert (f"--boxes {convention}" in out) == (convention != "house")
    config = ScoreConfig(resamples=0, boxes=convention)
    assert score_files("detection", tmp_path / "s.jsonl", tmp_path / "p.json", config).metrics[
        "f1@0.25/micro"
    ] == pytest.approx(1.0)


def test_sun_rgbd_average_precision() -> None:
    rows = [[{"label": "Bed", "bbox_3d": [0.0, 0, 2 + k, 1, 1, 1, 0, 0, 0.3]}] for k in range(2)]
    asked = [replace(s, truth={"boxes": r}) for s, r in zip(SAMPLES, rows, strict=False)]
    right = '[{"label": "bed", "bbox_3d": [0.0, 0, 2, 1, 1, 1, -0.3]}]'
    wrong = '[{"label": "bed", "bbox_3d": [5.0, 0, 2, 1, 1, 1, 0]}]'
    perfect = sun_rgbd_score(asked[:1], [Prediction(asked[0].id, right)])
    assert perfect.mAP == pytest.approx(1.0) and "lmms-eval" in str(perfect.harness)
    half = sun_rgbd_score(asked, [Prediction(asked[0].id, right), Prediction(asked[1].id, wrong)])
    assert half.mAP25 == pytest.approx(51 / 101)  # precision 1 up to recall 0.5, 0 beyond
