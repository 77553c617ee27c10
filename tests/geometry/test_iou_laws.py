"""Laws of box IoU over random, degenerate and hostile boxes; shapes and errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.geometry.helpers import box_reparametrisations

from rft3d.geometry import (
    box_iou,
    box_iou_pairs,
    matrix_from_euler_zxy,
    pose_from,
    transform_boxes,
)
from rft3d.geometry.compiling import compiled

from .families import FAMILIES, general, pairs

Array = NDArray[np.float64]


def numbers(low: float, high: float, count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=count, max_size=count)


# Sides from 1 mm to 10 m, so plates, rods and specks; round values make boxes touch and coincide.
SIDES = st.one_of(st.floats(-3, 1).map(lambda e: 10.0**e), st.sampled_from([0.5, 1.0, 2.0]))
ANGLES = st.one_of(st.floats(-7, 7), st.sampled_from([0.0, np.pi / 4, np.pi / 2, -np.pi / 2, np.pi]))
CENTRES = st.one_of(st.floats(-1, 1), st.sampled_from([0.0, 0.5, 1.0]))
BOX = st.tuples(*[CENTRES] * 3, *[SIDES] * 3, *[ANGLES] * 3)
BOXES = st.lists(BOX, min_size=1, max_size=6).map(np.array)


def rounding(*boxes: Array) -> float:
    """How far rewriting the numbers in float64 can move an IoU: a few ulp of a coordinate over a side."""
    every = np.concatenate(boxes)
    reach = np.abs(every[:, :3]).max() + every[:, 3:6].max()
    return 1e-12 + 2e-14 * reach / every[:, 3:6].min()


@given(BOXES, BOXES)
def test_symmetric_bit_by_bit_and_between_0_and_1(a: Array, b: Array) -> None:
    result = box_iou(a, b)
    assert np.array_equal(result, box_iou(b, a).T)
    assert np.all((result >= 0) & (result <= 1))


@given(BOXES)
def test_identical_boxes_give_exactly_1(boxes: Array) -> None:
    assert np.all(np.diagonal(box_iou(boxes, boxes.copy())) == 1.0)


@given(BOXES, BOXES, numbers(-3.2, 3.2, 3), numbers(-5, 5, 3))
def test_invariant_under_a_common_rigid_motion(
    a: Array, b: Array, angles: list[float], shift: list[float]
) -> None:
    pose = pose_from(matrix_from_euler_zxy(angles), shift)
    moved_a, moved_b = transform_boxes(pose, a), transform_boxes(pose, b)
    np.testing.assert_allclose(
        box_iou(moved_a, moved_b), box_iou(a, b), rtol=0, atol=rounding(a, b, moved_a, moved_b)
    )


@given(BOX.map(np.array), BOXES)
def test_invariant_under_the_24_reparametrisations(box: Array, others: Array) -> None:
    ways = box_reparametrisations(box)
    expected = np.repeat(box_iou(box[None], others), 24, axis=0)
    np.testing.assert_allclose(box_iou(ways, others), expected, rtol=0, atol=rounding(ways, others))
    np.testing.assert_allclose(box_iou(ways, box[None]), 1.0, rtol=0, atol=rounding(ways))


@given(BOX.map(np.array), BOX.map(np.array), numbers(-1, 1, 3))
def test_zero_when_apart(a: Array, b: Array, direction: list[float]) -> None:
    unit = np.array(direction)
    unit[0] += 1e-3
    unit /= max(np.linalg.norm(unit), 1e-12)
    b[:3] = a[:3] + unit * 0.501 * (np.linalg.norm(a[3:6]) + np.linalg.norm(b[3:6]))
    assert box_iou(a[None], b[None])[0, 0] == 0.0


@given(numbers(-1, 1, 6), numbers(0.01, 2, 6))
def test_analytic_for_axis_aligned_boxes(lows: list[float], sizes: list[float]) -> None:
    low, size = np.array(lows).reshape(2, 3), np.array(sizes).reshape(2, 3)
    boxes = np.concatenate([low + size / 2, size, np.zeros_like(size)], axis=-1)
    overlap = np.prod(np.maximum((low + size).min(axis=0) - low.max(axis=0), 0.0))
    expected = overlap / (size.prod(axis=1).sum() - overlap)
    assert box_iou(boxes[:1], boxes[1:])[0, 0] == pytest.approx(expected, abs=1e-12)


@given(BOX.map(np.array), numbers(0.05, 0.95, 3))
def test_nested_boxes_give_the_ratio_of_volumes(box: Array, shrink: list[float]) -> None:
    inner = box.copy()
    inner[3:6] *= shrink
    assert box_iou(box[None], inner[None])[0, 0] == pytest.approx(np.prod(shrink), rel=1e-12)


def test_touching_boxes_give_exactly_0() -> None:
    """Face, edge and corner contact along the axes of a rotated box."""
    a = general(np.random.default_rng(5), 40)
    a[:, :3] *= 10
    sides = [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)]
    for side in sides:
        b = a.copy()
        b[:, 3:6] *= 0.7
        step = np.array(side) * 0.5 * (a[:, 3:6] + b[:, 3:6])
        b[:, :3] += np.einsum("nij,nj->ni", matrix_from_euler_zxy(a[:, 6:]), step)
        assert np.all(box_iou_pairs(a, b) == 0.0), side


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_scores_the_same_bits_in_any_batch_and_order(family: str) -> None:
    a, b = pairs(family, 30)
    matrix = box_iou(a, b)
    assert np.array_equal(matrix, box_iou(b, a).T)
    assert np.array_equal(np.diagonal(matrix), box_iou_pairs(a, b))
    for i, j in ((0, 0), (3, 7), (29, 1)):
        assert box_iou(a[i : i + 1], b[j : j + 1])[0, 0] == matrix[i, j]


INVALID = [(k, v) for k in range(9) for v in (np.nan, np.inf, -np.inf)]
INVALID += [(k, v) for k in (3, 4, 5) for v in (0.0, -0.0, -1.0, 1e-60, 1e300)] + [(0, 1e300)]


def test_invalid_boxes_give_0_and_leave_others_alone() -> None:
    good = np.array([[0, 0, 0, 1, 1, 1, 0, 0, 0.0]])
    bad = np.repeat(good, len(INVALID), axis=0)
    for row, (column, value) in enumerate(INVALID):
        bad[row, column] = value
    boxes = np.concatenate([bad, good])
    expected = np.zeros((len(boxes), len(boxes)))
    expected[-1, -1] = 1.0
    assert np.array_equal(box_iou(boxes, boxes), expected)
    assert np.array_equal(box_iou_pairs(boxes, boxes), np.diagonal(expected))


def test_extreme_but_valid_sizes() -> None:
    boxes = np.array([[0, 0, 0, s, s, s, 0.3, 0.2, 0.1] for s in (1e-50, 1e-20, 1.0, 1e20, 1e50)])
    with np.errstate(under="ignore"):
        result = box_iou(boxes, boxes)
    assert np.array_equal(np.diagonal(result), np.ones(5))
    assert np.all(result[~np.eye(5, dtype=bool)] < 1e-59)


def test_empty_inputs() -> None:
    some = np.zeros((3, 9))
    assert box_iou([], some).shape == (0, 3)
    assert box_iou(some, np.empty((0, 9))).shape == (3, 0)
    assert box_iou([], []).shape == (0, 0)
    assert box_iou_pairs([], []).shape == (0,)


def test_accepts_lists_and_strided_float32() -> None:
    record = [0, 0, 0, 1, 2, 3, 0.1, 0.2, 0.3]
    wide = np.asarray([record, record], dtype=np.float32).repeat(2, axis=1)[:, ::2]
    assert box_iou([record], [tuple(record)])[0, 0] == 1.0
    assert box_iou(wide, [record]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("shape", [(9,), (2, 7), (2, 3, 9), (0, 7), ()])
def test_wrong_shapes_name_the_argument_and_the_shape(shape: tuple[int, ...]) -> None:
    good = np.zeros((1, 9))
    for function in (box_iou, box_iou_pairs):
        with pytest.raises(ValueError, match="boxes_a") as error:
            function(np.zeros(shape), good)
        assert str(shape) in str(error.value)
        with pytest.raises(ValueError, match="boxes_b"):
            function(good, np.zeros(shape))
    with pytest.raises(ValueError, match=r"same length.*\(1, 9\) and \(2, 9\)"):
        box_iou_pairs(good, np.zeros((2, 9)))


def test_without_a_place_for_compiled_code_functions_are_compiled_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import numba

    asked: list[bool] = []

    def njit(*signature: str, cache: bool = False, **options: object) -> object:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled("float64(float64)")(abs) is abs
    assert asked == [True, False]
