"""The whole prompt of every benchmark, as the model's token ids spell it: VG-LLM's, character by character."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.tiny import make_policy

from rft3d.datasets.vgllm import caption_sample, detection_sample, grounding_sample
from rft3d.datasets.vsi import question_sample
from rft3d.models import Policy
from rft3d.models.tokens import token_id
from rft3d.prompts import Prompt
from rft3d.scenes.readers.records import ChatRecord, QuestionRecord
from rft3d.tasks import Detection, captioning, detection, grounding
from rft3d.tasks.types import Sample

FRAMES = ("a.jpg", "b.jpg")
DETECT = (
    "Detect the 3D bounding boxes in the camera coordinate system of the first frame.\n"
    'Output a json list where each entry contains the object name in "label" and its 3D bounding box in '
    '"bbox_3d".\n'
    "The 3D bounding box format should be [x_center, y_center, z_center, x_size, y_size, z_size, yaw, roll, "
    "pitch]."
)
LOCALIZE = (
    "Localize the first clear frame in the video showing the object described in the text.\n"
    "Text: The red chair.\n"
    'Output a JSON dictionary with the frame index in "frame" and its 3D bounding box in "bbox_3d" in the '
    "frame's coordinates.\n"
)
DESCRIBE = "Carefully watch the video and describe the object located at [0.1, 0.2, 1.5] in detail."
COUNT = "How many chair(s) are in this room?"
POSE = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
BOX = [0.1, 0.2, 1.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0]
IMAGE = "<|vision_start|><|vision_end|>"


def record(human: str, answer: str = "", **extra: object) -> ChatRecord:
    turns = (human, answer)
    return ChatRecord("1", "scene0011_00", "scannet", turns, FRAMES, None, None, extra)


def seen(sample: Sample) -> str:
    """What the model reads, without the tokens of the pictures themselves."""
    policy: Policy = make_policy()
    ids = list(policy.row(sample.turns(), torch.tensor([[1, 4, 6]] * 2)).prefix)
    return str(policy.tokenizer.decode(ids)).replace("<|image_pad|>", "")


def chat(user: str) -> str:
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"{user}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_prompts_read_from_upstreams_files() -> None:
    detected = detection_sample(record("<image>\n<image>\n" + DETECT, boxes=[{"label": "chair"}]), FRAMES)
    assert seen(detected) == chat(2 * IMAGE + DETECT)
    named = f"Frame-0: {IMAGE}Frame-1: {IMAGE}" + LOCALIZE
    target = {"frame": 0, "bbox_3d": BOX}
    facts = {"gt_bbox": BOX, "T_world_camera": [POSE, POSE], "target": target}
    for human in ("Frame-0: <image>Frame-1: <image>\n" + LOCALIZE, LOCALIZE):  # train and val
        assert seen(grounding_sample(record(human, **facts), FRAMES)) == chat(named)
    described = caption_sample(record("<image><image>\n" + DESCRIBE, "A chair."), FRAMES)
    assert seen(described) == chat(2 * IMAGE + DESCRIBE)
    number = QuestionRecord("1", "scene0011_00", "scannet", "object_counting", COUNT, (), "4", "v.mp4")
    body = f"These are frames of a video.\n{COUNT}\nPlease answer the question using a single word or phrase."
    assert seen(question_sample(number, FRAMES)) == chat(2 * IMAGE + body)


def test_our_own_prompts_are_the_same() -> None:
    assert detection.PROMPT == DETECT
    frames = "Frame-0: <image>"
    assert grounding.PROMPT.format(frames=frames, description="The red chair.") == frames + LOCALIZE
    assert captioning.PROMPT.format(frames="", centre=[0.1, 0.2, 1.5]) == DESCRIBE


def test_plain_rounding_is_upstreams_and_safe_rounding_protects_the_iou() -> None:
    row = {"label": "picture", "bbox_3d": [-0.001, 0.2, 1.5, 0.004, 0.5, 0.5, -0.002, 0.0, 0.0]}
    theirs = detection_sample(record("<image>\n<image>\n" + DETECT, boxes=[row]), FRAMES)
    assert '"bbox_3d": [-0.0, 0.2, 1.5, 0.0, 0.5, 0.5, -0.0, 0.0, 0.0]' in Detection().gold(theirs)
    ours = replace(theirs, meta={})
    assert '"bbox_3d": [0.0, 0.2, 1.5, 0.01, 0.5, 0.5, 0.0, 0.0, 0.0]' in Detection().gold(ours)
    assert '"bbox_3d": [-0.0, 0.2, 1.5, 0.0' in Detection(rounding="plain").gold(ours)


def test_what_is_trained_behind_an_answer_and_what_stops_it_are_fields() -> None:
    tiny = make_policy()
    end = token_id(tiny.tokenizer, "<|im_end|>")
    assert tiny.answer_end == "<|im_end|>" and tiny.answer_ids("4")[-1] == end
    real = Policy(tiny.model, tiny.tokenizer, tiny.frame_size, {})
    assert str(tiny.tokenizer.decode(real.answer_ids("4"))) == "4<|im_end|>\n"
    assert len(real.stop_ids) == 2 and len(real.model.suppressed) == 4
    as_upstream = Policy(
        tiny.model, tiny.tokenizer, tiny.frame_size, {}, stops=("<|im_end|>",), suppress_visual=False
    )
    assert as_upstream.stop_ids == {end} and len(as_upstream.model.suppressed) == 0


def test_a_prompt_beyond_the_models_positions_is_refused_before_memory_is_taken() -> None:
    policy = make_policy()
    limit = policy.model.config.text_config.max_position_embeddings
    with pytest.raises(
        ValueError, match=rf"the prompt 'x x .* has \d+ tokens, the model takes {limit}; shorten"
    ):
        policy.row(Prompt("x " * 100_000, 0), torch.zeros(0, 3, dtype=torch.long))
