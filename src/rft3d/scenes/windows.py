"""Cuts of a scene: the same place seen through fewer frames, for tasks that ask about a few frames of a clip.

``select_frames`` makes the cut; the other two say which frames: :func:`sliding_windows` (runs of neighbours,
as detection asks) and :func:`spread_frames` (all over the clip, as grounding and spatial questions ask).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rft3d.scenes.types import Expression, Scene


def select_frames(scene: Scene, indices: Sequence[int], id: str | None = None) -> Scene:
    """``scene`` with only the frames ``indices``, in time order; all objects stay.

    An expression keeps its best frame where that is kept. Otherwise the kept frame that shows most of its
    target takes over (the first of equals); where none shows it the expression is left out.

    Args:
        indices: of ``scene.frames``, ascending, at least one.
        id: of the cut; the scene's own when None.

    Raises:
        ValueError: no indices, or indices that don't ascend or don't exist.
    """
    kept = [int(index) for index in indices]
    count = len(scene.frames)
    if not kept or kept != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= count:
        raise ValueError(
            f"scene {scene.id!r}: indices must be ascending frames out of 0..{count - 1}, got {kept}"
        )
    frames = tuple(scene.frames[index] for index in kept)
    expressions = filter(None, (_remapped(scene, expression, kept) for expression in scene.expressions))
    return replace(scene, id=id or scene.id, frames=frames, expressions=tuple(expressions))


def _remapped(scene: Scene, expression: Expression, kept: Sequence[int]) -> Expression | None:
    if expression.best_frame in kept:
        return replace(expression, best_frame=kept.index(expression.best_frame))
    shares = [scene.frames[index].visible.get(expression.target, 0.0) for index in kept]
    best = max(range(len(kept)), key=lambda place: shares[place])
    return replace(expression, best_frame=best) if shares[best] > 0 else None


def sliding_windows(scene: Scene, frames: int, stride: int = 1, most: int | None = None) -> list[list[int]]:
    """Frame indices of windows of ``frames`` frames, ``stride`` apart, that show at least one object.

    The start slides by one frame, as in the published detection data; ``most`` keeps that many, evenly spaced
    over the clip. ValueError: ``frames``, ``stride`` or ``most`` below 1, or a scene too short for one window.
    """
    for name, value in (("frames", frames), ("stride", stride), ("most", 1 if most is None else most)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    span = (frames - 1) * stride + 1
    if span > len(scene.frames):
        raise ValueError(
            f"scene {scene.id!r} has {len(scene.frames)} frames, too few for a window of {frames} frames "
            f"{stride} apart ({span} are needed); ask for fewer or closer frames"
        )
    starts = range(len(scene.frames) - span + 1)
    windows = [list(range(start, start + span, stride)) for start in starts]
    windows = [w for w in windows if any(share > 0 for i in w for share in scene.frames[i].visible.values())]
    if most is None or len(windows) <= most:
        return windows
    return [windows[place] for place in _even(len(windows), most)]


def spread_frames(scene: Scene, frames: int, keep: int | None = None) -> list[int]:
    """Indices of ``frames`` frames spread evenly over the clip, the first and the last among them.

    ``keep`` is a frame that must be there: the nearest of the others gives way to it. ValueError: ``frames``
    below 1 or more than the scene has, or a ``keep`` that doesn't exist.
    """
    count = len(scene.frames)
    if not 1 <= frames <= count:
        raise ValueError(f"scene {scene.id!r}: frames must be in 1..{count} (its length), got {frames}")
    chosen = _even(count, frames)
    if keep is None:
        return chosen
    if not 0 <= keep < count:
        raise ValueError(f"scene {scene.id!r}: keep must be in 0..{count - 1}, got {keep}")
    if keep not in chosen:
        chosen.remove(min(chosen, key=lambda index: abs(index - keep)))
    return sorted({*chosen, keep})


def _even(count: int, most: int) -> list[int]:
    """``most`` distinct places out of ``range(count)``, evenly spaced, both ends included; most <= count."""
    return [int(place) for place in np.linspace(0, count - 1, most).round()]
