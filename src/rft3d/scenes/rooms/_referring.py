"""Referring expressions of a room: sentences that are true of exactly one of its objects.

Every rule asks for a margin, so that neither an annotator nor a small modelling error could make a second
object fit: colours must differ visibly, distances by 0.4 m, sizes by a quarter, and *left of* must hold from
every frame of the clip for the target and fail clearly for its classmates.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from rft3d.geometry.rotations import Array
from rft3d.scenes.rooms._layout import Placed, RoomLayout
from rft3d.scenes.rooms._parts import Rect, gap
from rft3d.scenes.types import Expression

Spans = list[list[tuple[float, float]]]

COLOUR_MARGIN = 0.22
DISTANCE_MARGIN_M = 0.4
SIZE_RATIO = 1.25
ANGLE_MARGIN_RAD = math.radians(4.0)
WIDEST_RAD = math.radians(105.0)


def refer(
    layout: RoomLayout, T_world_cameras: Array, seen: Sequence[Sequence[int]], enough: int
) -> tuple[Expression, ...]:
    """All expressions about objects that some frame shows with at least ``enough`` pixels.

    ``seen[f][k]``: visible pixels of object k in frame f. ``best_frame`` has the most of them.
    """
    placed = layout.placed
    best, kinds = {}, defaultdict(list)
    for k, p in enumerate(placed):
        kinds[p.thing.label].append(k)
        pixels = [row[k] for row in seen]
        if max(pixels) >= enough:
            best[k] = pixels.index(max(pixels))
    only = {label: members[0] for label, members in kinds.items() if len(members) == 1}
    spans = _azimuths(placed, T_world_cameras)
    areas = [p.footprint() for p in placed]
    out: dict[str, Expression] = {}
    for k in best:
        mates = [j for j in kinds[placed[k].thing.label] if j != k]
        alone = [j for label, j in only.items() if label != placed[k].thing.label]
        texts = [*_by_looks(placed, k, mates), *_by_support(placed, k, mates)]
        if mates:
            texts += _by_distance(placed, areas, k, mates, alone)
            texts += _by_side(placed, spans, k, mates, alone)
        for text in texts:
            out[text] = Expression(text, k, best[k])
    return tuple(out.values())


def _volume(p: Placed) -> float:
    return 4 * p.thing.half[0] * p.thing.half[1] * p.thing.height


def _by_looks(placed: Sequence[Placed], k: int, mates: list[int]) -> Iterator[str]:
    thing = placed[k].thing
    name = thing.label
    if not mates:
        yield f"the {name}"
    others = [placed[j].thing for j in mates]
    if all(o.colour != thing.colour and math.dist(o.rgb, thing.rgb) > COLOUR_MARGIN for o in others):
        yield f"the {thing.colour} {name}"
    if not mates:
        return
    size, rest = _volume(placed[k]), [_volume(placed[j]) for j in mates]
    degree = "est" if len(mates) > 1 else "er"
    if size > SIZE_RATIO * max(rest):
        yield f"the larg{degree} {name}"
    if size * SIZE_RATIO < min(rest):
        yield f"the small{degree} {name}"
    if thing.height > SIZE_RATIO * max(other.height for other in others):
        yield f"the tall{degree} {name}"


def _by_support(placed: Sequence[Placed], k: int, mates: list[int]) -> Iterator[str]:
    host = placed[k].support
    if host is None:
        return
    name, under = placed[k].thing.label, placed[host].thing.label
    hosts = [placed[j].support for j in mates]
    if not any(h is not None and placed[h].thing.label == under for h in hosts):
        yield f"the {name} on the {under}"


def _by_distance(
    placed: Sequence[Placed], areas: list[Rect], k: int, mates: list[int], anchors: list[int]
) -> Iterator[str]:
    """Closest to and farthest from, judged by the gap between footprints and by centres alike."""
    name = placed[k].thing.label
    closest, farthest = ("closest to", "farthest from") if len(mates) > 1 else ("closer to", "farther from")
    for anchor in anchors:
        here = placed[anchor]
        mine, *theirs = (
            (gap(areas[j], areas[anchor]), math.hypot(placed[j].x - here.x, placed[j].y - here.y))
            for j in (k, *mates)
        )
        if all(mine[i] + DISTANCE_MARGIN_M < min(t[i] for t in theirs) for i in (0, 1)):
            yield f"the {name} {closest} the {here.thing.label}"
        if all(mine[i] - DISTANCE_MARGIN_M > max(t[i] for t in theirs) for i in (0, 1)):
            yield f"the {name} {farthest} the {here.thing.label}"


def _azimuths(placed: Sequence[Placed], T_world_cameras: Array) -> Spans:
    """``[frame][object]`` interval of angles to the right of the optical axis, radians; (nan, nan) when a
    corner of the footprint is so far round that left and right lose their meaning."""
    out = []
    for T in T_world_cameras.tolist():
        fx, fy = T[0][2], T[1][2]
        norm = math.hypot(fx, fy)
        fx, fy = fx / norm, fy / norm
        row = []
        for p in placed:
            angles = []
            for x, y in p.footprint().corners():
                dx, dy = x - T[0][3], y - T[1][3]
                ahead, right = fx * dx + fy * dy, fy * dx - fx * dy
                angles.append(math.atan2(right, ahead))
            bad = max(angles) > WIDEST_RAD or min(angles) < -WIDEST_RAD
            row.append((math.nan, math.nan) if bad else (min(angles), max(angles)))
        out.append(row)
    return out


def _by_side(
    placed: Sequence[Placed], spans: Spans, k: int, mates: list[int], anchors: list[int]
) -> Iterator[str]:
    """Left and right of an anchor in every frame: intervals apart for the target, and for every classmate on
    the other side. A comparison with nan is False, so a thing behind the camera fits neither side."""
    name, m = placed[k].thing.label, ANGLE_MARGIN_RAD
    mirrored = [[(-high, -low) for low, high in row] for row in spans]
    for anchor in anchors:
        for side, rows in (("left", spans), ("right", mirrored)):
            here = all(row[k][1] + m < row[anchor][0] for row in rows)
            if here and all(row[j][0] - m > row[anchor][1] for j in mates for row in rows):
                yield f"the {name} to the {side} of the {placed[anchor].thing.label}"
