"""Questions about real clips: which frames each task is shown, and whether its gold answers earn full marks.

A clip is long and a question shows few frames of it: :class:`OnCuts` asks a task about cuts of a scene. Only
questions that boxes alone can answer are asked (:data:`BOX_QUESTIONS`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rft3d.scenes.types import Scene
from rft3d.scenes.windows import select_frames, sliding_windows, spread_frames
from rft3d.settings import Checked, Count
from rft3d.tasks import TASKS
from rft3d.tasks.spatial.questions import QUESTION_TYPES
from rft3d.tasks.types import Sample, Task

BOX_QUESTIONS = tuple(
    kind for kind in QUESTION_TYPES if kind not in ("route_planning", "obj_appearance_order")
)
"""What labelled boxes can answer. A route needs to know walls and everything that stands in the way; an order
of appearance needs visibility down to the first glimpse. A real clip's labels hold neither."""


@dataclass(frozen=True)
class ClipConfig(Checked):
    """Which frames of a clip the questions show.

    Attributes:
        frames: of every question. 4 is official for detection and what the demo's model saw; grounding and
            spatial questions officially show 32.
        stride: clip frames from one frame of a detection window to the next.
        windows: at most so many detection windows of a scene (official validation: 10).
        questions: at most so many spatial questions of a type and scene.
    """

    frames: Count = 4
    stride: Count = 1
    windows: Count = 10
    questions: Count = 6


@dataclass(frozen=True)
class OnCuts:
    """``task``'s samples about each of ``cuts(scene)``; a sample's ``scene`` stays the whole scene's id."""

    task: Task
    cuts: Callable[[Scene], Sequence[Scene]]

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """As a task's own ``samples``; ``frame_refs[i]`` names ``scene.frames[i]``."""
        by_name = {frame.name: ref for frame, ref in zip(scene.frames, frame_refs, strict=True)}
        return [
            # cuts of one clip are no independent scenes: intervals must not count them as such
            replace(sample, scene=scene.id)
            for cut in self.cuts(scene)
            for sample in self.task.samples(cut, [by_name[frame.name] for frame in cut.frames], seed)
        ]


def clip_questions(config: ClipConfig | None = None) -> dict[str, OnCuts]:
    """What :func:`rft3d.evaluation.write_dataset` needs as ``tasks`` to ask about clips.

    detection: windows of neighbouring frames that show an object. grounding: frames spread over the clip,
    each description's best frame among them. spatial: frames spread over the clip.
    """
    config = config or ClipConfig()
    spatial = TASKS["spatial"](types=BOX_QUESTIONS, max_per_type=config.questions)
    return {
        "detection": OnCuts(TASKS["detection"](), partial(_windows, config)),
        "grounding": OnCuts(TASKS["grounding"](), partial(_one_a_description, config)),
        "spatial": OnCuts(spatial, partial(_spread, config)),
    }


def _windows(config: ClipConfig, scene: Scene) -> list[Scene]:
    windows = sliding_windows(scene, config.frames, config.stride, config.windows)
    return [select_frames(scene, w, f"{scene.id}-from-{scene.frames[w[0]].name}") for w in windows]


def _one_a_description(config: ClipConfig, scene: Scene) -> list[Scene]:
    cuts = []
    for index, expression in enumerate(scene.expressions):
        # the whole clip is cut once, so that a missing best frame is filled in by the same rule
        alone = select_frames(replace(scene, expressions=(expression,)), range(len(scene.frames)))
        for known in alone.expressions:  # none when no frame shows the target
            indices = spread_frames(alone, config.frames, known.best_frame)
            cuts.append(select_frames(alone, indices, f"{scene.id}-text-{index:03d}"))
    return cuts


def _spread(config: ClipConfig, scene: Scene) -> list[Scene]:
    return [select_frames(scene, spread_frames(scene, config.frames))]


@dataclass(frozen=True)
class GoldCheck:
    """Gold answers, scored: ``full`` of ``samples`` earn every part that rounding can't touch (all but IoU).

    ``least_iou``: of any box in a gold answer with its true box; None where answers have no boxes.
    """

    samples: int
    full: int
    least_iou: float | None


def check_gold(task: Task, samples: Sequence[Sample]) -> GoldCheck:
    """Render, read back and score the gold answer of every sample."""
    full, ious = 0, []
    for sample in samples:
        score = task.score(task.gold(sample), sample)
        full += all(part.value == 1.0 for part in score.parts if not part.name.endswith("iou"))
        details: dict[str, Any] = dict(score.details)
        ious += [details["iou"]] if "iou" in details else list(details.get("credit", ()))
    return GoldCheck(len(samples), full, min(ious) if ious else None)
