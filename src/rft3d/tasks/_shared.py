"""What several tasks need: frame references, objects in first-seen order, means that may be undefined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rft3d.scenes.types import Scene, SceneObject

TRUNCATED = "truncated"
"""Reason of every part of a text that was cut off: it is not read at all."""


def checked_refs(scene: Scene, frame_refs: Sequence[str]) -> tuple[str, ...]:
    """``frame_refs`` as a tuple; ValueError unless there is one for each frame of ``scene``."""
    if len(frame_refs) != len(scene.frames):
        raise ValueError(
            f"scene {scene.id!r} has {len(scene.frames)} frames but frame_refs has {len(frame_refs)} "
            "entries; give one reference a frame"
        )
    return tuple(frame_refs)


def first_seen(scene: Scene, min_visible: float) -> list[SceneObject]:
    """Objects of which some frame shows at least ``min_visible``: by first such frame, then by id."""
    first: dict[int, int] = {}
    for index, frame in enumerate(scene.frames):
        for identity, share in frame.visible.items():
            if share >= min_visible:
                first.setdefault(identity, index)
    things = [thing for thing in scene.objects if thing.id in first]
    return sorted(things, key=lambda thing: (first[thing.id], thing.id))


def never_flat(box: Sequence[float], decimals: int) -> tuple[float, ...]:
    """A ``(9,)`` box for a gold text: sizes of at least one last decimal, or rounding could make them 0."""
    least = 10.0**-decimals
    return (*box[:3], *(max(size, least) for size in box[3:6]), *box[6:])


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    values = list(values)
    return sum(values) / len(values) if values else None


def ratio(numerator: float, denominator: float) -> float:
    """0 when undefined, as VG-LLM's evaluation has it."""
    return numerator / denominator if denominator else 0.0


def summed(pools: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Key by key sums: the pools of many samples as one."""
    totals: dict[str, float] = {}
    for pool in pools:
        for key, value in pool.items():
            totals[key] = totals.get(key, 0.0) + value
    return totals
