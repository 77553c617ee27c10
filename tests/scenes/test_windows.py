"""Cuts of a scene: frames in order, descriptions that still point at the right picture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rft3d.scenes import RoomConfig, Scene, make_room, select_frames, sliding_windows, spread_frames
from rft3d.scenes.types import Expression


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Seven frames; object ``a`` is best in frame 5, ``b`` is seen in frame 2 only, ``c`` never."""
    room = make_room(3, RoomConfig(frames=7, width=56, height=42, min_objects=3))
    a, b, c = (thing.id for thing in room.objects[:3])
    shares = {0: {a: 0.2}, 2: {a: 0.6, b: 0.9}, 3: {a: 0.6}, 5: {a: 1.0}}
    frames = tuple(replace(frame, visible=shares.get(k, {})) for k, frame in enumerate(room.frames))
    texts = (Expression("a", a, 5), Expression("b", b, 2), Expression("c", c), Expression("a too", a))
    return replace(room, frames=frames, expressions=texts)


def best(scene: Scene) -> dict[str, int | None]:
    return {expression.text: expression.best_frame for expression in scene.expressions}


def test_descriptions_follow_their_best_frame(scene: Scene) -> None:
    cut = select_frames(scene, [2, 3, 5], "cut")
    assert cut.id == "cut" and cut.objects == scene.objects
    assert [frame.name for frame in cut.frames] == [scene.frames[k].name for k in (2, 3, 5)]
    assert best(cut) == {"a": 2, "b": 0, "a too": 2}  # c is seen nowhere


def test_the_best_kept_frame_takes_over(scene: Scene) -> None:
    cut = select_frames(scene, [0, 1, 2, 3])
    assert cut.id == scene.id
    assert best(cut) == {"a": 2, "b": 2, "a too": 2}  # the first of equals
    assert best(select_frames(scene, [1, 3])) == {"a": 1, "a too": 1}
    assert select_frames(scene, [1, 4]).expressions == ()


def test_a_best_frame_needs_no_visibility(scene: Scene) -> None:
    blind = replace(scene, frames=tuple(replace(frame, visible={}) for frame in scene.frames))
    assert best(select_frames(blind, [0, 5])) == {"a": 1}


@pytest.mark.parametrize("indices", [[], [1, 1], [2, 1], [-1, 2], [0, 7]])
def test_bad_indices_are_named(scene: Scene, indices: list[int]) -> None:
    with pytest.raises(ValueError, match=r"indices must be ascending frames out of 0\.\.6"):
        select_frames(scene, indices)


def test_windows_slide_and_show_something(scene: Scene) -> None:
    assert sliding_windows(scene, 2) == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]
    assert sliding_windows(scene, 1) == [[0], [2], [3], [5]]
    assert sliding_windows(scene, 3, stride=3) == [[0, 3, 6]]
    assert sliding_windows(scene, 2, most=3) == [[0, 1], [2, 3], [5, 6]]
    assert sliding_windows(scene, 7, most=9) == [[0, 1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 8}, "has 7 frames, too few"),
        ({"frames": 4, "stride": 3}, r"\(10 are needed\)"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"frames": 2, "stride": 0}, "stride must be at least 1"),
        ({"frames": 2, "most": 0}, "most must be at least 1"),
    ],
)
def test_impossible_windows_are_named(scene: Scene, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sliding_windows(scene, **options)


def test_spread_frames_are_even_and_keep_what_they_must(scene: Scene) -> None:
    assert spread_frames(scene, 3) == [0, 3, 6]
    assert spread_frames(scene, 3, keep=4) == [0, 4, 6]
    assert spread_frames(scene, 3, keep=6) == [0, 3, 6]
    assert spread_frames(scene, 1, keep=5) == [5]
    for frames in range(1, 8):
        for keep in range(7):
            chosen = spread_frames(scene, frames, keep)
            assert len(chosen) == frames and keep in chosen and chosen == sorted(set(chosen))
    with pytest.raises(ValueError, match=r"frames must be in 1\.\.7"):
        spread_frames(scene, 8)
    with pytest.raises(ValueError, match=r"keep must be in 0\.\.6"):
        spread_frames(scene, 2, keep=7)
