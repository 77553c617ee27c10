"""A new reward is one function and one line: here, do boxes stand at the true height?

A line in ``SET_REWARDS`` makes it an option of the detection task, a callable for TRL and a part of verl's export;
``src/rft3d/rewards/`` holds the built-in ones.

Run: python examples/02_new_reward.py
"""

from __future__ import annotations

from dataclasses import replace

from rft3d.answers import render_detections
from rft3d.rewards import SET_REWARDS, Comparison, Part, marginal_credit
from rft3d.scenes import frame_refs, make_room
from rft3d.tasks import Detection, as_trl, detection_truth


def heights(both: Comparison) -> Part:
    """Share of true boxes with a predicted one of their label whose centre is at most 10 cm higher or lower.

    In the camera's frame y points down, so it is the second number.
    """
    level = [
        any(box.label == true.label and abs(box.box[1] - true.box[1]) < 0.1 for box in both.predicted)
        for true in both.truth
    ]
    value = sum(level) / max(1, len(level))
    return Part("heights", value, f"{sum(level)} of {len(level)} at the right height")


SET_REWARDS["heights"] = heights

if __name__ == "__main__":
    room, task = make_room(7), Detection(reward="f1@0.25+heights")
    (sample,) = task.samples(room, frame_refs(room), seed=0)
    true = detection_truth(sample)
    lifted = [replace(box, box=(box.box[0], box.box[1] - 0.3, *box.box[2:])) for box in true]
    for name, text in (
        ("gold", task.gold(sample)),
        ("30 cm too high", render_detections(lifted)),
        ("-", "?"),
    ):
        score = task.score(text, sample)
        print(f"{name:15} {score.total:.2f} of {score.maximum:g} ", {p.name: p.reason for p in score.parts})
        print("  what each box adds", [round(credit, 2) for credit in marginal_credit(score)])
    print("TRL:", as_trl("detection", "heights")([task.gold(sample)], truth=[sample.truth]))
