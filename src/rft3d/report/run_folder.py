"""Read a run folder (:mod:`rft3d.runfolder`) for the report: what is there, and notes on what is not.

Every part may be missing; only a folder without any of them is an error. Scores that are missing are made here. A
folder that ``rft3d rooms`` or ``rft3d samples`` wrote is one too: without ``eval/`` its content is looked for in
``run/`` itself, and samples files may be named ``samples.<task>.jsonl``.
"""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rft3d.evaluation.records import Prediction, read_predictions
from rft3d.evaluation.results import TaskResult
from rft3d.evaluation.score import ScoreConfig, ScoredRun, score_predictions, summarise
from rft3d.files import naming, read_json
from rft3d.report.curves import StageMetrics, read_metrics
from rft3d.runfolder import METRICS, Titles, read_titles
from rft3d.tasks import TASKS, make_task
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample, mean
from rft3d.typed import typed


@dataclass(frozen=True)
class ModelRun:
    """One model's answers to one task. ``summary`` is the content of ``scores.json``."""

    name: str
    title: str
    predictions: dict[str, Prediction]
    scored: ScoredRun
    summary: TaskResult


@dataclass(frozen=True)
class TaskRuns:
    """One task's questions (from ``file``) and every model's answers, models in table order."""

    name: str
    file: Path
    samples: tuple[Sample, ...]
    runs: tuple[ModelRun, ...]


@dataclass(frozen=True)
class RunFolder:
    """All that the report shows; ``notes`` says what was missing or unreadable."""

    root: Path
    config: Any
    env: Any
    stages: tuple[dict[str, Any], ...]
    metrics: tuple[StageMetrics, ...]
    tasks: tuple[TaskRuns, ...]
    notes: tuple[str, ...]
    titles: Titles = field(default_factory=Titles)
    defaults: Any = None
    """what ``config`` would be if nothing had been set; None where the run did not write it down"""

    @property
    def seconds(self) -> float:
        """Of computing, over all stages."""
        return sum(row.get("seconds") or 0.0 for row in self.stages)


class NothingToReport(ValueError):
    """A folder that holds nothing of a run, or nothing yet."""


def read_run_folder(root: str | Path, resamples: int = 1000) -> RunFolder:
    """Read ``root``. :class:`NothingToReport` when there is nothing at all to report on."""
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"no run folder at {root}")
    notes: list[str] = []
    titles = read_titles(root)
    config, env, stages, defaults = (
        _json(root / f"{name}.json", notes) for name in ("config", "env", "stages", "defaults")
    )
    try:
        typed(tuple[_Stage, ...], stages or [], "stages.json", extra=True)
    except ValueError as error:
        notes.append(f"{error}; the cost table is left out")
        stages = None
    files = sorted((root / "stages").glob(f"*/{METRICS}"), key=lambda path: path.stat().st_mtime)
    metrics = tuple(map(read_metrics, files))
    notes += [f"stages/{stage.stage}/{problem}" for stage in metrics for problem in stage.problems]
    if not metrics:
        notes.append("no stages/*/metrics.jsonl, so no learning curves")
    answers = root / "eval" if (root / "eval").is_dir() else root
    tasks = [_task_runs(name, answers, root, titles, resamples, notes) for name in TASKS]
    present = tuple(task for task in tasks if task is not None)
    if not present:
        notes.append("no eval/<task>.samples.jsonl, so no results and no samples")
    if not present and not metrics and not stages:
        raise NothingToReport(
            f"{root} is not a run folder: it has neither eval/<task>.samples.jsonl nor samples.<task>.jsonl "
            "nor stages/*/metrics.jsonl nor stages.json"
        )
    return RunFolder(root, config, env, tuple(stages or ()), metrics, present, tuple(notes), titles, defaults)


def _task_runs(
    name: str, folder: Path, root: Path, titles: Titles, resamples: int, notes: list[str]
) -> TaskRuns | None:
    files = (folder / f"{name}.samples.jsonl", folder / f"samples.{name}.jsonl")
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    samples = tuple(read_samples(file))
    if not samples:
        notes.append(f"{file.relative_to(root).as_posix()} is empty")
        return None
    found = folder.glob(f"*/{name}.predictions.jsonl")
    runs = tuple(
        _model_run(name, samples, path, root, titles, resamples, notes)
        for path in sorted(found, key=lambda path: titles.order(path.parent.name))
    )
    if not runs:
        inside = (folder / "<model>").relative_to(root).as_posix()
        notes.append(f"no {inside}/{name}.predictions.jsonl, so no results for {name}")
    return TaskRuns(name, file, samples, runs)


def _model_run(
    task_name: str,
    samples: tuple[Sample, ...],
    path: Path,
    root: Path,
    titles: Titles,
    resamples: int,
    notes: list[str],
) -> ModelRun:
    model = path.parent.name
    scores_path = path.with_name(f"{task_name}.scores.json")
    summary = _summary(scores_path, root, notes)
    predictions = read_predictions(path)
    mode, options = (summary.protocol.get("mode"), summary.options) if summary else (None, None)
    with naming(path if summary is None else scores_path):
        task = make_task(task_name, mode, options)
    with naming(path):
        scored = score_predictions(task, samples, predictions, allow_missing=True)
    if summary is None:
        summary = summarise(scored, ScoreConfig(allow_missing=True, resamples=resamples))
        summary = replace(summary, mean_tokens=mean(p.tokens for p in predictions if p.tokens is not None))
    return ModelRun(model, titles.of(model), {p.id: p for p in predictions}, scored, summary)


@dataclass(frozen=True)
class _Stage:
    stage: str | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    tokens: float | None = None
    tokens_per_s: float | None = None


STAGE_COLUMNS = tuple(each.name for each in fields(_Stage))
"""What the table of costs has columns for."""


def _summary(path: Path, root: Path, notes: list[str]) -> TaskResult | None:
    """The scores of a model, None (and a note) where they are missing or damaged."""
    name = path.relative_to(root).as_posix()
    try:
        return typed(TaskResult, read_json(path), name, extra=True)
    except FileNotFoundError:
        notes.append(f"{name} was missing; scored for this page")
    except ValueError as error:
        notes.append(f"{name} is damaged ({error}); scored for this page")
    return None


def _json(path: Path, notes: list[str]) -> Any:
    try:
        return read_json(path)
    except FileNotFoundError:
        notes += [] if path.name == "defaults.json" else [f"no {path.name}"]
    except ValueError as error:
        notes.append(f"{path.name} is not JSON ({error})")
    return None
