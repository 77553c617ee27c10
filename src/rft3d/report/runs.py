"""Several runs side by side: their models as columns, their answers matched by sample.

The same id asks the same question only when task, scene, prompt and truth agree; an answer to another
question of that id is left out and counted in the notes, so that pairs are always about the same sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rft3d.evaluation.score import resample_run
from rft3d.evaluation.stats import Difference, Interval, Resampled, differences
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


@dataclass(frozen=True, eq=False)
class JoinedTask:
    """One task's questions from all runs, their folders, and who answered them, by the number of the column.
    ``resamples``: of paired differences."""

    name: str
    samples: tuple[Sample, ...]
    folders: tuple[Path, ...]
    answered: dict[int, ColumnRun]
    resamples: int
    _drawn: dict[tuple[int, tuple[int, ...]], Resampled] = field(default_factory=dict)

    @property
    def metrics(self) -> list[str]:
        """Names of the headline metrics."""
        summaries = (made.run.summary for made in self.answered.values())
        return list(dict.fromkeys(name for summary in summaries for name in summary.headline))

    @property
    def counts(self) -> str:
        """``n = 320 in 320 scenes``, or a range where the columns answered different numbers."""
        counts = {(made.run.summary.samples, made.run.summary.scenes) for made in self.answered.values()}
        (samples, scenes), most = min(counts), max(counts)[0]
        return f"n = {samples} in {scenes} scenes" if len(counts) == 1 else f"n = {samples} to {most}"

    def found(self, column: int, name: str) -> Interval | None:
        """A column's headline metric."""
        made = self.answered.get(column)
        return None if made is None else made.run.summary.headline.get(name)

    def best(self, name: str) -> int | None:
        """The column with the largest value; None where it reads like another one's."""
        found = {column: self.found(column, name) for column in self.answered}
        read = {k: round(each.value, 3) for k, each in found.items() if each and each.value is not None}
        top = [column for column, value in read.items() if value == max(read.values())]
        return top[0] if len(top) == 1 else None

    def between(self, a: int, b: int) -> tuple[dict[str, Difference], int]:
        """Column ``b`` minus column ``a``, by their numbers, on the samples that both answered, and how many."""
        common = tuple(sorted(self.answered[a].places.keys() & self.answered[b].places.keys()))
        if not common:
            return {}, 0
        return differences(self._resampled(a, common), self._resampled(b, common)), len(common)

    def _resampled(self, column: int, common: tuple[int, ...]) -> Resampled:
        if (column, common) not in self._drawn:
            made = self.answered[column]
            part = made.run.scored.only(made.places[i] for i in common)
            self._drawn[column, common] = resample_run(part, self.resamples)
        return self._drawn[column, common]


@dataclass(frozen=True)
class Joined:
    runs: tuple[RunFolder, ...]
    titles: tuple[str, ...]
    columns: tuple[Column, ...]
    tasks: tuple[JoinedTask, ...]
    notes: tuple[str, ...]

    @property
    def baseline(self) -> int:
        """What the others are compared with: the first model that its run calls so, else the first column."""
        named = (i for i, c in enumerate(self.columns) if c.model == self.runs[c.run].titles.baseline)
        return next(named, 0)


def join_runs(runs: Sequence[RunFolder], resamples: int = 1000) -> Joined:
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
    found = [_join_task(name, runs, titles, columns, notes, resamples) for name in TASKS]
    tasks = tuple(task for task in found if task is not None)
    return Joined(tuple(runs), tuple(titles), tuple(columns), tasks, tuple(notes))


def _join_task(
    name: str,
    runs: Sequence[RunFolder],
    titles: Sequence[str],
    columns: Sequence[Column],
    notes: list[str],
    resamples: int,
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
                folders.append(task.file.parent)
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
    return JoinedTask(name, tuple(samples), tuple(folders), answered, resamples)


def _titles(roots: Sequence[Path]) -> list[str]:
    """Folder names, with as many parents as it takes to tell them apart."""
    parts = [root.resolve().parts for root in roots]
    for depth in range(1, max(len(p) for p in parts) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(p[-1:])} ({number})" for number, p in enumerate(parts, 1)]
