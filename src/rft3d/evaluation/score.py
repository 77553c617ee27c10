"""Score a predictions file: the task's official numbers with intervals, from text alone, without torch.

The *same* task object that gives rewards in training reads the texts here, so training and
evaluation can't read an answer differently. Every sample counts: a missing prediction is an error
unless it is allowed, and then it is scored as an empty answer and stated as such.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from rft3d import __version__
from rft3d.answers.foreign import Convention, in_house_layout
from rft3d.answers.types import ParseMode
from rft3d.digests import file_digest
from rft3d.evaluation.conventions import duplicates, sun_rgbd_score
from rft3d.evaluation.outside import Loaded, PredictionFormat, load_predictions
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.results import Share, TaskResult, Unread
from rft3d.evaluation.stats import Finish, Resampled, intervals, resample_pools
from rft3d.files import excerpt, naming, plain, read_json, source_commit
from rft3d.prompts import Generation
from rft3d.rewards.score import Score
from rft3d.tasks import make_task
from rft3d.tasks.detection import Detection
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample, Task, mean

Result = TypeVar("Result", bound=TaskResult)
Compat = Literal["vg-llm", "lmms-eval", "vlmevalkit"]
"""Code bases whose reading of answers some benchmark knows."""
HEADLINE: dict[str, tuple[str, ...]] = {
    "detection": ("f1@0.25", "precision@0.25", "recall@0.25", "mean_iou"),
    "grounding": ("acc@0.25", "acc@0.5", "mean_iou"),
    "spatial": ("macro8", "micro"),
    "captioning": ("cider@0.5", "bleu4@0.5", "rouge_l@0.5"),
}
"""Metrics that get an interval; a task that isn't listed gets one for each metric without a ``/``."""


@dataclass(frozen=True, slots=True)
class ScoreConfig:
    """How a predictions file is scored; all of it is stated in the result."""

    mode: ParseMode | None = None
    """how the task reads answers; its own way when not given. The variants of a benchmark don't depend on it"""
    allow_missing: bool = False
    """score samples without prediction as empty answers (and say so) instead of refusing"""
    resamples: int = 1000
    """bootstrap resamples of the scenes; 0 for no intervals"""
    seed: int = 0
    """seed of the resampling"""
    level: float = 0.95
    """coverage of the intervals"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """fields of the task that differ from its defaults; JSON values; not for benchmarks"""
    format: PredictionFormat = "auto"
    """of the predictions file"""
    boxes: Convention = "house"
    """with a task: how the predicted boxes are written (rft3d data check tells which fits)"""
    classes: tuple[str, ...] | None = None
    """detection: labels that the means go over instead of the published 20 (rft3d samples prints them)"""
    compat: Compat | None = None
    """with a benchmark: also as this code base reads answers and lists classes"""
    proposals: Path | None = None
    """scanrefer: scannet_val_pred_box.json, for the proposal-refined protocol"""

    @property
    def task_options(self) -> dict[str, Any]:
        """``options`` with ``classes``."""
        return {**self.options, **({} if self.classes is None else {"classes": list(self.classes)})}


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """One predictions file, scored: ``scores[i]`` belongs to ``samples[i]``."""

    task: Task
    samples: tuple[Sample, ...]
    scores: tuple[Score, ...]
    missing: tuple[str, ...] = ()

    def only(self, places: Iterable[int]) -> "ScoredRun":
        """The samples at these places alone."""
        pairs = [(self.samples[i], self.scores[i]) for i in places]
        return ScoredRun(self.task, tuple(s for s, _ in pairs), tuple(score for _, score in pairs))

    @property
    def metrics(self) -> dict[str, float | None]:
        """The task's official numbers."""
        return dict(self.task.metric(self.samples, self.scores))


def score_predictions(
    task: Task, samples: Sequence[Sample], predictions: Sequence[Prediction], allow_missing: bool = False
) -> ScoredRun:
    """Score every sample once. ValueError names ids that are unknown, repeated, missing or another task's.

    Examples:
        >>> samples, answers = list(read_samples("samples.jsonl")), read_predictions("gold.jsonl")
        >>> summarise(score_predictions(make_task("detection"), samples, answers)).metrics["f1@0.25/micro"]
        1.0
    """
    for sample in samples:
        if sample.task != task.name:
            raise ValueError(f"sample {sample.id!r} is of task {sample.task!r}, not {task.name!r}")
    if not samples:
        raise ValueError("the samples file is empty; there is nothing to score")
    counts = Counter(prediction.id for prediction in predictions)
    known = {sample.id for sample in samples}
    repeated = [identity for identity, count in counts.items() if count > 1]
    unknown = [identity for identity in counts if identity not in known]
    missing = [sample.id for sample in samples if sample.id not in counts]
    for problem, ids, fix in (
        ("repeated", repeated, "keep one prediction a sample"),
        ("unknown", unknown, "score against the samples file that the predictions were made from"),
        ("missing", [] if allow_missing else missing, "predict them, or allow missing ones as empty answers"),
    ):
        if ids:
            some = ", ".join(map(excerpt, ids[:5])) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
            raise ValueError(f"{len(ids)} prediction ids are {problem}: {some}; {fix}")
    scores = score_texts(task, samples, by_sample(samples, predictions))
    return ScoredRun(task, tuple(samples), tuple(scores), tuple(missing))


