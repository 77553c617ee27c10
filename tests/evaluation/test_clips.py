"""Questions about a posed RGB-D clip: gold answers earn full marks from text alone, and a person sees why.

With ``RFT3D_REAL_CLIP=DIR`` the same is asked of a real clip in DIR (docs/data.md has the format).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tests.report.runs_on_disk import Page
from tests.scenes.clips import write_clip

from rft3d.answers import FrameBox
from rft3d.evaluation import (
    BOX_QUESTIONS,
    ClipConfig,
    PredictConfig,
    ScoreConfig,
    check_gold,
    clip_questions,
    load_frames,
    predict,
    score_files,
    write_dataset,
)
from rft3d.geometry import box_iou_pairs, transform_boxes
from rft3d.prompts import Generation, Prompt
from rft3d.report import ReportConfig, write_report
from rft3d.scenes import Scene, load_rgb, read_posed_clip
from rft3d.tasks import TASKS, Sample, make_task, read_samples

REAL = "RFT3D_REAL_CLIP"
LEAST_IOU = 0.9
ASKED = ("detection", "grounding", "spatial")


@dataclass(frozen=True)
class Asked:
    """A clip and the folder of questions made from it."""

    scene: Scene
    folder: Path

    def samples(self, task: str) -> list[Sample]:
        return list(read_samples(self.folder / f"samples.{task}.jsonl"))


@pytest.fixture(scope="module", params=["tiny", "real"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    root = tmp_path_factory.mktemp("clip")
    if request.param == "real":
        if not os.environ.get(REAL):
            pytest.skip(f"set {REAL} to the folder of a posed RGB-D clip")
        scene, config = read_posed_clip(os.environ[REAL]), ClipConfig()
    else:
        scene, config = read_posed_clip(write_clip(root / "clip")), ClipConfig(frames=2)
    counts = write_dataset([scene], root / "out", tasks=clip_questions(config), with_depth=False)
    assert set(counts) == set(TASKS) and min(counts[task] for task in ASKED) > 0
    return Asked(scene, root / "out")


def test_ids_are_unique_and_frames_are_the_clips(asked: Asked) -> None:
    by_pose = {frame.T_world_camera.tobytes(): frame for frame in asked.scene.frames}
    for task in ASKED:
        for sample in asked.samples(task):  # reading refuses repeated ids
            assert sample.scene == asked.scene.id
            poses = np.array(sample.meta["T_world_camera"])
            frames = [by_pose[pose.tobytes()] for pose in poses]
            names = [frame.name for frame in frames]
            assert names == sorted(set(names)), "in time order"
            assert [Path(ref).stem for ref in sample.frames] == names
    picture = load_frames(sample, asked.folder)[0]
    np.testing.assert_array_equal(picture, load_rgb(frames[0]))
    assert np.array_equal(sample.meta["intrinsics"][0], frames[0].intrinsics)


def test_gold_detections_lead_back_to_the_world(asked: Asked) -> None:
    """World -> first camera -> two decimals -> parse -> world again."""
    task, least = TASKS["detection"](), 1.0
    for sample in asked.samples("detection"):
        gold = task.gold(sample)
        boxes = task.parse(gold, sample, "strict")
        assert isinstance(boxes, tuple) and boxes
        T_world_first = np.array(sample.meta["T_world_camera"][0])
        world = transform_boxes(T_world_first, np.array([box.box for box in boxes]))
        seen = {
            thing.id: thing
            for frame in asked.scene.frames
            if any(np.allclose(frame.T_world_camera, pose) for pose in sample.meta["T_world_camera"])
            for thing in asked.scene.objects
            if frame.visible.get(thing.id, 0.0) >= task.min_visible
        }
        assert sorted(box.label for box in boxes) == sorted(thing.label for thing in seen.values())
        left = list(seen.values())
        for box, at in zip(boxes, world, strict=True):
            same = [thing for thing in left if thing.label == box.label]
            true = np.stack([thing.box for thing in same])
            ious = box_iou_pairs(np.broadcast_to(at, true.shape), true)
            left.remove(same[int(ious.argmax())])
            least = min(least, float(ious.max()))
        score = task.score(gold, sample)
        assert score.value("format") == score.value("f1@0.25") == 1.0
    print(f"detection: least IoU {least:.4f}")
    assert least >= LEAST_IOU


def test_gold_grounding_leads_back_to_the_world(asked: Asked) -> None:
    task, least = TASKS["grounding"](), 1.0
    by_text = {expression.text.capitalize(): expression for expression in asked.scene.expressions}
    samples = asked.samples("grounding")
    for sample in samples:
        text = next(text for text in by_text if f"\nText: {text}\n" in sample.prompt)
        expression = by_text[text]
        gold = task.gold(sample)
        answer = task.parse(gold, sample, "strict")
        assert isinstance(answer, FrameBox)
        if expression.best_frame is not None:
            assert Path(sample.frames[answer.frame]).stem == asked.scene.frames[expression.best_frame].name
        T_world_camera = np.array(sample.meta["T_world_camera"][answer.frame])
        world = transform_boxes(T_world_camera, np.array([answer.box]))
        true = next(thing.box for thing in asked.scene.objects if thing.id == expression.target)
        least = min(least, float(box_iou_pairs(world, true[None])[0]))
        score = task.score(gold, sample)
        assert score.value("format") == score.value("frame") == 1.0
        assert score.value("iou") >= LEAST_IOU
    print(f"grounding: least IoU {least:.4f}")
    assert least >= LEAST_IOU
    if all(expression.best_frame is not None for expression in asked.scene.expressions):
        assert len(samples) == len(asked.scene.expressions)


def test_spatial_questions_need_boxes_only(asked: Asked) -> None:
    kinds = {sample.truth["question_type"] for sample in asked.samples("spatial")}
    assert kinds <= set(BOX_QUESTIONS)
    assert "room_size_estimation" not in kinds, "the clip has no floor polygon"
    assert "object_size_estimation" in kinds


@pytest.mark.parametrize("name", ASKED)
def test_gold_check_says_so(asked: Asked, name: str) -> None:
    samples = asked.samples(name)
    check = check_gold(make_task(name), samples)
    assert check.full == check.samples == len(samples)
    assert check.least_iou is None if name == "spatial" else (check.least_iou or 0) >= LEAST_IOU
    if name != "spatial":
        coarse = check_gold(make_task(name, options={"decimals": 0}), samples)
        assert (coarse.least_iou or 0) < (check.least_iou or 0)


class InOrder:
    """A policy that says what it was told to say, one text after another."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        frames: Sequence[Sequence[np.ndarray]],
        per: int,
        *,
        max_new_tokens: int,
        seed: int,
        temperature: float,
    ) -> list[list[Generation]]:
        assert all(picture.shape == (40, 60, 3) for shown in frames for picture in shown)
        said, self.texts = self.texts[: len(prompts)], self.texts[len(prompts) :]
        return [[Generation(text, False, len(text))] for text in said]


