"""Several runs side by side: their models as columns, their answers matched by sample.

The same id asks the same question only when task, scene, prompt and truth agree; an answer to another
question of that id is left out and counted in the notes, so that pairs are always about the same sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rft3d.evaluation.score import ScoredRun, resample_run
from rft3d.evaluation.stats import Difference, Resampled, differences
from rft3d.report.run_folder import ModelRun, RunFolder
from rft3d.tasks import TASKS
from rft3d.tasks.types import Sample

_ASKED = ("task", "scene", "prompt", "truth")


@dataclass(frozen=True)
class Column:
    """One model of one run; ``title`` names the run too when there are several."""

    run: int
    model: str
    title: str


@dataclass(frozen=True)
class ColumnRun:
    """A column's answers to a task; ``places``: the index of a sample there by its index in the joined task."""

    run: ModelRun
    places: dict[int, int]


@dataclass(frozen=True)
class JoinedTask:
    """One task's questions from all runs, their folders, and who answered them, by the number of the column."""

    name: str
    samples: tuple[Sample, ...]
    folders: tuple[Path, ...]
    answered: dict[int, ColumnRun]


@dataclass(frozen=True)
class Joined:
    runs: tuple[RunFolder, ...]
    titles: tuple[str, ...]
    columns: tuple[Column, ...]
    tasks: tuple[JoinedTask, ...]
    notes: tuple[str, ...]


def join_runs(runs: Sequence[RunFolder]) -> Joined:
    """The runs' models and samples in one frame; runs without a task simply have no column there."""
    titles = _titles([run.root for run in runs])
    columns: list[Column] = []
    notes = [
        f"{title}: {note}" if len(runs) > 1 else note
        for title, r in zip(titles, runs, strict=True)
        for note in r.notes
    ]
    for index, (run, title) in enumerate(zip(runs, titles, strict=True)):
        for name, shown in {made.name: made.title for task in run.tasks for made in task.runs}.items():
            columns.append(Column(index, name, f"{title}: {shown}" if len(runs) > 1 else shown))
    tasks = [_join_task(name, runs, titles, columns, notes) for name in TASKS]
    return Joined(tuple(runs), tuple(titles), tuple(columns), tuple(t for t in tasks if t), tuple(notes))


def _join_task(
    name: str, runs: Sequence[RunFolder], titles: Sequence[str], columns: Sequence[Column], notes: list[str]
) -> JoinedTask | None:
    found = [(index, task) for index, run in enumerate(runs) for task in run.tasks if task.name == name]
    if not found:
        return None
    samples: list[Sample] = []
    folders: list[Path] = []
    index_of: dict[str, int] = {}
    answered: dict[int, ColumnRun] = {}
    for run, task in found:
        here: dict[int, int] = {}  # joined index -> index in this run
        other = 0
        for place, sample in enumerate(task.samples):
            known = index_of.get(sample.id)
            if known is None:
                known = index_of[sample.id] = len(samples)
                samples.append(sample)
                folders.append(task.folder)
            elif any(getattr(sample, each) != getattr(samples[known], each) for each in _ASKED):
                other += 1
                continue
            here[known] = place
        if other:
            notes.append(
                f"{titles[run]}: {other} {name} samples share an id with another run's but ask something "
                "else; they are not shown or compared (the table of results still counts them)"
            )
        for made in task.runs:
            number = next(i for i, c in enumerate(columns) if (c.run, c.model) == (run, made.name))
            answered[number] = ColumnRun(made, here)
    return JoinedTask(name, tuple(samples), tuple(folders), answered)


def _titles(roots: Sequence[Path]) -> list[str]:
    """Folder names, with as many parents as it takes to tell them apart."""
    parts = [root.resolve().parts for root in roots]
    for depth in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(p[-1:])} ({number})" for number, p in enumerate(parts, 1)]


def baseline_column(joined: Joined) -> int:
    """What the others are compared with: the first model that its run calls so, else the first column."""
    named = (i for i, c in enumerate(joined.columns) if c.model == joined.runs[c.run].titles.baseline)
    return next(named, 0)


class Pairs:
    """Paired differences between columns of a task, on the samples that both answered."""

    def __init__(self, task: JoinedTask, resamples: int) -> None:
        self.task = task
        self.resamples = resamples
        self._drawn: dict[tuple[int, tuple[int, ...]], Resampled] = {}

    def between(self, a: int, b: int) -> tuple[dict[str, Difference], int]:
        """Column ``b`` minus column ``a``, by their numbers, and how many samples they share."""
        answered = self.task.answered
        common = tuple(sorted(answered[a].places.keys() & answered[b].places.keys()))
        if not common:
            return {}, 0
        return differences(self._resampled(a, common), self._resampled(b, common)), len(common)

    def _resampled(self, column: int, common: tuple[int, ...]) -> Resampled:
        key = (column, common)
        if key not in self._drawn:
            scored, place = self.task.answered[column].run.scored, self.task.answered[column].places
            samples = tuple(self.task.samples[i] for i in common)
            part = ScoredRun(scored.task, samples, tuple(scored.scores[place[i]] for i in common), ())
            self._drawn[key] = resample_run(part, self.resamples)
        return self._drawn[key]
