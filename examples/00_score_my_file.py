"""Score a file of answers: no torch, no pictures, two files. What ``rft3d score`` does, as a library.

Run: python examples/00_score_my_file.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from rft3d.evaluation import ScoreConfig, score_files
from rft3d.scenes import frame_refs, make_room
from rft3d.tasks import TASKS, write_samples


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples, mine = Path(folder) / "samples.jsonl", Path(folder) / "mine.jsonl"
        task = TASKS["detection"]()
        rooms = [make_room(seed) for seed in range(6)]
        asked = [sample for room in rooms for sample in task.samples(room, frame_refs(room), seed=0)]
        write_samples(samples, asked)
        with mine.open("w") as file:
            for number, sample in enumerate(asked):
                text = task.gold(sample)  # your model's text goes here; every third one is cut off
                text = text[:60] if number % 3 == 2 else text
                file.write(json.dumps({"id": sample.id, "text": text}) + "\n")
        labels = sorted({box["label"] for sample in asked for box in sample.truth["boxes"]})
        options = {"classes": labels}  # means go over these; without it over the 20 published ones
        found = score_files("detection", samples, mine, ScoreConfig(options=options, resamples=200))
    for name, number in found.headline.items():
        print(f"{name:16} {number.value:.3f}  [{number.low:.3f}, {number.high:.3f}]")
    print(f"unreadable: {found.parse_failures.count} of {found.samples}")


if __name__ == "__main__":
    main()
