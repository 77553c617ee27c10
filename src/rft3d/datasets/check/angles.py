"""Which angle convention boxes hold, decided from the boxes.

Published files from before 2025-11-27 hold extrinsic zxy angles where today's hold intrinsic ZXY ones, and
nothing in them says which. Two kinds of evidence, each counted under both readings:

*Upright*: furniture stands. In a camera's frame the vertical is unknown but common: the share of a sample's
boxes that have one of their axes within 6 degrees of the direction that most of them share (or of the
camera's own up where its pose is known).

*Reprojected*: a box moved to the world must be the box it came from. ScanRefer records hold it
(``gt_bbox``): mean IoU. Detection records show an object in several windows: mean IoU of boxes of one label
whose centres agree to 5 cm and sizes to 2 %.

A reading wins when its evidence is better by a margin; otherwise the boxes don't tell (few boxes, or angles
so small that both readings agree).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Literal

import numpy as np

from rft3d.geometry import box_iou_pairs, boxes_from_extrinsic, matrix_from_euler_zxy, transform_boxes
from rft3d.geometry.rotations import Array

UPRIGHT_COS = float(np.cos(np.radians(6.0)))
MARGIN = 0.1
LEAST_BOXES = 8
CENTRES_M = 0.05
SIZES = 0.02
MOST_PAIRS = 4000


@dataclass(frozen=True, eq=False)
class BoxSet:
    """Boxes of one sample in one camera's frame.

    Attributes:
        scene: scan id.
        labels, boxes: ``(N, 9)``, one label each.
        T_world_camera: of that camera, aligned world; None when unknown.
        true_world: ``(N, 9)`` the same boxes in the world from another field; None when unknown.
    """

    scene: str
    labels: tuple[str, ...]
    boxes: Array
    T_world_camera: Array | None = None
    true_world: Array | None = None


@dataclass(frozen=True)
class Verdict:
    """``convention`` and the evidence: shares and mean IoUs as (today's reading, the old reading).

    ``world_upright``: share of boxes that stand in the world, where poses are known: low when scans are unaligned.
    """

    convention: Literal["intrinsic", "extrinsic", "undecided"]
    boxes: int
    upright: tuple[float, float] | None
    reprojected: tuple[float, float] | None
    world_upright: float | None

    def words(self) -> str:
        """The evidence as one phrase."""
        parts = [f"{self.boxes} boxes"]
        for name, pair in (("upright", self.upright), ("reprojection IoU", self.reprojected)):
            if pair is not None:
                parts.append(f"{name} {pair[0]:.2f} as intrinsic ZXY, {pair[1]:.2f} as the old extrinsic zxy")
        return "; ".join(parts)


def angle_verdict(sets: Iterable[BoxSet]) -> Verdict:
    """The convention of many samples' boxes. Boxes that aren't finite with positive sizes are left out."""
    kept = [clean for each in sets if (clean := _finite(each)) is not None]
    readings = (kept, [replace(each, boxes=boxes_from_extrinsic(each.boxes)) for each in kept])
    upright, reprojected = (_pair(measure, *readings) for measure in (_upright, _reprojected))
    lead = sum(pair[0] - pair[1] for pair in (upright, reprojected) if pair is not None)
    count = sum(len(each.boxes) for each in kept)
    convention: Literal["intrinsic", "extrinsic", "undecided"] = "undecided"
    if count >= LEAST_BOXES and abs(lead) >= MARGIN:
        convention = "intrinsic" if lead > 0 else "extrinsic"
    posed = [each for each in readings[convention == "extrinsic"] if each.T_world_camera is not None]
    return Verdict(convention, count, upright, reprojected, _upright(posed))


def _pair(
    measure: Callable[[Sequence[BoxSet]], float | None], new: Sequence[BoxSet], old: Sequence[BoxSet]
) -> tuple[float, float] | None:
    first, second = measure(new), measure(old)
    return None if first is None or second is None else (first, second)


def _finite(each: BoxSet) -> BoxSet | None:
    good = np.logical_and(np.isfinite(each.boxes).all(axis=1), (each.boxes[:, 3:6] > 0).all(axis=1)).tolist()
    if not any(good):
        return None
    true = None if each.true_world is None else each.true_world[good]
    return replace(each, labels=tuple(compress(each.labels, good)), boxes=each.boxes[good], true_world=true)


def _upright(sets: Sequence[BoxSet]) -> float | None:
    hits = total = 0
    for each in sets:
        if len(each.boxes) < 2 and each.T_world_camera is None:
            continue  # one box always agrees with itself
        axes = np.swapaxes(matrix_from_euler_zxy(each.boxes[:, 6:9]), -1, -2).reshape(-1, 3)
        pose = each.T_world_camera
        candidates = axes if pose is None else pose[2, :3][None]  # the world's up as the camera sees it
        near = np.abs(candidates @ axes.T).reshape(len(candidates), -1, 3) >= UPRIGHT_COS
        hits += int(near.any(axis=2).sum(axis=1).max())
        total += len(each.boxes)
    return hits / total if total else None


def _reprojected(sets: Sequence[BoxSet]) -> float | None:
    """Mean IoU in the world with the box's other record, or with the same object's box in another sample."""
    ones, others = [], []
    by_object: dict[tuple[str, str], list[Array]] = {}
    for each in sets:
        if each.T_world_camera is None:
            continue
        world = transform_boxes(each.T_world_camera, each.boxes)
        if each.true_world is not None:
            ones += list(world)
            others += list(each.true_world)
            continue
        for label, box in zip(each.labels, world, strict=True):
            seen = by_object.setdefault((each.scene, label), [])
            twin = next((known for known in seen if _same_place(known, box)), None)
            if twin is None:
                seen.append(box)
            else:
                ones.append(twin)
                others.append(box)
        if len(ones) > MOST_PAIRS:
            break
    if not ones:
        return None
    return float(box_iou_pairs(np.array(ones), np.array(others)).mean())


def _same_place(a: Array, b: Array) -> bool:
    near = np.abs(a[:3] - b[:3]).max() < CENTRES_M
    sizes = np.abs(np.sort(a[3:6]) - np.sort(b[3:6])) / np.maximum(np.sort(a[3:6]), 1e-6)
    return bool(near and sizes.max() < SIZES)
