"""One task's samples for the page: what lists sort and filter by, what one sample's view shows, the order."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.evaluation.records import Prediction
from rft3d.report.embed import Pictures
from rft3d.report.runs import ColumnRun, JoinedTask
from rft3d.report.samples import KnownQuestion, SeenBox, ShownAnswer, ShownQuestion
from rft3d.report.scene_facts import SceneFacts, facts_of_pictures
from rft3d.rewards import Comparison, Placement
from rft3d.rewards.grounding import HIT
from rft3d.rewards.score import logged
from rft3d.tasks import make_task
from rft3d.tasks.types import mean

HIGHLIGHTS = 2
"""So many worst, best and most changed samples of a task are on the first view (``samples.js``)."""

HALF = 0.5
"""An answer counts as right from this much accuracy on (a grounding box: IoU 0.25)."""


Scenes = dict[Path, tuple[int, SceneFacts]]
"""The scene folders that samples come from, each with its number."""


class TaskIndex:
    """Every sample of a joined task, read once. ``first``: indices of those worth a picture before all others;
    ``rest``: of the others."""

    def __init__(
        self, task: JoinedTask, pictures: Pictures, scenes: Scenes, inside: Sequence[Path], gallery: int
    ) -> None:
        self.task, self.pictures, self.scenes, self.inside = task, pictures, scenes, inside
        self.details = [self._detail(index) for index in range(len(task.samples))]
        self.first = self._gallery(gallery)
        self.rest = sorted(set(range(len(self.details))) - set(self.first))

    def _gallery(self, gallery: int) -> list[int]:
        """A quarter of ``gallery`` each for the worst, best and most changed, the rest evenly between; at least
        those :data:`HIGHLIGHTS` that the page's first view shows, unless ``gallery`` is 0."""
        count = len(self.details)
        totals = [
            [0.0 if total is None else total for total in self._facts(column, "total")]
            for column in range(len(self.task.answered))
        ]
        if not totals or not gallery:
            return []
        by_reward = sorted(range(count), key=lambda i: (totals[-1][i], i))
        change = sorted(range(count), key=lambda i: (-abs(totals[-1][i] - totals[0][i]), i))
        quarter = max(HIGHLIGHTS, -(-gallery // 4))
        gallery = max(3 * HIGHLIGHTS, gallery)
        even = [by_reward[p] for p in np.linspace(0, count - 1, min(gallery, count)).round().astype(int)]
        first = dict.fromkeys([*by_reward[:quarter], *by_reward[::-1][:quarter], *change[:quarter], *even])
        return list(first)[:gallery]

    def view(self, placed: Sequence[int], chunk: int) -> dict[str, Any]:
        """The index: one list a fact, an entry a sample. ``places[i]`` is where a sample's details are."""
        place = {index: p for p, index in enumerate(placed)}
        columns = range(len(self.task.answered))
        return {
            "name": self.task.name,
            "columns": list(self.task.answered),
            "chunk": chunk,
            "ids": [detail.id for detail in self.details],
            "kinds": [detail.kind for detail in self.details],
            "places": [place.get(i, -1) for i in range(len(self.details))],
            "frames": [detail.frames[0] if detail.frames else -1 for detail in self.details],
            "totals": [self._facts(c, "total") for c in columns],
            "right": [self._facts(c, "right") for c in columns],
            "found": [self._facts(c, "found") for c in columns],
            "failed": [self._facts(c, "parse_failure", bool) for c in columns],
            "truncated": [self._facts(c, "truncated") for c in columns],
            "half": HALF,
        }

    def pictures_of(self, indices: Iterable[int]) -> list[int]:
        """All frames of these samples, first frames of all before second frames."""
        return by_rank([self.details[i].frames for i in indices])

    def scenes_of(self, indices: Iterable[int]) -> list[int]:
        found = (self.details[i].place for i in indices)
        return [number for number in found if number is not None]

    def _detail(self, index: int) -> ShownQuestion:
        task, sample, folder = self.task, self.task.samples[index], self.task.folders[index]
        runs = [each.run for each in task.answered.values()]
        reader = runs[-1].scored.task if runs else make_task(task.name)
        question = KnownQuestion(sample, reader)
        frames = self.pictures.numbered(sample, folder, self.inside)
        answers = tuple(self._answer(each, index, question) for each in task.answered.values())
        detail = replace(question.shown(), frames=frames, answers=answers)
        pose = None if question.cameras is None else question.cameras.T_world_camera[0]
        facts = None if pose is None else facts_of_pictures(sample.frames, folder, self.inside, pose)
        if facts is None:
            return detail
        floor = facts.scene.floor_polygon
        return replace(
            detail,
            place=self.scenes.setdefault(facts.folder, (len(self.scenes), facts))[0],
            objects=tuple(SeenBox(o.label, tuple(np.round(o.box, 4).tolist())) for o in facts.scene.objects),
            floor=None if floor is None else np.round(floor, 3).tolist(),
        )

    def _answer(self, column: ColumnRun, index: int, question: KnownQuestion) -> ShownAnswer | None:
        made, place = column.run, column.places.get(index)
        if place is None:
            return None
        sample, score = self.task.samples[index], made.scored.scores[place]
        prediction = made.predictions.get(sample.id, Prediction(sample.id, ""))
        answer = question.answer(
            logged(score, prediction.text, prediction.tokens),
            made.scored.task.parse(prediction.text, sample),
        )
        both, found = score.evidence, None
        if isinstance(both, Comparison):  # how much of the list is right, and which objects it found
            found = tuple(sorted(box.match for box in answer.boxes if box.match is not None))
            right = 2 * len(found) / max(1, len(both.predicted) + len(both.truth))
        elif isinstance(both, Placement):
            right = float(both.iou >= HIT)
        else:
            right = mean(part.value for part in score.parts if part.name != "format") or 0.0
        missing = sample.id not in made.predictions
        return replace(answer, missing=missing, right=round(right, 4), found=found)

    def _facts(self, column: int, name: str, make: Callable[[Any], Any] = lambda value: value) -> list[Any]:
        answers = (detail.answers[column] for detail in self.details)
        return [None if answer is None else make(getattr(answer, name)) for answer in answers]


def by_rank(rows: Sequence[Sequence[int]]) -> list[int]:
    """The first of every row, then the second of every row, and so on."""
    longest = max(map(len, rows), default=0)
    return [row[k] for k in range(longest) for row in rows if k < len(row)]
