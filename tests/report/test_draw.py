"""Wireframes: clipping before projection, true positions, untrusted labels."""

from __future__ import annotations

import numpy as np
import pytest

from rft3d.geometry import box_corners, project
from rft3d.report.draw import box_edges, clip_near, clip_to_picture, draw_boxes, project_segments

K = np.array([[100.0, 0.0, 84.0], [0.0, 100.0, 56.0], [0.0, 0.0, 1.0]])
BLACK = np.zeros((112, 168, 3), dtype=np.uint8)


def test_edges_are_the_twelve_edges_of_the_box() -> None:
    box = np.array([0.3, -0.2, 3.0, 1.0, 2.0, 3.0, 0.4, -0.2, 0.7])
    edges = box_edges(box[None])[0]
    lengths = np.linalg.norm(edges[:, 0] - edges[:, 1], axis=1)
    assert np.sort(lengths) == pytest.approx([1.0] * 4 + [2.0] * 4 + [3.0] * 4)
    corners = box_corners(box[None])[0]
    to_corner = np.linalg.norm(edges.reshape(-1, 1, 3) - corners[None], axis=2).min(axis=1)
    assert to_corner.max() < 1e-12


def test_near_clipping_keeps_the_part_in_front_on_the_same_line() -> None:
    segments = np.array(
        [
            [[0.0, 0.0, -1.0], [0.0, 2.0, 3.0]],
            [[0.0, 2.0, 3.0], [0.0, 0.0, -1.0]],
            [[0.0, 0.0, -1.0], [1.0, 0.0, -2.0]],
            [[0.0, 0.0, 1.0], [1.0, 0.0, 2.0]],
        ]
    )
    clipped = clip_near(segments, near_m=1.0)
    assert clipped.shape == (3, 2, 3)
    assert clipped[0] == pytest.approx(np.array([[0.0, 1.0, 1.0], [0.0, 2.0, 3.0]]))
    assert clipped[1] == pytest.approx(clipped[0][::-1])
    assert clipped[2] == pytest.approx(segments[3])


def test_a_box_around_the_camera_draws_only_what_is_in_front() -> None:
    around = np.array([0.0, 0.0, 0.0, 2.0, 2.0, 6.0, 0.0, 0.0, 0.0])
    lines = project_segments(clip_near(box_edges(around[None])[0]), K)
    ends = lines.reshape(-1, 2)
    front = project(box_corners(around[None])[0], K)[0][box_corners(around[None])[0][:, 2] > 0]
    for corner in front:  # the far face is fully in sight
        assert np.linalg.norm(ends - corner, axis=1).min() < 1e-9
    # nothing mirrored: every visible edge starts at a far corner and leads outwards
    assert np.abs(ends - K[:2, 2]).max(axis=1).min() >= np.abs(front - K[:2, 2]).max(axis=1).min() - 1e-9
    picture = draw_boxes(BLACK, around[None], K, "#ff0000")
    assert (picture[..., 0] > 200).sum() > 50


def test_clipping_to_the_picture() -> None:
    lines = np.array(
        [
            [[-1e9, 5.0], [1e9, 5.0]],
            [[2.0, 2.0], [3.0, 3.0]],
            [[-5.0, 0.0], [-5.0, 9.0]],
            [[-1.0, 9.0], [1.0, 11.0]],
        ]
    )
    kept = clip_to_picture(lines, 10, 10)
    assert kept[0] == pytest.approx(np.array([[0.0, 5.0], [10.0, 5.0]]))
    assert kept[1] == pytest.approx(lines[1])
    assert len(kept) == 3  # the last one only touches the corner (0, 10)
    assert kept[2] == pytest.approx(np.array([[0.0, 10.0], [0.0, 10.0]]))


@pytest.mark.parametrize("scale", [1, 4])
def test_edges_land_on_the_projected_pixels(scale: int) -> None:
    box = np.array([[0.1, 0.2, 2.0, 0.6, 0.4, 0.5, 0.3, 0.1, -0.2]])
    picture = draw_boxes(BLACK, box, K, "#00ff00", scale=scale)
    assert picture.shape == (112 * scale, 168 * scale, 3)
    green = (picture[..., 1] > 200) & (picture[..., 0] < 60)
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


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="one a box"):
        draw_boxes(BLACK, np.zeros((2, 9)), K, ["#fff"])
