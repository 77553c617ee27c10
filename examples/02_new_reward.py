"""A new reward is one function (answer, truth) -> Part: here, do boxes stand at the true height?

A task is a frozen dataclass, so a reward joins it in a subclass; training, scoring and the report then show it by
its name. ``src/rft3d/rewards/`` holds the built-in ones.

Run: python examples/02_new_reward.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rft3d.answers import LabelledBox, ParseFailure, render_detections
from rft3d.rewards import Part, Score
from rft3d.scenes import frame_refs, make_room
from rft3d.tasks import Detection, Sample, detection_truth


def heights(boxes: Sequence[LabelledBox], truth: Sequence[LabelledBox]) -> Part:
    """Share of true boxes with a predicted one of their label whose centre is at most 10 cm higher or lower.

    In the camera's frame y points down, so it is the second number.
    """
    level = [
        any(box.label == true.label and abs(box.box[1] - true.box[1]) < 0.1 for box in boxes)
        for true in truth
    ]
    return Part("heights", sum(level) / len(level), f"{sum(level)} of {len(level)} at the right height")


@dataclass(frozen=True)
class LevelDetection(Detection):
    def score_many(
        self, texts: Sequence[str], samples: Sequence[Sample], truncated: Sequence[bool]
    ) -> list[Score]:
        found = []
        scores = super().score_many(texts, samples, truncated)
        for score, text, sample in zip(scores, texts, samples, strict=True):
            boxes = self.parse(text, sample)
            read = () if isinstance(boxes, ParseFailure) or score.truncated else boxes
            found.append(replace(score, parts=(*score.parts, heights(read, detection_truth(sample)))))
        return found


if __name__ == "__main__":
    room, task = make_room(7), LevelDetection()
    (sample,) = task.samples(room, frame_refs(room), seed=0)
    true = detection_truth(sample)
    lifted = [replace(box, box=(box.box[0], box.box[1] - 0.3, *box.box[2:])) for box in true]
    for name, text in (
        ("gold", task.gold(sample)),
        ("30 cm too high", render_detections(lifted)),
        ("-", "?"),
    ):
        score = task.score(text, sample)
        print(
            f"{name:15} total {score.total:.2f} ", {p.name: f"{p.value:.2f} {p.reason}" for p in score.parts}
        )
