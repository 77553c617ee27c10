"""Add a task: a frozen dataclass with prompt, gold text, parse, score and metric. Here: what is nearest?

As a file with a line in ``TASKS`` it trains and evaluates like the built-in ones (``tasks/forkme.py``).

Run: python examples/03_new_task.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rft3d.answers import parse_option
from rft3d.prompts import IMAGE
from rft3d.rewards import Score, exact_match, format_part
from rft3d.scenes import make_room
from rft3d.tasks import Sample, Task


@dataclass(frozen=True)
class Nearest(Task):
    name: ClassVar[str] = "nearest"
    rewards: ClassVar[tuple[str, ...]] = ("format", "exact_match")

    def samples(self, scene, frame_refs, seed):
        eye = scene.frames[0].T_world_camera[:3, 3]
        things = sorted(scene.objects[:4], key=lambda thing: sum((thing.box[:3] - eye) ** 2))
        labels = sorted({thing.label for thing in things})
        options = [f"{letter}. {label}" for letter, label in zip("ABCD", labels, strict=False)]
        answer = next(option[0] for option in options if option[3:] == things[0].label)
        lines = ["Which is nearest to the first camera?", *options, "Answer with the letter."]
        prompt = IMAGE * len(frame_refs) + "\n".join(lines)
        truth = {"answer": answer, "letters": "ABCD"[: len(options)]}
        return [Sample(f"{scene.id}:nearest:0", self.name, scene.id, tuple(frame_refs), prompt, truth)]

    def gold(self, sample):
        return sample.truth["answer"]

    def parse(self, text, sample, mode=None):
        return parse_option(text, sample.truth["letters"], mode or "lenient")

    def judge(self, answer, text, sample):  # text that is cut off or can't be read earns 0 without it
        return Score((format_part(None), exact_match(answer, sample.truth["answer"])))

    def pools(self, samples, scores):
        return [{"samples": 1.0, "right": score.value("exact_match")} for score in scores]

    def metric_from(self, totals):
        return {"accuracy": totals["right"] / totals["samples"] if totals else None}


if __name__ == "__main__":
    room, task = make_room(7), Nearest()
    (sample,) = task.samples(room, [f"rooms:7/{index}" for index in range(len(room.frames))], seed=0)
    print(sample.prompt)
    for text in (task.gold(sample), "The answer is (A).", "No idea."):
        print(repr(text), task.score(text, sample).parts)
