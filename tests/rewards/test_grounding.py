"""Grounding rewards: the frame's linear score, and the box moved to the world by the answer's frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rft3d.answers import FrameBox
from rft3d.rewards import Placement
from rft3d.rewards.grounding import grounding_diou, grounding_frame, grounding_hit, grounding_iou

# Frame 0 is the world; frame 1 stands 2 m along x; frame 2 is turned a quarter about z (x -> y).
POSES = np.stack([np.eye(4)] * 3)
POSES[1, 0, 3] = 2.0
POSES[2, :2, :2] = [[0, -1], [1, 0]]
WORLD = (2.0, 1.0, 0.5, 1.0, 2.0, 1.0, 0.0, 0.0, 0.0)


def placed(answer: FrameBox, truth: Sequence[float] = WORLD, frame: int = 0, tau: float = 5.0) -> Placement:
    return Placement(answer, frame, truth, POSES, tau)


@pytest.mark.parametrize(
    ("predicted", "true", "tau", "value"),
    [
        (4, 4, 5, 1),
        (5, 4, 5, 0.8),
        (2, 4, 5, 0.6),
        (9, 4, 5, 0),
        (0, 31, 5, 0),
        (3, 4, 2, 0.5),
        (10**6, 0, 5, 0),
    ],
)
def test_frame(predicted: int, true: int, tau: float, value: float) -> None:
    assert grounding_frame(placed(FrameBox(predicted, WORLD), frame=true, tau=tau)).value == pytest.approx(
        value
    )


def test_frame_reason_and_errors() -> None:
    assert grounding_frame(placed(FrameBox(5, WORLD), frame=4)).reason == "frame 5, 1 from the true frame 4"
    with pytest.raises(ValueError, match="tau must be positive"):
        placed(FrameBox(5, WORLD), tau=0)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (FrameBox(0, WORLD), 1),
        (FrameBox(1, (0.0, *WORLD[1:])), 1),
        (FrameBox(2, (1.0, -2.0, 0.5, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0)), 1),  # x and y swap in a turned camera
        (FrameBox(1, WORLD), 0),  # the right box for another frame
        (FrameBox(0, (2.5, *WORLD[1:])), 1 / 3),
        (FrameBox(3, WORLD), 0),
        (FrameBox(-1, WORLD), 0),  # no wrapping round to the last frame
        (FrameBox(0, (*WORLD[:3], -1.0, *WORLD[4:])), 0),
    ],
)
def test_iou_by_hand(answer: FrameBox, value: float) -> None:
    assert grounding_iou(placed(answer)).value == pytest.approx(value, abs=1e-9)


def test_iou_reasons_and_errors() -> None:
    assert grounding_iou(placed(FrameBox(7, WORLD))).reason == "frame 7 of a video with frames 0 to 2"
    with pytest.raises(ValueError, match=r"box_world must have shape \(9,\)"):
        placed(FrameBox(0, WORLD), WORLD[:6])
    with pytest.raises(ValueError, match=r"poses must have shape \(F, 4, 4\)"):
        Placement(FrameBox(0, WORLD), 0, WORLD, POSES[0])


@given(st.lists(st.floats(-1e308, 1e308), min_size=9, max_size=9), st.integers(0, 2))
def test_any_finite_box_scores(box: list[float], frame: int) -> None:
    assert 0 <= grounding_iou(placed(FrameBox(frame, tuple(box)))).value <= 1


@pytest.mark.parametrize(("iou", "hit"), [(0.25, 1.0), (0.2499, 0.0), (1.0, 1.0), (0.0, 0.0)])
def test_a_hit_is_inclusive(iou: float, hit: float) -> None:
    found = placed(FrameBox(0, WORLD))
    vars(found)["iou"] = iou
    part = grounding_hit(found)
    assert (part.name, part.value) == ("acc@0.25", hit)
    assert part.reason.startswith(f"IoU {iou:.3f} ")


def test_diou_by_hand() -> None:
    """Two unit cubes 3 m apart: corners at most sqrt(4^2 + 1 + 1) apart, no overlap."""
    truth = (0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    near = FrameBox(0, (3.0, *truth[1:]))
    assert grounding_diou(placed(near, truth)).value == pytest.approx((1 - 9 / 18) / 2)
    assert grounding_diou(placed(FrameBox(0, truth), truth)).value == pytest.approx(1.0)
    from_frame_1 = FrameBox(1, (-2.0, *truth[1:]))  # frame 1 stands at x = 2
    assert grounding_diou(placed(from_frame_1, truth)).value == pytest.approx(1.0)
    assert grounding_diou(placed(FrameBox(9, truth), truth)).value == 0
    flat = FrameBox(0, (0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0))
    assert grounding_diou(placed(flat, truth)).value == 0
