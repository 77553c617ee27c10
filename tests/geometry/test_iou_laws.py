"""Laws of box IoU over random, degenerate and hostile boxes; shapes, engines and errors."""

from __future__ import annotations

import importlib.util
import itertools
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.geometry.helpers import box_reparametrisations

from rft3d.geometry import (
    box_from_axis_aligned,
    box_iou,
    box_iou_pairs,
    iou,
    matrix_from_euler_zxy,
    pose_from,
    transform_boxes,
)

from .families import FAMILIES, general, pairs

no_numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is not installed")
ENGINES = ["numpy", pytest.param("numba", marks=no_numba)]
every_engine = pytest.mark.parametrize("engine", ENGINES)

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
    result = box_iou(a, b, engine="numpy")
    assert np.array_equal(result, box_iou(b, a, engine="numpy").T)
    assert np.all((result >= 0) & (result <= 1))


@given(BOXES)
def test_identical_boxes_give_exactly_1(boxes: Array) -> None:
    assert np.all(np.diagonal(box_iou(boxes, boxes.copy(), engine="numpy")) == 1.0)


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
    boxes = box_from_axis_aligned(low, low + size)
    overlap = np.prod(np.maximum((low + size).min(axis=0) - low.max(axis=0), 0.0))
    expected = overlap / (size.prod(axis=1).sum() - overlap)
    assert box_iou(boxes[:1], boxes[1:])[0, 0] == pytest.approx(expected, abs=1e-12)


@given(BOX.map(np.array), numbers(0.05, 0.95, 3))
def test_nested_boxes_give_the_ratio_of_volumes(box: Array, shrink: list[float]) -> None:
    inner = box.copy()
    inner[3:6] *= shrink
    assert box_iou(box[None], inner[None])[0, 0] == pytest.approx(np.prod(shrink), rel=1e-12)


@every_engine
def test_touching_boxes_give_exactly_0(engine: str) -> None:
    """Face, edge and corner contact along the axes of a rotated box."""
    a = general(np.random.default_rng(5), 40)
    a[:, :3] *= 10
    sides = [s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)]
    for side in sides:
        b = a.copy()
        b[:, 3:6] *= 0.7
        step = np.array(side) * 0.5 * (a[:, 3:6] + b[:, 3:6])
        b[:, :3] += np.einsum("nij,nj->ni", matrix_from_euler_zxy(a[:, 6:]), step)
        assert np.all(box_iou_pairs(a, b, engine=engine) == 0.0), side


@every_engine
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pair_scores_the_same_bits_in_any_batch_and_order(family: str, engine: str) -> None:
    a, b = pairs(family, 30)
    matrix = box_iou(a, b, engine=engine)
    assert np.array_equal(matrix, box_iou(b, a, engine=engine).T)
    assert np.array_equal(np.diagonal(matrix), box_iou_pairs(a, b, engine=engine))
    for i, j in ((0, 0), (3, 7), (29, 1)):
        assert box_iou(a[i : i + 1], b[j : j + 1], engine=engine)[0, 0] == matrix[i, j]


@every_engine
def test_many_chunks_agree_with_one(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    a, b = general(rng, 70), general(rng, 61)
    whole = box_iou(a, b, engine=engine)
    monkeypatch.setattr("rft3d.geometry._iou_numpy.CHUNK_PAIRS", 7)
    assert np.array_equal(box_iou(a, b, engine=engine), whole)


INVALID = [(k, v) for k in range(9) for v in (np.nan, np.inf, -np.inf)]
INVALID += [(k, v) for k in (3, 4, 5) for v in (0.0, -0.0, -1.0, 1e-60, 1e300)] + [(0, 1e300)]


@every_engine
def test_invalid_boxes_give_0_and_leave_others_alone(engine: str) -> None:
    good = np.array([[0, 0, 0, 1, 1, 1, 0, 0, 0.0]])
    bad = np.repeat(good, len(INVALID), axis=0)
    for row, (column, value) in enumerate(INVALID):
        bad[row, column] = value
    boxes = np.concatenate([bad, good])
    expected = np.zeros((len(boxes), len(boxes)))
    expected[-1, -1] = 1.0
    assert np.array_equal(box_iou(boxes, boxes, engine=engine), expected)
    assert np.array_equal(box_iou_pairs(boxes, boxes, engine=engine), np.diagonal(expected))


@every_engine
def test_extreme_but_valid_sizes(engine: str) -> None:
    boxes = np.array([[0, 0, 0, s, s, s, 0.3, 0.2, 0.1] for s in (1e-50, 1e-20, 1.0, 1e20, 1e50)])
    with np.errstate(under="ignore"):
        result = box_iou(boxes, boxes, engine=engine)
    assert np.array_equal(np.diagonal(result), np.ones(5))
    assert np.all(result[~np.eye(5, dtype=bool)] < 1e-59)


@every_engine
def test_empty_inputs(engine: str) -> None:
    some = np.zeros((3, 9))
    assert box_iou([], some, engine=engine).shape == (0, 3)
    assert box_iou(some, np.empty((0, 9)), engine=engine).shape == (3, 0)
    assert box_iou([], [], engine=engine).shape == (0, 0)
    assert box_iou_pairs([], [], engine=engine).shape == (0,)


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


def test_unknown_engine_is_named() -> None:
    # any exception type: with run-time type checks on, they refuse the value first
    with pytest.raises(Exception, match="'cuda'"):
        box_iou([], [], engine="cuda")  # type: ignore[arg-type]


@pytest.fixture
def fresh_engine_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process that has scored nothing."""
    monkeypatch.setattr(iou, "_pairs_so_far", 0)
    monkeypatch.setattr(iou, "_numba_engine", None)
    monkeypatch.setattr(iou, "_numba_missing", False)


@pytest.mark.usefixtures("fresh_engine_choice")
@pytest.mark.parametrize("error", [ImportError("no numba"), RuntimeError("cannot cache function")])
def test_auto_stays_on_numpy_when_numba_cannot_be_used(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[Exception] = []

    def refuse() -> ModuleType:
        attempts.append(error)
        raise error

    monkeypatch.setattr(iou, "_load_numba_engine", refuse)
    boxes = general(np.random.default_rng(1), 150)
    expected = box_iou(boxes[:20], boxes[:20], engine="numpy")
    assert not attempts
    assert np.array_equal(box_iou(boxes, boxes)[:20, :20], expected)  # 22,500 pairs: tries numba
    assert np.array_equal(box_iou(boxes[:20], boxes[:20]), expected)  # and does not try again
    assert len(attempts) == 1
    with pytest.raises(type(error)):
        box_iou(boxes, boxes, engine="numba")


@no_numba
@pytest.mark.usefixtures("fresh_engine_choice")
def test_auto_turns_to_numba_when_the_work_adds_up() -> None:
    boxes = general(np.random.default_rng(1), 100)
    first = box_iou(boxes, boxes)
    assert iou._numba_engine is None
    box_iou(boxes, boxes)
    third = box_iou(boxes, boxes)
    assert iou._numba_engine is not None
    assert np.array_equal(first, third)
