"""Run folders as one HTML file: ``write_report([run, ...])`` writes ``report/index.html``.

The page holds everything inside itself (pictures, data, code), so it opens from disk, offline, and can be
sent as a file. Tables are written by the template; curves, samples, scenes, rollouts and comparisons are drawn by
the page when they are looked at (``static/*.js``), from data packed by :mod:`rft3d.report.embed`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from rft3d.files import write_text
from rft3d.report import embed, tables
from rft3d.report.curves import curves_view
from rft3d.report.question_index import Scenes, TaskIndex, by_rank
from rft3d.report.rollouts import KnownSamples, group_facts, group_view, read_groups, spread
from rft3d.report.run_folder import read_run_folder
from rft3d.report.runs import Joined, join_runs
from rft3d.report.scene_facts import Cloud, SceneFacts, drawn_again, point_cloud, room_config
from rft3d.settings import Bounds, Checked, Count, Natural

SAMPLE_CHUNK = 40
GROUP_CHUNK = 8
CLOUD_SHARE = 0.25
"""Of what the texts leave free, at most this part goes to point clouds."""

ROLLOUT_PICTURES = 400
"""So many pictures of rollouts go in before those of samples outside the gallery."""

_RESERVE = 30_000  # for notes that are written last


@dataclass(frozen=True)
class ReportConfig(Checked):
    """What goes into a report."""

    gallery: Natural = 16
    """samples of each task whose pictures go in first: worst, best, most changed, and evenly between"""
    resamples: Count = 1000
    """bootstrap resamples of the paired comparisons, and of intervals where a scores file is missing"""
    pictures: Path | None = None
    """folder besides the runs' own that pictures may be taken from"""
    max_mb: Annotated[float, Bounds(2, 1000)] = 15.0
    """size of the file in MB (10^6 bytes); pictures, then rollouts and samples are left out to keep it"""


def write_report(
    runs: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    config: ReportConfig = ReportConfig(),
    warn: Callable[[str], object] = lambda line: None,
) -> Path:
    """Write the report of one run folder, or of several side by side, and return the page's path.

    Args:
        runs: run folders, or folders that ``rft3d rooms`` or ``rft3d samples`` wrote.
        out: folder of the page (``index.html``). None: the run's ``report/index.html``; with several runs
            the first one's ``report/compare.html``, so that its own report stays.
        warn: told of every model that gave answers to a task which cannot be read, in a sentence.

    Raises:
        FileNotFoundError, ValueError: no run folder, or nothing in it to report on; a bad number.

    Examples:
        >>> write_report(".").name
        'index.html'
    """
    roots = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    if not roots:
        raise ValueError("no run folder given; a report needs at least one")
    joined = join_runs([read_run_folder(root, config.resamples) for root in roots], config.resamples)
    inside = [*roots, *([] if config.pictures is None else [config.pictures])]
    page = _Page(joined, config.gallery, int(config.max_mb * 1e6), inside)
    for text in page.unreadable:
        warn(text)
    folder = Path(out) if out is not None else roots[0] / "report"
    path = folder / ("index.html" if out is not None or len(roots) == 1 else "compare.html")
    write_text(path, page.render())
    return path


