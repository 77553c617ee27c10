"""From a model's text to a reward with reasons: parse, score, and see what gaming would pay.

Run: python examples/02_parse_and_score.py
"""

from __future__ import annotations

from rft3d.answers import LabelledBox, ParseFailure, parse_detections, render_detections
from rft3d.rewards import (
    detection_credit,
    detection_f1,
    detection_matched_iou,
    detection_mean_iou,
    format_part,
    zero_parts,
)

# A box is x y z, dx dy dz, yaw roll pitch: metres and radians in the first frame's camera.
TRUTH = [
    LabelledBox("chair", (0.5, 0.3, 2.0, 0.6, 0.9, 0.6, 0.0, 0.0, 0.2)),
    LabelledBox("table", (-0.8, 0.4, 2.6, 1.4, 0.7, 0.8, 0.0, 0.0, -0.1)),
    LabelledBox("lamp", (1.5, -0.5, 3.0, 0.3, 0.5, 0.3, 0.0, 0.0, 0.0)),
]
SHIFTED = LabelledBox("table", (-0.6, 0.4, 2.6, 1.4, 0.7, 0.8, 0.0, 0.0, -0.1))
GOLD = render_detections(TRUTH)

ANSWERS = {
    "the gold text": GOLD,
    "a thought, one box shifted, one missing": "<think>A chair and a table.</think>"
    f"<answer>{render_detections([TRUTH[0], SHIFTED])}</answer>",
    "only the surest box": render_detections(TRUTH[:1]),
    "every box three times": render_detections(TRUTH * 3),
    "cut off": GOLD[:-40],
    "garbage": "I see a chair [and] a table.",
}


def main() -> None:
    for name, text in ANSWERS.items():
        answer = parse_detections(text)
        print(f"\n{name}")
        if isinstance(answer, ParseFailure):
            parts = (format_part(answer), *zero_parts(["mean_iou", "f1@0.25", "matched_iou"], "not read"))
        else:
            rewards = (detection_mean_iou, detection_f1, detection_matched_iou)
            parts = (format_part(None), *(reward(answer, TRUTH) for reward in rewards))
            print("  credit per box", [round(credit, 2) for credit in detection_credit(answer, TRUTH)])
        for part in parts:
            print(f"  {part.name:12} {part.value:.2f}  {part.reason}")


if __name__ == "__main__":
    main()
