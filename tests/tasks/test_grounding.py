"""Grounding: the frame that is asked for, the camera that moves the box, and the accuracies."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from rft3d.answers import FrameBox, render_frame_box
from rft3d.geometry import box_iou, canonical_boxes, invert_pose, transform_boxes
from rft3d.rewards import Placement
from rft3d.scenes.types import Expression, Scene
from rft3d.tasks import Grounding


def test_prompt_is_the_official_one(scene: Scene, frame_refs: list[str]) -> None:
    sample = Grounding().samples(scene, frame_refs, 0)[0]
    assert sample.prompt.startswith(
        "Frame-0: <image>Frame-1: <image>Frame-2: <image>Frame-3: <image>Localize"
    )
    assert (
        "\nText: The bed by the wall\n" in sample.prompt
    )  # str.capitalize lower-cases the rest, as upstream
    assert sample.prompt.endswith("in the frame's coordinates.\n")


def test_best_frame_is_the_given_one_or_the_clearest(scene: Scene, frame_refs: list[str]) -> None:
    frames = [sample.truth["frame"] for sample in Grounding().samples(scene, frame_refs, 0)]
    assert frames == [0, 3, 1]  # the chair has none given: frame 3 shows most of it
    hidden = replace(scene, expressions=(Expression("the lamp", 2),))
    hidden = replace(hidden, frames=tuple(replace(f, visible={}) for f in scene.frames))
    assert Grounding().samples(hidden, frame_refs, 0) == []


def test_the_first_clear_frame_shows_half_of_what_the_best_shows(scene: Scene, frame_refs: list[str]) -> None:
    def frame_for(*shares: float) -> int | None:
        frames = tuple(replace(f, visible={2: share}) for f, share in zip(scene.frames, shares, strict=True))
        shown = replace(scene, frames=frames, expressions=(Expression("the chair", 2, 3),))
        made = Grounding(target_frame="first_clear").samples(shown, frame_refs, 0)
        return made[0].truth["frame"] if made else None

    assert frame_for(0.39, 0.4, 0.8, 0.7) == 1  # not the expression's frame 3, nor the best, 2
    assert frame_for(0.1, 0.1, 0.1, 0.9) == 3
    assert frame_for(0.9, 1.0, 0.0, 0.0) == 0
    assert frame_for(0.0, 0.0, 0.0, 0.0) is None
    with pytest.raises(ValueError, match="target_frame"):
        Grounding(target_frame="last")  # type: ignore[arg-type]


def test_truth_box_is_the_object_in_the_best_frame(scene: Scene, frame_refs: list[str]) -> None:
    for sample in Grounding().samples(scene, frame_refs, 0):
        pose = np.array(sample.truth["T_world_camera"][sample.truth["frame"]])
        world = transform_boxes(pose, np.array([sample.truth["bbox_3d"]]))
        assert box_iou(world, np.array([sample.truth["box_world"]]))[0, 0] == pytest.approx(1, abs=1e-9)


def test_right_box_in_another_frame_keeps_its_iou(scene: Scene, frame_refs: list[str]) -> None:
    task = Grounding(decimals=6)
    sample = task.samples(scene, frame_refs, 0)[1]
    world = np.array([sample.truth["box_world"]])
    poses = np.array(sample.truth["T_world_camera"])
    box = canonical_boxes(transform_boxes(invert_pose(poses[1]), world))[0]
    score = task.score(render_frame_box(FrameBox(1, tuple(box)), 6), sample)
    assert score.value("iou") == pytest.approx(1, abs=1e-4)
    assert score.value("frame") == pytest.approx(1 - 2 / 5)
    wrong = task.score(task.gold(sample).replace('"frame": 3', '"frame": 1'), sample)
    assert wrong.value("iou") < 0.5
    assert Grounding(tau=2).score(task.gold(sample), replace_frame(sample, 1)).value("frame") == 0


def replace_frame(sample, frame: int):
    return replace(sample, truth={**sample.truth, "frame": frame})


def test_a_frame_that_is_not_there_is_a_failure(scene: Scene, frame_refs: list[str]) -> None:
    task = Grounding()
    sample = task.samples(scene, frame_refs, 0)[0]
    score = task.score(task.gold(sample).replace('"frame": 0', '"frame": 4'), sample)
    assert score.total == 0 and score.failure is not None
    assert "frame 4 of a video with frames 0 to 3" in score.failure.reason


def test_metric_counts_by_threshold_and_uniqueness(scene: Scene, frame_refs: list[str]) -> None:
    task = Grounding(decimals=6)
    samples = task.samples(scene, frame_refs, 0)
    assert [sample.meta["unique"] for sample in samples] == [True, False, True]
    # the bed's box moved along its own width by a third: IoU = (2/3) / (4/3) = 0.5
    truth = samples[0].truth
    world = np.array([truth["box_world"]])
    world[0, 0] += world[0, 3] / 3
    pose = np.array(truth["T_world_camera"][0])
    half = canonical_boxes(transform_boxes(invert_pose(pose), world))[0]
    texts = [render_frame_box(FrameBox(0, tuple(half)), 9), "nothing", task.gold(samples[2])]
    scores = [task.score(text, sample) for text, sample in zip(texts, samples, strict=True)]
    assert scores[0].value("iou") == pytest.approx(0.5, abs=1e-6)
    metric = task.metric(samples, scores)
    assert metric["acc@0.25"] == pytest.approx(2 / 3)
    assert metric["acc@0.25/unique"] == 1.0
    assert metric["acc@0.25/multiple"] == 0.0
    assert metric["mean_iou"] == pytest.approx(0.5, abs=1e-4)
    assert metric["frame_accuracy"] == pytest.approx(2 / 3)
    assert metric["count/samples/multiple"] == 1.0


def test_thresholds_are_inclusive(scene: Scene, frame_refs: list[str]) -> None:
    task = Grounding()
    sample = task.samples(scene, frame_refs, 0)[0]
    score = task.score(task.gold(sample), sample)
    edge = replace(score, evidence=score.evidence_of(Placement))
    edge.evidence_of(Placement).__dict__["iou"] = 0.25  # what is computed once
    assert task.metric([sample], [edge])["acc@0.25"] == 1.0


def test_max_per_scene_draws_by_seed(scene: Scene, frame_refs: list[str]) -> None:
    task = Grounding(max_per_scene=1)
    drawn = {seed: task.samples(scene, frame_refs, seed)[0].id for seed in range(8)}
    assert len(set(drawn.values())) > 1
    assert task.samples(scene, frame_refs, 3)[0].id == drawn[3]


def test_the_metric_reward_does_not_look_at_the_frame(scene: Scene, frame_refs: list[str]) -> None:
    task = Grounding(reward="metric")
    sample = task.samples(scene, frame_refs, 0)[0]
    score = task.score(task.gold(sample), sample)
    assert {p.name: p.value for p in score.parts} == pytest.approx(
        {"format": 1.0, "acc@0.25": 1.0, "iou": score.evidence_of(Placement).iou}
    )
    far = FrameBox(sample.truth["frame"], (50.0, 50.0, 50.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0))
    assert [p.value for p in task.score(render_frame_box(far), sample).parts] == [1.0, 0.0, 0.0]
    assert Grounding(reward="paper").score(render_frame_box(far), sample).total == 2.0  # paid for the frame
    with pytest.raises(ValueError, match=r"Grounding\.reward"):
        Grounding(reward="both")  # type: ignore[arg-type]


def test_the_shaped_reward_pays_for_coming_near(scene: Scene, frame_refs: list[str]) -> None:
    task = Grounding(reward="metric_diou")
    sample = task.samples(scene, frame_refs, 0)[0]
    box = np.array(sample.truth["bbox_3d"])

    def moved(metres: float) -> float:
        answer = FrameBox(sample.truth["frame"], (box[0] + metres, *box[1:]))
        score = task.score(render_frame_box(answer, 6), sample)
        assert [part.name for part in score.parts] == ["format", "acc@0.25", "iou", "diou"]
        return score.value("diou")

    assert moved(0.0) == pytest.approx(1, abs=1e-4)
    values = [moved(metres) for metres in (0.0, 0.5, 3.0, 6.0, 60.0)]
    assert all(far < near for near, far in pairwise(values)) and values[-1] < 0.1
