"""Referring expressions are true of exactly one object: an independent reader of the sentences says so."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from rft3d.geometry import box_distance, invert_pose, transform_points
from rft3d.scenes import RoomConfig, make_room
from rft3d.scenes.types import Scene, SceneObject

COUNTED = re.compile(
    r"the (?:(?P<size>largest|larger|smallest|smaller|tallest|taller) )?(?:(?P<colour>\w+) )?(?P<label>\w+)"
    r"(?: (?P<relation>closest to|closer to|farthest from|farther from|on|to the left of|to the right of)"
    r" the (?P<anchor>\w+))?"
)


def _volume(item: SceneObject) -> float:
    return float(np.prod(item.box[3:6]))


def _footprint_distance(a: SceneObject, b: SceneObject) -> float:
    """Distance between footprints: as between boxes, with both brought to the floor."""
    flat = [item.box.copy() for item in (a, b)]
    for box in flat:
        box[2], box[5] = 0.5, 1.0
    return box_distance(flat[0], flat[1])


def _rests_on(item: SceneObject, host: SceneObject) -> bool:
    """Whether an object's centre is above the host's footprint and its underside off the floor, in reach."""
    c, s = math.cos(host.box[6]), math.sin(host.box[6])
    x, y = item.box[0] - host.box[0], item.box[1] - host.box[1]
    u, v = c * x + s * y, c * y - s * x
    under = item.box[2] - item.box[5] / 2
    top = host.box[2] + host.box[5] / 2
    return abs(u) < host.box[3] / 2 and abs(v) < host.box[4] / 2 and 0.2 < under < top + 0.01


def _azimuth(item: SceneObject, scene: Scene, frame: int) -> float:
    x, _, z = transform_points(invert_pose(scene.frames[frame].T_world_camera), item.box[None, :3])[0]
    return math.atan2(x, z)


def readers(scene: Scene, text: str, frame: int) -> list[int]:
    """Ids of all objects of which ``text`` is true."""
    match = COUNTED.fullmatch(text)
    assert match, text
    found = [o for o in scene.objects if o.label == match["label"]]
    if match["colour"]:
        found = [o for o in found if o.attributes["colour"] == match["colour"]]
    if match["size"]:
        key = {"l": _volume, "s": lambda o: -_volume(o), "t": lambda o: o.box[5]}[match["size"][0]]
        found.sort(key=key, reverse=True)
        values = [abs(key(o)) for o in found[:2]]
        assert max(values) > 1.25 * min(values), f"{text}: too close a call"
        found = found[:1]
    if match["relation"]:
        anchors = [o for o in scene.objects if o.label == match["anchor"]]
        relation = match["relation"]
        if relation == "on":
            return [o.id for o in found if any(_rests_on(o, a) for a in anchors)]
        assert len(anchors) == 1, f"{text}: the anchor must be unique"
        if relation.startswith("to the"):
            sign = 1 if "right" in relation else -1
            here = _azimuth(anchors[0], scene, frame)
            return [o.id for o in found if sign * (_azimuth(o, scene, frame) - here) > 0]
        distances = [_footprint_distance(o, anchors[0]) for o in found]
        order = sorted(distances, reverse=relation.startswith("far"))
        assert abs(order[1] - order[0]) > 0.4 - 1e-9, f"{text}: too close a call"
        pick = np.argmin(distances) if relation.startswith("clos") else np.argmax(distances)
        return [found[int(pick)].id]
    return [o.id for o in found]


def test_expressions_are_true_of_their_target_only() -> None:
    kinds: set[str] = set()
    config = RoomConfig(width=84, height=56, min_objects=5, max_objects=9)
    for seed in range(120):
        scene = make_room(seed, config)
        texts = [e.text for e in scene.expressions]
        assert len(set(texts)) == len(texts), "a sentence occurs once"
        for e in scene.expressions:
            frames = range(len(scene.frames)) if " to the " in e.text else [e.best_frame or 0]
            for frame in frames:
                assert readers(scene, e.text, frame) == [e.target], (scene.id, e)
            match = COUNTED.fullmatch(e.text)
            assert match
            kinds.add(match["relation"] or match["size"] or ("colour" if match["colour"] else "plain"))
    assert {"closer to", "farther from", "on", "to the left of", "to the right of"} <= kinds
    assert {"larger", "colour", "plain"} <= kinds


@pytest.mark.parametrize("seed", range(20))
def test_best_frame_has_the_most_pixels_of_the_target(seed: int) -> None:
    scene = make_room(seed)
    assert scene.expressions
    for e in scene.expressions:
        pixels = [int((np.asarray(frame.instances) == e.target + 1).sum()) for frame in scene.frames]
        assert e.best_frame is not None
        assert pixels[e.best_frame] == max(pixels) and e.target in scene.frames[e.best_frame].visible
