"""Detection: what is asked, in which order and frame, and the official numbers on cases counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from math import atan2

import numpy as np
import pytest

from rft3d.answers import LabelledBox, render_detections
from rft3d.geometry import box_iou, invert_pose, transform_boxes
from rft3d.rewards import Comparison, Placement
from rft3d.scenes.types import Frame, Scene, SceneObject
from rft3d.tasks import Detection
from rft3d.tasks.types import Sample

CUBE = (0.0, 0.0, 3.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)


def moved(box, dx: float):
    return (box[0] + dx, *box[1:])


def sample_of(*rows: tuple[str, tuple[float, ...]], identity: str = "s") -> Sample:
    boxes = [{"label": label, "bbox_3d": list(box)} for label, box in rows]
    return Sample(identity, "detection", "scene", ("a",), "<image>x", {"boxes": boxes})


def text_of(*rows: tuple[str, tuple[float, ...]]) -> str:
    return render_detections([LabelledBox(label, box) for label, box in rows])


def test_sample_names_what_is_seen_in_first_seen_order(scene: Scene, frame_refs: list[str]) -> None:
    (sample,) = Detection().samples(scene, frame_refs, 0)
    labels = [row["label"] for row in sample.truth["boxes"]]
    assert labels == ["bed", "table", "monitor", "lamp", "chair", "chair", "bin", "dresser"]
    assert sample.frames == tuple(frame_refs)
    assert sample.prompt.startswith("<image>" * 4 + "Detect the 3D bounding boxes")
    assert sample.turns().frames == 4


def test_boxes_are_the_world_boxes_seen_from_the_first_camera(scene: Scene, frame_refs: list[str]) -> None:
    for canonical in (True, False):
        (sample,) = Detection(canonical=canonical).samples(scene, frame_refs, 0)
        boxes = np.array([row["bbox_3d"] for row in sample.truth["boxes"]])
        back = transform_boxes(scene.frames[0].T_world_camera, boxes)
        world = np.stack([scene.objects[i].box for i in (0, 1, 7, 2, 3, 4, 5, 6)])
        np.testing.assert_allclose(np.diag(box_iou(back, world)), 1.0, atol=1e-9)
    raw = transform_boxes(invert_pose(scene.frames[0].T_world_camera), world)
    np.testing.assert_allclose(boxes, raw)  # canonical=False keeps the plain transform


def test_visibility_and_labels_restrict(scene: Scene, frame_refs: list[str]) -> None:
    (sample,) = Detection(min_visible=0.75).samples(scene, frame_refs, 0)
    assert [row["label"] for row in sample.truth["boxes"]] == ["bed", "table", "chair", "chair"]
    walls = replace(scene, objects=tuple(replace(thing, label="wall") for thing in scene.objects))
    assert Detection().samples(walls, frame_refs, 0) == []


def test_azimuth_order_is_left_to_right(scene: Scene, frame_refs: list[str]) -> None:
    task = Detection(order="azimuth")
    (sample,) = task.samples(scene, frame_refs, 0)
    angles = [atan2(row["bbox_3d"][0], row["bbox_3d"][2]) for row in sample.truth["boxes"]]
    assert angles == sorted(angles)
    assert [box.label for box in task.parse(task.gold(sample), sample)] == [  # type: ignore[union-attr]
        row["label"] for row in sample.truth["boxes"]
    ]


def test_decimals_shape_the_gold_text_but_not_the_truth(scene: Scene, frame_refs: list[str]) -> None:
    coarse, fine = Detection(decimals=1), Detection(decimals=4)
    (sample,) = coarse.samples(scene, frame_refs, 0)
    assert sample.truth == fine.samples(scene, frame_refs, 0)[0].truth
    numbers = json.loads(coarse.gold(sample).strip("`json"))[0]["bbox_3d"]
    assert numbers == [round(number, 1) for number in sample.truth["boxes"][0]["bbox_3d"]]
    assert fine.score(fine.gold(sample), sample).total > coarse.score(coarse.gold(sample), sample).total


def test_gold_never_writes_a_flat_box() -> None:
    poster = (0.0, 0.0, 3.0, 1.0, 1.0, 0.004, 0.0, 0.0, 0.0)
    task = Detection(decimals=1)
    sample = sample_of(("picture", poster))
    (box,) = task.parse(task.gold(sample), sample)  # type: ignore[misc]
    assert box.box[5] == 0.1


def test_parts_follow_the_reward() -> None:
    sample = sample_of(("chair", CUBE), ("bin", moved(CUBE, 5)))
    text = text_of(("chair", CUBE))
    paper = Detection(reward="paper").score(text, sample)
    matched = Detection(reward="matched").score(text, sample)
    assert [(p.name, round(p.value, 6)) for p in paper.parts] == [
        ("format", 1.0),
        ("mean_iou", 1.0),  # the paper's mean over predictions pays for silence ...
        ("f1@0.25", round(2 / 3, 6)),
    ]
    assert matched.value("matched_iou") == pytest.approx(0.5)  # ... this one doesn't


def test_prose_around_the_list_costs_the_format_only() -> None:
    sample = sample_of(("chair", CUBE))
    score = Detection().score("Here you are: " + text_of(("chair", CUBE)), sample)
    assert score.failure is None
    assert (score.value("format"), score.value("f1@0.25")) == (0.0, 1.0)
    strict = Detection(mode="strict").score("Here you are: " + text_of(("chair", CUBE)), sample)
    assert strict.failure is not None and strict.total == 0


def test_metric_pools_counts_per_class() -> None:
    """Two samples: chair TP 1 FP 1 FN 1, bin TP 1, sofa (outside the list) FP 1, lamp FN 1."""
    samples = [
        sample_of(("chair", CUBE), ("chair", moved(CUBE, 4)), identity="a"),
        sample_of(("bin", CUBE), ("lamp", moved(CUBE, 4)), identity="b"),
    ]
    task = Detection()
    scores = [
        task.score(text_of(("chair", moved(CUBE, 0.2)), ("chair", moved(CUBE, 9))), samples[0]),
        task.score(text_of(("bin", CUBE), ("sofa", CUBE)), samples[1]),
    ]
    metric = task.metric(samples, scores)
    assert metric["f1@0.25/class:chair"] == pytest.approx(0.5)
    assert metric["f1@0.25/class:bin"] == 1.0
    assert metric["f1@0.25/class:lamp"] == 0.0
    assert metric["f1@0.25/present"] == pytest.approx(0.5)
    assert metric["f1@0.25"] == pytest.approx(1.5 / 20)
    assert metric["precision@0.25/micro"] == pytest.approx(2 / 4)
    assert metric["recall@0.25/micro"] == pytest.approx(2 / 4)
    assert metric["count/outside_predictions"] == 1
    assert metric["count/outside_truths"] == 0
    # IoU of a unit cube shifted by 0.2: 0.8 / 1.2
    assert metric["mean_iou"] == pytest.approx((0.8 / 1.2 + 1) / 4)
    assert metric["mean_iou/hits"] == pytest.approx((0.8 / 1.2 + 1) / 2)
    assert [iou for *_, iou in scores[0].evidence_of(Comparison).match.pairs] == pytest.approx([0.8 / 1.2])
    with pytest.raises(TypeError, match="a Placement is needed, but the score holds Comparison"):
        scores[0].evidence_of(Placement)


def test_unreadable_and_truncated_answers_count_as_misses() -> None:
    sample = sample_of(("chair", CUBE))
    task = Detection()
    scores = [task.score("no idea", sample), task.score(text_of(("chair", CUBE)), sample, truncated=True)]
    assert task.metric([sample, sample], scores)["recall@0.25/micro"] == 0.0
    assert scores[0].failure is not None and not scores[0].truncated
    assert scores[1].failure is None and scores[1].truncated
    assert {part.reason for part in scores[1].parts} == {"truncated"}


def test_classes_must_be_unique() -> None:
    """Upstream's widest list counts lamp twice."""
    with pytest.raises(ValueError, match="unique"):
        Detection(classes=("lamp", "lamp"))


def test_wrong_config_and_references_are_named(scene: Scene) -> None:
    with pytest.raises(ValueError, match="reward"):
        Detection(reward="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"4 frames but frame_refs has 1"):
        Detection().samples(scene, ["one"], 0)


def test_a_scene_that_shows_nothing_gives_no_sample() -> None:
    frame = Frame("0", np.eye(3), np.eye(4), 4, 4, None)
    thing = SceneObject(0, "chair", np.array(CUBE))
    assert Detection().samples(Scene("x", "hand", (frame,), (thing,)), ["r"], 0) == []
