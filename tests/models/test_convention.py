"""Weights in the old angle convention: the policy translates at its boundary, both ways."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.real import make_real

from rft3d.geometry import matrix_from_euler_zxy, matrix_from_euler_zxy_extrinsic
from rft3d.models.convention import (
    extrinsic_from_intrinsic,
    house_text,
    intrinsic_from_extrinsic,
    weights_text,
)
from rft3d.models.generate import Completion
from rft3d.rewards import Comparison
from rft3d.tasks import TASKS, Sample

OLD, NEW = "extrinsic_zxy", "intrinsic_zxy"
angle = st.floats(-3.1, 3.1, allow_nan=False)


@given(angle, angle, angle)
def test_both_ways_keep_the_rotation(a: float, b: float, c: float) -> None:
    old = matrix_from_euler_zxy_extrinsic(np.array([a, b, c]))
    assert np.allclose(matrix_from_euler_zxy(np.array(intrinsic_from_extrinsic([a, b, c]))), old, atol=1e-9)
    new = matrix_from_euler_zxy(np.array([a, b, c]))
    back = extrinsic_from_intrinsic([a, b, c])
    assert np.allclose(matrix_from_euler_zxy_extrinsic(np.array(back)), new, atol=1e-9)


BOXES = [
    {"label": "chair", "bbox_3d": [0.1, -0.2, 2.3, 0.5, 0.9, 0.5, 0.3, -0.8, 0.12]},
    {"label": "bed", "bbox_3d": [1.0, 0.0, 3.0, 2.0, 0.5, 1.6, -1.2, 0.4, 0.9]},
]


def answer(boxes: list[dict]) -> str:
    return "```json\n[\n\t" + ",\n\t".join(json.dumps(b) for b in boxes) + "\n]```"


def test_a_text_of_old_weights_scores_as_what_it_means() -> None:
    """The rotation that old weights wrote earns full marks only when it is translated."""
    truth = []
    for box in BOXES:
        angles = intrinsic_from_extrinsic(box["bbox_3d"][6:])
        truth.append({"label": box["label"], "bbox_3d": [*box["bbox_3d"][:6], *angles]})
    sample = Sample("s", "detection", "scene", ("a",), "<image>Detect", {"boxes": truth})
    task = TASKS["detection"]()
    raw = answer(BOXES)
    read = house_text(raw, OLD)
    assert read != raw and house_text(raw, NEW) == raw
    right, wrong = task.score(read, sample), task.score(raw, sample)
    matched = [sum(iou for iou, _ in each.evidence_of(Comparison).assigned) for each in (right, wrong)]
    assert matched[0] > 0.995 * len(BOXES) and matched[1] < 0.8 * matched[0]
    assert [json.loads(line.strip(",\t"))["bbox_3d"][:6] for line in read.split("\n")[2:4]] == [
        b["bbox_3d"][:6] for b in BOXES
    ]


def test_the_policy_translates_at_its_boundary() -> None:
    """What it is asked to learn and what it says are the house's; its tokens are its own."""
    old, new = make_real(box_convention=OLD), make_real()
    text = answer(BOXES)
    tokens = tuple(old.answer_ids(text))
    assert tokens != tuple(new.answer_ids(text))
    written = old.tokenizer.decode(list(tokens), skip_special_tokens=True)
    assert written == weights_text(text, OLD) + "\n"  # of the chat layout, behind the stop token
    said = old.text_of(Completion(tokens, (0.0,) * len(tokens), False)).text
    for line, box in zip(said.split("\n")[2:4], BOXES, strict=True):
        numbers = json.loads(line.strip(",\t"))["bbox_3d"]
        assert numbers[:6] == box["bbox_3d"][:6]
        assert np.allclose(
            matrix_from_euler_zxy(np.array(numbers[6:])), matrix_from_euler_zxy(np.array(box["bbox_3d"][6:])),
            atol=0.02,
        )  # fmt: skip
    assert new.text_of(Completion(tuple(new.answer_ids(text)), (0.0,), False)).text == text + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "", "no box", '"bbox_3d": [', '"bbox_3d": [1, 2, 3]', '"bbox_3d": [1,2,3,4,5,6,7,8,nine]',
        '"bbox_3d": [1,2,3,4,5,6,7,8,9,10]', '"bbox_3d": [1,2,3,4,5,6,NaN,8,9]', "[" * 5000,
        '"bbox_3d": [' + "1," * 5000 + "1]", '"bbox_3d": [1,2,3,4,5,6,1e999,8,9]',
    ],
)  # fmt: skip
def test_what_is_no_box_stays_as_it_is(text: str) -> None:
    assert house_text(text, OLD) == text
    assert weights_text(text, OLD) == text


@given(st.text(st.sampled_from('"bx_3d:[], 0123456789.-eE+{}\n'), max_size=200))
def test_never_raises(text: str) -> None:
    house_text('"bbox_3d": [' + text + "]", OLD)
    weights_text(text, OLD)
