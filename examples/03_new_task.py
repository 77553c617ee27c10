"""Add a task: a frozen dataclass with prompt, gold text, parse, score and metric. Here: what is nearest?

The same class, as a file with a line in ``TASKS``, trains and evaluates like the built-in ones
(``src/rft3d/tasks/forkme.py`` is the smallest one to copy).

Run: python examples/03_new_task.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rft3d.answers import ParseFailure, parse_option
from rft3d.prompts import IMAGE
from rft3d.rewards import Score, exact_match, format_part, zero_parts
from rft3d.scenes import make_room
from rft3d.tasks import Sample


@dataclass(frozen=True)
class Nearest:
    name: ClassVar[str] = "nearest"

    def samples(self, scene, frame_refs, seed):
        eye = scene.frames[0].T_world_camera[:3, 3]
        things = sorted(scene.objects[:4], key=lambda thing: np.linalg.norm(thing.box[:3] - eye))
        labels = sorted({thing.label for thing in things})
        options = [f"{'ABCD'[index]}. {label}" for index, label in enumerate(labels)]
        answer = next(option[0] for option in options if option[3:] == things[0].label)
        lines = ["Which of these is nearest to the first camera?", *options, "Answer with the letter."]
        prompt = IMAGE * len(frame_refs) + "\n".join(lines)
        truth = {"answer": answer, "letters": "ABCD"[: len(options)]}
        return [Sample(f"{scene.id}:nearest:0", self.name, scene.id, tuple(frame_refs), prompt, truth)]

    def gold(self, sample):
        return sample.truth["answer"]

    def parse(self, text, sample, mode="lenient"):
        return parse_option(text, sample.truth["letters"], mode)

    def score(self, text, sample, truncated=False):
        answer = ParseFailure("truncated") if truncated else self.parse(text, sample)
        if isinstance(answer, ParseFailure):
            return Score(zero_parts(("format", "exact_match"), answer.reason), answer, truncated)
        return Score((format_part(None), exact_match(answer, sample.truth["answer"])))

    def metric(self, samples, scores):
        return {"accuracy": sum(s.value("exact_match") for s in scores) / len(scores) if scores else None}


if __name__ == "__main__":
    room, task = make_room(7), Nearest()
    (sample,) = task.samples(room, [f"rooms:7/{index}" for index in range(len(room.frames))], seed=0)
    print(sample.prompt)
    for text in (task.gold(sample), "The answer is (A).", "No idea."):
        print(repr(text), [(part.name, part.value, part.reason) for part in task.score(text, sample).parts])