def test_predict_score_and_report_run_on_a_clip(tmp_path: Path) -> None:
    """One policy knows the answers, one says nonsense: scores, and pictures with both kinds of boxes."""
    run = tmp_path / "run"
    scene = read_posed_clip(write_clip(tmp_path / "clip"))
    write_dataset([scene], run, tasks=clip_questions(ClipConfig(frames=2)), with_depth=False)
    labels = sorted({thing.label for thing in scene.objects})
    for name in ASKED:
        path = run / f"samples.{name}.jsonl"
        samples = list(read_samples(path))
        gold = [TASKS[name]().gold(sample) for sample in samples]
        for model, texts in (("a nonsense", ["I see nothing."] * len(gold)), ("gold", gold)):
            out = run / model / f"{name}.predictions.jsonl"
            config = PredictConfig(batch_size=4, max_new_tokens=10_000)
            predict(InOrder(texts), path, out, model=model, config=config, progress=False)
            options = {"classes": labels} if name == "detection" else {}
            result = score_files(name, path, out, ScoreConfig(resamples=5, options=options))
            assert result.parse_failures.rate == (model != "gold")
            best = {"detection": "f1@0.25/present", "grounding": "acc@0.5", "spatial": "micro"}[name]
            assert result.metrics[best] == float(model == "gold"), name
    index = write_report(run, config=ReportConfig(gallery=2, resamples=5))
    assert index == run / "report" / "index.html"
    page = Page(index)
    assert "gold/detection.scores.json was missing" in page.html and "No pictures" not in page.html
    for task in ("detection", "grounding"):
        detail = page.detail(task, 0)
        assert not detail["note"] and all(page.has(f"p-{number}") for number in detail["frames"])
        nonsense, good = detail["answers"]
        assert nonsense["parse_failure"] and not nonsense["boxes"]
        assert [box["match"] for box in good["boxes"]] == list(range(len(detail["truth"]))), "all are found"


def test_a_scene_id_stays_inside_the_folder(tmp_path: Path) -> None:
    scene = read_posed_clip(write_clip(tmp_path / "clip", scene_id="../escaped"))
    with pytest.raises(ValueError, match="can't name a folder"):
        write_dataset([scene], tmp_path / "out", tasks=clip_questions(ClipConfig(frames=2)))
    good = read_posed_clip(write_clip(tmp_path / "clip"))
    with pytest.raises(ValueError, match="two scenes have id 'clip_000'"):
        write_dataset([good, good], tmp_path / "out", tasks=clip_questions(ClipConfig(frames=2)))
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]
