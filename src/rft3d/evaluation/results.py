"""Results as records: ``scores.json`` holds one, and report and leaderboard read it back with ``typed``."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rft3d.evaluation.outside import Origin
from rft3d.evaluation.stats import Difference, Interval


@dataclass(frozen=True)
class Share:
    """How many answers are of a kind, and their share of all."""

    count: int
    rate: float


@dataclass(frozen=True)
class Unread(Share):
    """Answers that could not be read; ``reasons``: the ten commonest, with their counts."""

    reasons: Mapping[str, int]

    @classmethod
    def of(cls, reasons: Counter[str], answers: int) -> "Unread":
        return cls(reasons.total(), reasons.total() / answers, dict(reasons.most_common(10)))


@dataclass(frozen=True)
class Duplicates:
    """Predicted boxes that overlap an earlier one of their label by more than ``iou``; ``rate``: of all boxes;
    ``without``: F1@0.25, ``/present`` and ``/micro`` when they are removed, empty when there are none."""

    iou: float
    count: int
    rate: float | None
    without: Mapping[str, float | None]


@dataclass(frozen=True)
class SunRgbd:
    """mAP over .25:.05:.5, at .25 and at .5 as ``harness`` computes it."""

    harness: str
    mAP: float
    mAP25: float
    mAP50: float


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """A scored run: how the answers were read, counts, means, the official metrics, headline intervals. From
    ``predictions_format`` on: where it comes from (files, digests, commit, how the texts were generated).

    ``missing``: ids of samples without a prediction, scored as empty answers. ``reward``, ``reward_parts``: means
    over all answers, of the total, and of each part where it was given."""

    task: str
    protocol: Mapping[str, Any]
    options: Mapping[str, Any]
    samples: int
    scenes: int
    missing: tuple[str, ...]
    parse_failures: Unread
    truncated: Share
    reward: float
    reward_parts: Mapping[str, float]
    headline: Mapping[str, Interval]
    metrics: Mapping[str, float | None]
    duplicates: Duplicates | None = None
    sun_rgbd: SunRgbd | None = None
    predictions_format: Origin | None = None
    mean_tokens: float | None = None
    generation: Mapping[str, Any] | None = None
    samples_file: str = ""
    samples_sha256: str = ""
    predictions_sha256: str = ""
    commit: str | None = None
    version: str = ""
    created: str = ""


@dataclass(frozen=True)
class Described:
    """The benchmark of a result, in words; ``floor``: metric -> what it is worth without looking."""

    name: str
    title: str
    compat: str | None
    floor: Mapping[str, float]
    protocol: str


@dataclass(frozen=True)
class Official:
    """Whether the samples are the whole benchmark: its official counts, theirs, and the frames shown."""

    expected: Mapping[str, int]
    found: Mapping[str, int]
    frames: tuple[int, ...]
    complete: bool


@dataclass(frozen=True)
class VariantResult:
    """One way to score the answers (:class:`rft3d.evaluation.benchmarks.types.Variant`)."""

    note: str
    headline: Mapping[str, Interval]
    metrics: Mapping[str, float | None]
    unreadable: Unread
    truncated: str


@dataclass(frozen=True, kw_only=True)
class BenchmarkResult(TaskResult):
    """The same for a benchmark; its headline is that of the first of ``variants``."""

    benchmark: Described
    official: Official
    variants: Mapping[str, VariantResult]


@dataclass(frozen=True)
class AtTemperature:
    """Intervals of ``greedy``, ``one sample``, ``best of k`` and maybe ``consensus`` by metric; what the last two
    have over greedy. ``flat``: the share of questions whose samples are all paid alike, which teach RL nothing."""

    temperature: float
    flat: float
    answers: Mapping[str, Mapping[str, Interval]]
    minus_greedy: Mapping[str, Mapping[str, Difference]]


@dataclass(frozen=True)
class TaskHeadroom:
    """Headroom on one task's samples, the first of ``metrics`` before all; ``ids``: those asked of the file."""

    task: str
    k: int
    samples: int
    scenes: int
    metrics: tuple[str, ...]
    temperatures: tuple[AtTemperature, ...]
    sentence: str = ""
    samples_file: str = ""
    samples_sha256: str = ""
    ids: tuple[str, ...] = ()

    @property
    def reach(self) -> str:
        """What is held against greedy: the ``consensus``, or ``best of k`` where the task has none."""
        return "consensus" if "consensus" in self.temperatures[0].minus_greedy else "best of k"

    @property
    def best(self) -> AtTemperature:
        """Where :attr:`reach` has most over greedy."""
        reach, first = self.reach, self.metrics[0]
        return max(self.temperatures, key=lambda row: row.minus_greedy[reach][first].difference or 0)


@dataclass(frozen=True)
class Headroom:
    """``headroom.json``; ``model``: the fingerprint."""

    model: str
    commit: str | None
    tasks: tuple[TaskHeadroom, ...]
