"""Views that are made from other views' samples: thoughts that say something else.

``spatial-corrupt`` has the questions and answers of ``spatial-think``; the working-out in front of the
conclusion is that of another room's question of the same type. Its form, length and conclusion are as
before, only what it says about the room is wrong: what is left is the effect of writing *a* thought.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from rft3d.experiments.types import Options
from rft3d.tasks import Sample

CONCLUSION = " So it is "
"""Where a thought's working-out ends (:mod:`rft3d.tasks.spatial.thoughts`)."""


def derived_options(views: Options) -> dict[str, Mapping[str, Any]]:
    """``views``, and ``spatial-corrupt`` where there is ``spatial-think``."""
    found = dict(views)
    if "spatial-think" in found:
        found["spatial-corrupt"] = found["spatial-think"]
    return found


def corrupted(samples: Sequence[Sequence[Sample]], seed: int) -> list[list[Sample]]:
    """``samples[scene]`` with each thought's working-out taken from another scene, same question type.

    A sample stays as it is only where no other scene has a question of its type.
    """
    by_type: dict[str, list[Sample]] = {}
    for rows in samples:
        for sample in rows:
            by_type.setdefault(sample.truth["question_type"], []).append(sample)
    return [[_corrupted(sample, by_type, seed) for sample in rows] for rows in samples]


def _corrupted(sample: Sample, by_type: Mapping[str, Sequence[Sample]], seed: int) -> Sample:
    own = sample.truth["thought"]
    others = by_type[sample.truth["question_type"]]
    rng = Random(f"{seed}:{sample.id}")
    foreign = own
    for _ in range(50):  # scenes are many: a few tries find another one
        other = rng.choice(others)
        if other.scene != sample.scene:
            foreign = other.truth["thought"]
            break
    working, end = foreign.rpartition(CONCLUSION)[0], own.rpartition(CONCLUSION)[2]
    truth = {**sample.truth, "thought": f"{working}{CONCLUSION}{end}"}
    identity = sample.id.replace(":spatial-think:", ":spatial-corrupt:")
    return replace(sample, id=identity, truth=truth)
