"""What a benchmark is: a protocol in words, and variants of its score as sums over samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rft3d.evaluation.records import Prediction
from rft3d.evaluation.score import Compat
from rft3d.evaluation.stats import Finish, Totals
from rft3d.rewards.score import Score
from rft3d.tasks.types import Sample


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a benchmark scores: ``predictions[i]`` and the task's ``scores[i]`` belong to ``samples[i]``.

    Attributes:
        compat: also score as this code base does.
        proposals: ScanRefer: JSON file of proposal boxes, to score the refined protocol too.
    """

    samples: Sequence[Sample]
    predictions: Sequence[Prediction]
    scores: Sequence[Score]
    compat: Compat | None = None
    proposals: Path | None = None


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to score the same answers.

    Attributes:
        name: ``"ours"``, ``"vg-llm"``, ``"refined"`` ...
        note: a footnote: what this variant does differently.
        pools: what each sample adds to the sums.
        finish: sums to metrics.
        headline: metrics that are printed first, in the published order.
        unreadable: reason -> how many answers this variant could not read.
        truncated: what it does with an answer that was cut off.
    """

    name: str
    note: str
    pools: Sequence[Totals]
    finish: Finish
    headline: tuple[str, ...]
    unreadable: Mapping[str, int] = field(default_factory=dict)
    truncated: str = "earns nothing, unread"


@dataclass(frozen=True, eq=False)
class Benchmark:
    """One entry of ``BENCHMARKS``.

    Attributes:
        name: as ``--benchmark`` takes it.
        title: for tables.
        task: whose samples it scores.
        protocol: how the published numbers are made and where ours are not made that way, in words: the text that
            opens the benchmark's file.
        variants: scores the answers in every variant; the first is our own.
        official: what the complete benchmark has, e.g. ``{"samples": 9508}``; a file that has less is named
            a subset.
        task_options: options of the task that read the answers (:func:`rft3d.tasks.make_task`).
        frames: pictures a question shows; None: not fixed.
        floor: metric -> what it is worth without looking, where that is known; printed beside it.
        compats: code bases whose reading it knows.
        keeps: which samples belong to it; predictions for others play no part.
    """

    name: str
    title: str
    task: str
    protocol: str
    variants: Callable[[Inputs], list[Variant]]
    official: Mapping[str, int] = field(default_factory=dict)
    task_options: Mapping[str, object] = field(default_factory=dict)
    frames: int | None = None
    floor: Mapping[str, float] = field(default_factory=dict)
    compats: tuple[Compat, ...] = ("vg-llm",)
    keeps: Callable[[Sample], bool] | None = None