class _Page:
    """The page of some runs: what goes in, in which order, until it is full."""

    def __init__(self, joined: Joined, gallery: int, size: int, inside: Sequence[Path]) -> None:
        self.joined, self.gallery, self.inside = joined, gallery, inside
        self.unreadable = tables.alarms_of_reading(joined)
        read = [[stage for stage in run.metrics if stage.watched] for run in joined.runs]
        self.alarms = [(title, found) for title, found in zip(joined.titles, read, strict=True) if found]
        self.notes = list(joined.notes)
        self.pictures = embed.Pictures()
        self.scenes: Scenes = {}
        self.blobs: list[embed.Blob] = []
        self.budget = embed.Budget(size - _RESERVE)

    def render(self) -> str:
        context = self._tables()
        tasks = [
            TaskIndex(task, self.pictures, self.scenes, self.inside, self.gallery)
            for task in self.joined.tasks
        ]
        self.budget.left -= len(self._html(context, "").encode())
        groups, group_rows = self._rollouts()
        views = [self._samples(index) for index in tasks]
        first = [number for index in tasks for number in index.pictures_of(index.first)]
        rest = [number for index in tasks for number in index.pictures_of(index.rest)]
        spans = [(stage.stage, span) for _, read in self.alarms for stage in read for span in stage.spans]
        data = {
            "columns": self.joined.columns,
            "runs": self.joined.titles,
            "tasks": views,
            "curves": curves_view([(i, s) for i, run in enumerate(self.joined.runs) for s in run.metrics]),
            "alarms": [
                {"stage": name, "since": span.alarm.since, "until": span.until, "keys": span.alarm.keys}
                for name, span in spans
            ],
            "groups": {"rows": group_rows, "chunk": GROUP_CHUNK},
            "pairs": self._pairs(),
            "clouds": self._clouds(tasks),
        }
        packed = embed.pack_json(embed.shown(data))
        self.budget.left -= len(packed)
        rolled = by_rank(groups)
        wanted = [*first, *rolled[:ROLLOUT_PICTURES], *rest, *rolled[ROLLOUT_PICTURES:]]
        self.blobs += self.pictures.fill(wanted, self.budget)
        self._note_pictures()
        return self._html(context, packed)

    def _html(self, context: dict[str, Any], packed: str) -> str:
        return embed.render_page(
            title=f"rft3d: {', '.join(self.joined.titles)}",
            lead=self._lead(),
            notes=self.notes,
            index=packed,
            blobs=self.blobs,
            **context,
        )

    def _tables(self) -> dict[str, Any]:
        runs, changed = self.joined.runs, None
        if len(runs) == 1 and runs[0].config is not None and runs[0].defaults is not None:
            changed = tables.facts_table(("this run", "default"), (runs[0].config, runs[0].defaults))
        return {
            "unreadable": self.unreadable,
            "verdict": tables.verdicts(self.joined),
            "headroom": tables.headroom_view(self.joined),
            "alarms": self.alarms,
            "joined": self.joined,
            "difference": tables.difference_view,
            "classes": tables.class_tables(self.joined),
            "facts": tables.short_facts,
            "config": tables.facts_table(self.joined.titles, [run.config for run in runs]),
            "changed": changed and changed["differing"],
            "env": tables.facts_table(self.joined.titles, [run.env for run in runs]),
        }

    def _samples(self, index: TaskIndex) -> dict[str, Any]:
        """The task's index, and its samples' details as blobs, most wanted first."""
        order = [*index.first, *index.rest]
        rows = (embed.shown(index.details[i]) for i in order)
        keep = int(self.budget.left * 0.4)  # texts never push all pictures out
        blobs, count = embed.chunks(f"s-{index.task.name}", rows, SAMPLE_CHUNK, self.budget, keep)
        self.blobs += blobs
        if count < len(index.task.samples):
            self.notes.append(
                f"{len(index.details) - count} of {len(index.details)} {index.task.name} samples are listed "
                "without their details, to keep the page small (--max-mb)"
            )
        return index.view(order[:count], SAMPLE_CHUNK)

    def _rollouts(self) -> tuple[list[tuple[int, ...]], list[dict[str, Any]]]:
        """Facts of every group that fits (its place is its place in the blobs), and each group's pictures."""
        rows: list[dict[str, Any]] = []
        numbers: list[tuple[int, ...]] = []

        def views() -> Iterator[Any]:
            for run, folder in enumerate(self.joined.runs):
                samples = {s.id: (s, task.file.parent) for task in folder.tasks for s in task.samples}
                known = KnownSamples(folder.root, folder.config, samples)
                groups, rooms = read_groups(folder.root, self.notes), room_config(folder.config)
                for place in spread(len(groups)):
                    view, found = group_view(*groups[place], known)
                    frames = () if found is None else self.pictures.numbered(*found, self.inside, rooms)
                    rows.append({"run": run, **group_facts(view)})
                    numbers.append(frames)
                    yield embed.shown(replace(view, frames=frames))

        blobs, count = embed.chunks("g", views(), GROUP_CHUNK, self.budget, int(self.budget.left * 0.6))
        self.blobs += blobs
        if count < len(rows):
            self.notes.append(f"only {count} rollout groups are in the page, to keep it small (--max-mb)")
        return numbers[:count], rows[:count]

    def _clouds(self, tasks: Sequence[TaskIndex]) -> dict[str, int]:
        """Point clouds as blobs ``c-<k>``, the most wanted scenes first: ``{number of the scene: k}``."""
        keep = int(self.budget.left * (1 - CLOUD_SHARE))
        wanted = [key for index in tasks for key in index.scenes_of(index.first)]
        drawn = set(wanted)  # only these rooms are drawn again where their depth was not kept
        wanted += [key for index in tasks for key in index.scenes_of(index.rest)]
        made: dict[str, int] = {}
        facts = [found for _, found in self.scenes.values()]
        for number in dict.fromkeys(wanted):
            try:
                cloud = self._cloud(facts[number], number in drawn)
            except (OSError, ValueError) as error:
                self.notes.append(f"no point cloud: {error}")
                continue
            if cloud is None:
                continue
            text = embed.pack_cloud(*cloud)
            if not self.budget.take(len(text) + 80, keep):
                break
            self.blobs.append(embed.Blob(f"c-{len(made)}", text))
            made[str(number)] = len(made)
        return made

    def _cloud(self, facts: SceneFacts, redraw: bool) -> Cloud | None:
        cloud = point_cloud(facts.scene)
        if cloud is None and redraw:
            for run in self.joined.runs:
                if run.root.resolve() in facts.folder.parents:
                    room = drawn_again(facts.scene, room_config(run.config))
                    return None if room is None else point_cloud(room)
        return cloud

    def _pairs(self) -> dict[str, dict[str, Any]]:
        """``{task: {"a-b": {metric: difference}}}`` of every pair of columns, by their numbers."""
        found: dict[str, dict[str, Any]] = {}
        for task in self.joined.tasks:
            for a, b in combinations(task.answered, 2):
                made, count = task.between(a, b)
                views = {name: tables.difference_view(value, count) for name, value in made.items()}
                found.setdefault(task.name, {})[f"{a}-{b}"] = views
        return found

    def _note_pictures(self) -> None:
        if self.pictures.dropped:
            self.notes.append(
                f"{self.pictures.dropped} pictures are left out to keep the page small (--max-mb)"
            )
        problems = list(dict.fromkeys(self.pictures.problems))
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            self.notes.append(f"No pictures: {problems[0]}{more}")

    def _lead(self) -> str:
        facts = []
        for run in self.joined.runs:
            env = run.env if isinstance(run.env, dict) else {}
            if env.get("commit"):
                facts.append(f"commit {str(env['commit'])[:12]}")
            if run.stages:
                facts.append(f"{embed.duration(run.seconds)} of computing")
        facts += [f"{len(task.samples)} {task.name} samples" for task in self.joined.tasks]
        return " · ".join(dict.fromkeys(facts))
