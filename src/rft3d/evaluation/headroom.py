"""What RL can be expected to gain from a policy, measured before any of it is run.

Of the same questions: the greedy answer, one sample, the sample that the reward likes best of k, and the
consensus of k (:mod:`rft3d.evaluation.consensus`). RL makes likelier what is rewarded among the samples, so
the consensus is what it can reach by making the policy surer of what it knows; best of k counts luck too.
Where the consensus is no better than the greedy answer, RL has little to work with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from rft3d.digests import file_digest
from rft3d.evaluation.consensus import TASKS_WITH_CONSENSUS
from rft3d.evaluation.predict import agreed, load_frames
from rft3d.evaluation.records import Prediction, TextPolicy
from rft3d.evaluation.results import AtTemperature, Headroom, TaskHeadroom
from rft3d.evaluation.score import ScoredRun, resample_run, score_texts
from rft3d.evaluation.stats import Difference, Resampled, differences, intervals
from rft3d.evaluation.tables import percent
from rft3d.files import DamagedFile, source_commit
from rft3d.process import progress
from rft3d.prompts import Generation
from rft3d.rewards.score import Score
from rft3d.scenes.sources import picture_folders
from rft3d.settings import Bounds, Checked, Count, Positive
from rft3d.tasks import TASKS, make_task
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample, Task

SHOWN: dict[str, tuple[str, ...]] = {
    "detection": ("f1@0.25", "f1@0.25/micro", "precision@0.25", "recall@0.25", "mean_iou"),
    "grounding": ("acc@0.25", "acc@0.5", "mean_iou"),
    "spatial": ("micro", "macro8"),
}
"""Metrics of each task, else those without a ``/``; the first one is what the sentence is about."""


@dataclass(frozen=True)
class HeadroomConfig(Checked):
    """How headroom is measured.

    Attributes:
        k: samples of every question.
        temperatures: of the samples; each is measured alone.
        batch_size: questions answered at once (k rows each).
        max_new_tokens: longest answer; longer ones are cut and count as wrong.
        seed: of sampling and of the bootstrap.
        resamples: bootstrap resamples of the scenes.
    """

    k: Annotated[int, Bounds(2)] = 8
    temperatures: tuple[Positive, ...] = (0.35, 0.6, 1.0)
    batch_size: Count = 16
    max_new_tokens: Count = 512
    seed: int = 0
    resamples: Count = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperatures:
            raise ValueError(
                "HeadroomConfig.temperatures is empty; it must be some numbers, such as 0.35 0.6"
            )


@dataclass(frozen=True)
class Questioned:
    """A policy that is asked one task's ``samples``.

    ``inside``: the folders that pictures may lie in, the first the one that their paths are relative to.
    ``advance(n)`` is called after every n questions (``len(temperatures) + 1`` times each).
    """

    policy: TextPolicy
    task: Task
    samples: Sequence[Sample]
    inside: Sequence[Path]
    config: HeadroomConfig
    advance: Callable[[int], None] = lambda count: None

    def headroom(self) -> TaskHeadroom:
        """Headroom of the policy on these questions."""
        name, count = self.task.name, len(self.samples)
        if not count:
            raise ValueError(f"no {name} samples to measure headroom on")
        greedy = self.drawn(self.scores([texts[0] for texts in self.texts(0.0, 1)]))
        measured = tuple(self.measured(temperature, greedy) for temperature in self.config.temperatures)
        found = TaskHeadroom(name, self.config.k, count, greedy.scenes, self.metrics, measured)
        return replace(found, sentence=sentence(found))

    @property
    def metrics(self) -> tuple[str, ...]:
        known = SHOWN.get(self.task.name)
        return known or tuple(name for name in self.task.metric([], []) if "/" not in name)

    def texts(self, temperature: float, per: int) -> list[Sequence[Generation]]:
        """``per`` answers to each question."""
        config = self.config
        found: list[Sequence[Generation]] = []
        for start in range(0, len(self.samples), config.batch_size):
            batch = self.samples[start : start + config.batch_size]
            found += self.policy.sample_texts(
                [sample.turns() for sample in batch],
                [load_frames(sample, self.inside[0], self.inside) for sample in batch],
                per,
                max_new_tokens=config.max_new_tokens,
                seed=config.seed * 1_000_003 + start,
                temperature=temperature,
            )
            self.advance(len(batch))
        return found

    def repeated(self, times: int) -> list[Sample]:
        return [sample for sample in self.samples for _ in range(times)]

    def scores(self, texts: Sequence[Prediction | Generation], times: int = 1) -> list[Score]:
        """Of ``times`` answers to each question, all of the first one first."""
        return score_texts(self.task, self.repeated(times), texts)

    def drawn(self, scores: Sequence[Score], times: int = 1) -> Resampled:
        run = ScoredRun(self.task, tuple(self.repeated(times)), tuple(scores))
        return resample_run(run, self.config.resamples, self.config.seed, also=self.metrics)

    def measured(self, temperature: float, greedy: Resampled) -> AtTemperature:
        k = self.config.k
        groups = self.texts(temperature, k)
        scores = self.scores([text for group in groups for text in group], k)
        by_group = [scores[i : i + k] for i in range(0, len(scores), k)]
        drawn = {
            "one sample": self.drawn(scores, k),  # the mean over all k, with less noise
            "best of k": self.drawn([max(group, key=lambda score: score.total) for group in by_group]),
        }
        if self.task.name in TASKS_WITH_CONSENSUS:
            central = [agreed(s, group, self.task) for s, group in zip(self.samples, groups, strict=True)]
            drawn["consensus"] = self.drawn(self.scores(central))
        gaps = {name: differences(greedy, run) for name, run in drawn.items() if name != "one sample"}
        flat = sum(len({score.total for score in group}) == 1 for group in by_group) / len(self.samples)
        answers = {name: intervals(run) for name, run in {"greedy": greedy, **drawn}.items()}
        return AtTemperature(temperature, flat, answers, gaps)


def headroom_of_files(
    policy: Any,
    model: str,
    questions: Mapping[Path, Sequence[Sample]],
    config: HeadroomConfig,
    tell: Callable[[TaskHeadroom], object] = lambda measured: None,
    show: bool = True,
    told: Callable[[str], object] = lambda line: None,
    pictures: Path | None = None,
) -> Headroom:
    """Headroom of ``policy`` on ``questions`` (those asked of each samples file).

    ``model``: its fingerprint. ``tell`` gets what was measured of a file as soon as it is known; ``show``: a
    progress bar on standard error; ``told`` gets a line about each question that a damaged picture leaves out;
    ``pictures``: a folder besides those of the samples files in which pictures may lie.
    """
    from rich.console import Console

    found: list[TaskHeadroom] = []
    for file, samples in questions.items():
        task = make_task(samples[0].task, options=policy.task_options.get(samples[0].task))
        inside = picture_folders(file.parent, pictures)
        samples = [sample for sample in samples if _readable(sample, inside, told)]
        count = len(samples) * (1 + len(config.temperatures))
        with progress(Console(stderr=True, quiet=not show), task.name, count) as advance:
            asking = Questioned(policy, task, samples, inside, config, lambda n: advance(n, ""))
            measured = asking.headroom()
        asked, digest = tuple(s.id for s in samples), file_digest(file)
        found.append(replace(measured, samples_file=str(file), samples_sha256=digest, ids=asked))
        tell(measured)
    return Headroom(model, source_commit(), tuple(found))


def read_questions(paths: Sequence[Path], limit: int = 0) -> dict[Path, list[Sample]]:
    """:func:`spread_questions` of each file; a folder stands for its ``samples.<task>.jsonl``."""
    found: dict[Path, list[Sample]] = {}
    for path in paths:
        files = [path / f"samples.{task}.jsonl" for task in TASKS] if path.is_dir() else [path]
        there = [file for file in files if file.is_file() or not path.is_dir()]
        if not there:
            raise ValueError(f"--samples {path} holds no samples.<task>.jsonl ({', '.join(TASKS)})")
        found |= {file: spread_questions(file, limit) for file in there}
    return found


def spread_questions(file: Path, limit: int = 0) -> list[Sample]:
    """``limit`` questions of a samples file, evenly spaced over it; 0: all."""
    samples = list(read_samples(file))
    if not samples:
        raise ValueError(f"{file} is empty; there is nothing to measure on")
    if not limit or limit >= len(samples):
        return samples
    return [samples[i * len(samples) // limit] for i in range(limit)]


def _readable(sample: Sample, inside: Sequence[Path], told: Callable[[str], object]) -> bool:
    try:
        load_frames(sample, inside[0], inside)
    except DamagedFile as error:
        told(f"{error}; it is left out")
        return False
    return True


def sentence(found: TaskHeadroom) -> str:
    """What the numbers of one task mean for RL, in words."""
    metric, k, best = found.metrics[0], found.k, found.best
    gap, luck = (best.minus_greedy[name][metric] for name in (found.reach, "best of k"))
    by = "consensus" if found.reach == "consensus" else "best"
    one = best.answers["one sample"][metric].value or 0.0
    start = (
        f"{found.task}: {metric} is {percent(gap.a)} greedy and {percent(gap.b)} by {by} of {k} "
        f"at temperature {best.temperature:g} ({_signed(gap)})"
    )
    rest = (
        f"one sample there has {percent(one)}; {percent(best.flat)} % of the questions pay all samples "
        f"alike and teach nothing; the best of {k} ({_signed(luck)}) counts luck too."
    )
    hope = "RL at this temperature can be expected to gain up to about that much"
    if by == "best":
        hope = f"{found.task} has no consensus to tell what RL can gain"
    elif gap.low is None or gap.low <= 0:
        hope = "no clear gap, so expect RL to gain little by sharpening; errors that all samples share are not seen"
    return f"{start}: {hope}; {rest}"


def _signed(gap: Difference) -> str:
    if gap.difference is None or gap.low is None or gap.high is None:
        return "undefined"
    return f"{100 * gap.difference:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
