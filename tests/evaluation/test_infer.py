"""Questions about one's own clip: the tasks' own prompts, answers read as the tasks read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rft3d.answers import FrameBox, render_frame_box
from rft3d.evaluation.infer import (
    ONLY_ROOMS,
    boxes_in_frame,
    clip_answer,
    detection_question,
    grounding_question,
    infer,
    spatial_question,
)
from rft3d.geometry import transform_boxes
from rft3d.prompts import Generation
from rft3d.scenes import RoomConfig, Scene, load_rgb, make_room
from rft3d.scenes.clips import Clip
from rft3d.tasks import TASKS, Sample


class Says:
    """A policy that always says the same, and remembers what it was asked."""

    def __init__(self, text: str, truncated: bool = False) -> None:
        self.text, self.truncated = text, truncated
        self.asked: list[tuple[str, int, dict[str, Any]]] = []

    def sample_texts(self, prompts: Any, frames: Any, per: int, **how: Any) -> list[list[Generation]]:
        self.asked.append((prompts[0].text, len(frames[0]), how))
        return [[Generation(self.text, self.truncated, 7)]]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_room(5, RoomConfig(frames=3, width=84, height=56))


@pytest.fixture(scope="module")
def clip(scene: Scene) -> Clip:
    """The room as a clip with cameras."""
    return Clip(
        name="room",
        frames=tuple(load_rgb(frame) for frame in scene.frames),
        indices=(0, 1, 2),
        total=3,
        times_s=None,
        size=(84, 56),
        scale=1.0,
        sampling="spread over the folder",
        K=np.stack([frame.intrinsics for frame in scene.frames]),
        T_world_camera=np.stack([frame.T_world_camera for frame in scene.frames]),
    )


def first_sample(task: str, scene: Scene, **options: Any) -> Sample:
    refs = [frame.name for frame in scene.frames]
    return TASKS[task](**options).samples(scene, refs, 0)[0]


def test_prompts_are_the_tasks_own_word_by_word(scene: Scene, clip: Clip) -> None:
    assert detection_question(clip).prompt == first_sample("detection", scene).prompt
    described = first_sample("grounding", scene)
    text = scene.expressions[0].text
    assert grounding_question(clip, f"  {text}\n").prompt == described.prompt
    refs = [frame.name for frame in scene.frames]
    for answers in ("direct", "think"):
        samples = TASKS["spatial"](answers=answers).samples(scene, refs, 0)
        shapes = {bool(sample.truth.get("options")): sample for sample in samples}
        assert set(shapes) == {True, False}, "a question with options and one without"
        for sample in shapes.values():
            body = sample.prompt.split("<image>")[-1].split("\n")
            choices = [option[3:] for option in sample.truth.get("options", ())]
            question = "\n".join(body[1 : body.index("Options:") if choices else -1])
            made = spatial_question(clip, question, choices, think=answers == "think")
            assert made.prompt.split() == sample.prompt.split()


def test_boxes_come_out_in_the_camera_and_in_the_world(scene: Scene, clip: Clip) -> None:
    sample = first_sample("detection", scene)
    policy = Says(TASKS["detection"](decimals=6).gold(sample))
    found = infer(policy, clip, detection_question(clip), max_new_tokens=50, seed=3)
    assert policy.asked == [
        (sample.prompt, 3, {"max_new_tokens": 50, "seed": 3, "temperature": 0.0}),
    ]
    assert [box.label for box in found.boxes] == [row["label"] for row in sample.truth["boxes"]]
    true = {thing.label: thing.box for thing in scene.objects}
    for box, row in zip(found.boxes, sample.truth["boxes"], strict=True):
        np.testing.assert_allclose(box.bbox_3d, row["bbox_3d"], atol=1e-4)
        assert box.frame == 0 and box.valid and box.bbox_3d_world is not None
    single = next(box for box in found.boxes if [b.label for b in found.boxes].count(box.label) == 1)
    np.testing.assert_allclose(
        single.bbox_3d_world or (), np.r_[true[single.label][:3], (single.bbox_3d_world or ())[3:]], atol=2e-4
    )
    labels, moved = boxes_in_frame(found, clip, 2)
    back = transform_boxes(scene.frames[2].T_world_camera, moved)
    seen = [box.bbox_3d_world[:3] for box in found.boxes if box.bbox_3d_world]
    np.testing.assert_allclose(back[:, :3], seen, atol=2e-4)
    assert labels == [box.label for box in found.boxes]


def test_without_poses_a_box_stays_in_its_own_frame(clip: Clip) -> None:
    still = replace(clip, T_world_camera=None)
    text = '```json\n\t{"frame": 1, "bbox_3d": [0, 0, 2, 1, 1, 1, 0, 0, 0]}\n```'
    found = infer(Says(text), still, grounding_question(still, "the chair"))
    (box,) = found.boxes
    assert (box.label, box.frame, box.bbox_3d_world) == ("the chair", 1, None)
    assert [len(boxes_in_frame(found, still, frame)[0]) for frame in range(3)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"frame": 9, "bbox_3d": [0, 0, 2, 1, 1, 1, 0, 0, 0]}', "frame 9 of a video with frames 0 to 2"),
        ("a chair, I think", ""),
        ("", ""),
    ],
)
def test_unreadable_answers_are_a_stated_case(clip: Clip, text: str, reason: str) -> None:
    found = infer(Says(text), clip, grounding_question(clip, "the chair"))
    assert found.failure is not None and reason in found.failure.reason and found.boxes == ()
    record = clip_answer(found, clip, "m").to_dict()
    assert record["failure"]["reason"] == found.failure.reason and record["boxes"] == []
    json.dumps(record, allow_nan=False)


def test_unreal_boxes_and_cut_answers_are_said(clip: Clip) -> None:
    text = '[{"label": "bed", "bbox_3d": [0, 0, 2, -1, 1, 1, 0, 0, 0]}]'
    found = infer(Says(text, truncated=True), clip, detection_question(clip))
    record = clip_answer(found, clip, "m").to_dict()
    assert record["boxes"][0]["valid"] is False
    assert boxes_in_frame(found, clip, 0)[0] == []
    assert record["notes"] == [
        "the answer was cut off after 7 tokens; raise --max-new-tokens",
        "1 of 1 boxes have sizes that are not positive; not drawn",
    ]


@pytest.mark.parametrize(
    ("text", "options", "answer", "thought"),
    [
        ("3", (), 3.0, None),
        ("There are four chairs.", (), 4.0, None),
        ("b", ("left", "right"), "B", None),
        ("<think>Two and one.</think><answer>3</answer>", (), 3.0, "Two and one."),
    ],
)
def test_spatial_answers(
    clip: Clip, text: str, options: tuple[str, ...], answer: object, thought: str | None
) -> None:
    question = spatial_question(clip, "How many chairs are in this room?", options)
    found = infer(Says(text), clip, question)
    assert found.failure is None and found.answer == answer and found.thought == thought


def test_no_option_is_a_failure(clip: Clip) -> None:
    question = spatial_question(clip, "Which is nearer?", ("the bed", "the desk"))
    assert infer(Says("neither of them"), clip, question).failure is not None
    assert infer(Says(""), clip, spatial_question(clip, "How many?")).failure is not None


def test_questions_that_make_no_sense_are_refused(clip: Clip) -> None:
    for make, message in (
        (lambda: grounding_question(clip, "  "), "description is empty"),
        (lambda: spatial_question(clip, ""), "question is empty"),
        (lambda: spatial_question(clip, "a <image> of what?"), "must not hold <image>"),
        (lambda: spatial_question(clip, "which?", ("one",)), "two to 26 are needed, got 1"),
        (
            lambda: infer(Says("1"), clip, spatial_question(clip, "how many?"), max_new_tokens=0),
            "max_new_tokens must be at least 1",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize(
    ("question", "text", "answer"),
    [
        ("How many chairs are there?", "A", None),
        ("How many chairs are there?", "some", None),
        ("How many chairs are there?", "two", 2.0),
        ("What is on the table?", "A", None),
        ("What is on the table?", "a lamp", "a lamp"),
    ],
)
def test_an_answer_of_another_kind_is_a_failure(clip: Clip, question: str, text: str, answer: object) -> None:
    found = infer(Says(text), clip, spatial_question(clip, question))
    assert found.answer == answer
    assert (found.failure is None) == (answer is not None)


def test_a_model_of_rooms_warns_about_everything_else(clip: Clip) -> None:
    found = infer(Says("2"), clip, spatial_question(clip, "How many chairs are there?"))
    assert clip_answer(found, clip, "m", only_rooms=True).warnings == (ONLY_ROOMS,)
    assert clip_answer(found, replace(clip, scene=make_room(0)), "m", only_rooms=True).warnings == ()
    assert clip_answer(found, clip, "m").warnings == ()


def test_a_description_of_nothing_known_and_a_box_given_twice_are_noted(clip: Clip, tmp_path: Path) -> None:
    text = render_frame_box(FrameBox(0, (0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)))
    sample = grounding_question(clip, "the unicorn")
    found = infer(Says(text), clip, sample)
    before = tmp_path / "answer.json"
    record = clip_answer(found, clip, "m", classes=("chair", "bed"), before=before).to_dict()
    assert len(record["notes"]) == 1 and "no object that this model knows is named" in record["notes"][0]
    before.write_text(json.dumps({**record, "description": "the chair"}))
    again = clip_answer(found, clip, "m", before=before).notes
    assert again == ("'the chair' was given the very same box; one of the two is wrong",)
    before.write_text(json.dumps(record))
    assert clip_answer(found, clip, "m", before=before).notes == ()