def by_sample(samples: Sequence[Sample], predictions: Sequence[Prediction]) -> list[Prediction]:
    """The prediction of each sample; an empty answer where there is none."""
    by_id = {prediction.id: prediction for prediction in predictions}
    return [by_id.get(sample.id) or Prediction(sample.id, "") for sample in samples]


def score_texts(
    task: Task, samples: Sequence[Sample], answers: Sequence[Prediction | Generation]
) -> list[Score]:
    """The score of ``answers[i]`` to ``samples[i]``, all at once where the task can."""
    return task.score_many([a.text for a in answers], samples, [a.truncated for a in answers])


def summarise(run: ScoredRun, config: ScoreConfig = ScoreConfig()) -> TaskResult:
    """A scored run as a record: counts, rates, official metrics and headline intervals."""
    drawn = resample_run(run, config.resamples, config.seed)
    count, task = len(run.samples), run.task
    truncated = sum(score.truncated for score in run.scores)
    return TaskResult(
        task=task.name,
        # its config fields: how answers were read and matched
        protocol=json.loads(json.dumps(vars(task), default=plain)),
        options=json.loads(json.dumps(config.task_options)),
        samples=count,
        scenes=len({sample.scene for sample in run.samples}),
        missing=run.missing,
        parse_failures=Unread.of(Counter(s.failure.reason for s in run.scores if s.failure), count),
        truncated=Share(truncated, truncated / count),
        reward=sum(score.total for score in run.scores) / count,
        reward_parts=_mean_parts(run.scores),
        headline=intervals(drawn, config.level),
        metrics=run.metrics,
        duplicates=duplicates(task, run.scores) if isinstance(task, Detection) else None,
    )


def score_files(
    task_name: str,
    samples_path: str | Path,
    predictions_path: str | Path,
    config: ScoreConfig = ScoreConfig(),
) -> TaskResult:
    """Score ``predictions_path`` against ``samples_path``; :func:`summarise` plus where it comes from.

    Examples:
        >>> score_files("detection", "samples.jsonl", "gold.jsonl").metrics["f1@0.25/micro"]
        1.0
    """
    samples_path, predictions_path = Path(samples_path), Path(predictions_path)
    samples = list(read_samples(samples_path))
    run, loaded = score_file(task_name, samples, predictions_path, config)
    result = summarise(run, config)
    if config.boxes == "sun-rgbd":
        result = replace(result, sun_rgbd=sun_rgbd_score(samples, loaded.predictions))
    return sourced(result, samples_path, predictions_path, loaded)


def score_file(
    task_name: str, samples: Sequence[Sample], path: Path, config: ScoreConfig
) -> tuple[ScoredRun, Loaded]:
    """The answers in ``path`` as they are, and scored by a task. ValueError: a class that no truth has (it would
    count 0 in the mean), or boxes of a task that has none."""
    task = make_task(task_name, config.mode, config.task_options)
    loaded = load_predictions(path, samples, config.format)
    known = {row["label"] for sample in samples for row in sample.truth.get("boxes", ())}
    if unknown := [name for name in config.classes or () if name not in known]:
        raise ValueError(
            f"classes: no true box is called {', '.join(map(repr, unknown))}; the labels are "
            + ", ".join(sorted(known))
        )
    predictions = loaded.predictions
    if config.boxes != "house":
        if not isinstance(task, Detection):
            raise ValueError(f"boxes: only detection reads {config.boxes!r} boxes, not {task_name}")
        predictions = [replace(p, text=in_house_layout(p.text, config.boxes)) for p in predictions]
    with naming(path):
        return score_predictions(task, samples, predictions, config.allow_missing), loaded


def sourced(result: Result, samples: Path, predictions: Path, loaded: Loaded) -> Result:
    """``result`` with where it comes from."""
    meta = predictions.with_name(f"{predictions.name}.meta.json")
    return replace(
        result,
        predictions_format=loaded.origin,
        mean_tokens=mean(p.tokens for p in loaded.predictions if p.tokens is not None),
        generation=read_json(meta, dict) if meta.is_file() else None,
        samples_file=samples.name,
        samples_sha256=file_digest(samples),
        predictions_sha256=file_digest(predictions),
        commit=source_commit(),
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def pools_of(run: ScoredRun) -> tuple[list[dict[str, float]], Finish]:
    """What each answer adds to the sums of the run's metric, and the metric of the sums."""
    return run.task.pools(run.samples, run.scores), run.task.metric_from


def resample_run(run: ScoredRun, resamples: int = 1000, seed: int = 0, also: Sequence[str] = ()) -> Resampled:
    """The headline metrics of a run, and those in ``also`` that the task has, on resampled scenes."""
    point = run.metrics
    names = list(HEADLINE.get(run.task.name) or [name for name in point if "/" not in name])
    names = (*names, *(name for name in also if point.get(name) is not None and name not in names))
    pools, finish = pools_of(run)
    scenes = [sample.scene for sample in run.samples]
    return resample_pools(pools, scenes, finish, names, resamples=resamples, seed=seed)


def _mean_parts(scores: Sequence[Score]) -> dict[str, float]:
    totals: dict[str, list[float]] = {}
    for score in scores:
        for part in score.parts:
            totals.setdefault(part.name, []).append(part.value)
    return {name: sum(values) / len(values) for name, values in totals.items()}
