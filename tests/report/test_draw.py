"""Wireframes: clipping before projection, true positions, untrusted labels."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rft3d.geometry import BOX_EDGES, box_corners, project
from rft3d.report import draw
from rft3d.report.draw import draw_boxes, seen

K = np.array([[100.0, 0.0, 84.0], [0.0, 100.0, 56.0], [0.0, 0.0, 1.0]])
BLACK = np.zeros((112, 168, 3), dtype=np.uint8)


def box_edges(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, 9)`` boxes -> ``(N, 12, 2, 3)`` end points of their edges."""
    return box_corners(boxes)[:, BOX_EDGES]


def test_what_is_behind_or_outside_is_cut_on_the_same_line() -> None:
    segments = np.array(
        [
            [[0.0, 0.0, -1.0], [0.0, 0.5, 3.0]],  # from behind the camera
            [[0.0, 0.5, 3.0], [0.0, 0.0, -1.0]],
            [[0.0, 0.0, -1.0], [1.0, 0.0, -2.0]],  # all of it behind
            [[0.0, 0.0, 1.0], [0.5, 0.0, 2.0]],  # all of it in sight
            [[-1e9, 0.0, 1.0], [1e9, 0.0, 1.0]],  # through the whole picture
            [[9.0, 0.0, 1.0], [9.0, 1.0, 1.0]],  # beside it
        ]
    )
    lines = seen(segments, K, (168, 112))
    assert lines.shape == (4, 2, 2)
    assert lines[0] == pytest.approx(lines[1][::-1])
    assert lines[0, 1] == pytest.approx([84.0, 56.0 + 50.0 / 3.0])
    assert lines[0, 0, 0] == pytest.approx(84.0)
    assert lines[2] == pytest.approx(project(segments[3], K)[0])
    assert lines[3] == pytest.approx(np.array([[0.0, 56.0], [168.0, 56.0]]), abs=1e-3)


def test_a_box_around_the_camera_draws_only_what_is_in_front() -> None:
    around = np.array([0.0, 0.0, 0.0, 2.0, 2.0, 6.0, 0.0, 0.0, 0.0])
    ends = seen(box_edges(around[None])[0], K, (168, 112)).reshape(-1, 2)
    front = project(box_corners(around[None])[0], K)[0][box_corners(around[None])[0][:, 2] > 0]
    for corner in front:  # the far face is fully in sight
        assert np.linalg.norm(ends - corner, axis=1).min() < 1e-9
    # nothing mirrored: every visible edge starts at a far corner and leads outwards
    assert np.abs(ends - K[:2, 2]).max(axis=1).min() >= np.abs(front - K[:2, 2]).max(axis=1).min() - 1e-9
    picture = draw_boxes(BLACK, around[None], K, "#ff0000")
    assert (picture[..., 0] > 120).sum() > 50


@pytest.mark.parametrize("scale", [2, 4])
def test_edges_land_on_the_projected_pixels(scale: int) -> None:
    box = np.array([[0.1, 0.2, 2.0, 0.6, 0.4, 0.5, 0.3, 0.1, -0.2]])
    picture = draw_boxes(BLACK, box, K, "#00ff00", scale=scale)
    assert picture.shape == (112 * scale, 168 * scale, 3)
    green = (picture[..., 1] > 90) & (picture[..., 0] < 60)
    for start, end in box_edges(box)[0]:
        uv, _ = project(((start + end) / 2)[None], K)
        u, v = np.floor(uv[0] * scale).astype(int)
        assert green[v - 2 : v + 3, u - 2 : u + 3].any()


def test_the_input_stays_as_it_is_and_bad_boxes_are_not_drawn() -> None:
    bad = np.array(
        [
            [0.0, 0.0, 2.0, -1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            [np.nan, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, -5.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 1e300, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
        ]
    )
    picture = draw_boxes(BLACK, bad[:3], K, "#ffffff", ["a", "b", "c"])
    assert not picture.any()
    assert draw_boxes(BLACK, bad[3:], K, "#ffffff", ["far"]).shape == BLACK.shape
    assert draw_boxes(BLACK, np.zeros((0, 9)), K).shape == BLACK.shape
    good = np.array([[0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    draw_boxes(BLACK, good, K, "#ffffff")
    assert not BLACK.any()


def test_labels_are_untrusted_text() -> None:
    box = np.array([[0.0, 0.0, 2.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    hostile = ["\x00\n\ud800\u202e" + "long" * 1000]
    assert draw_boxes(BLACK, box, K, "#ffffff", hostile).any()


def test_labels_do_not_lie_on_one_another() -> None:
    places: list[tuple[float, ...]] = []

    class Noting(ImageDraw.ImageDraw):
        def rounded_rectangle(self, xy: Any, *args: Any, **options: Any) -> None:
            places.append(tuple(xy))

    tags = [(90.0 + k, 60.0, f"chair {k}", "#ffffff") for k in range(5)]
    draw._draw_tags(Noting(Image.new("RGB", (320, 240))), tags, (320, 240))
    assert len(places) == 5 and all(top >= 0 and bottom <= 240 for _, top, _, bottom in places)
    for a, b in combinations(places, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="one a box"):
        draw_boxes(BLACK, np.zeros((2, 9)), K, ["#fff"])
