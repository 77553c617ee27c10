"""What a benchmark is: a protocol in words, and variants of its score as sums over samples.

``--compat vg-llm`` puts the quirks of upstream's IoU on top of the exact one. Upstream computes IoU with pytorch3d
pair by pair and takes an exception for IoU 0. The check behind almost all of these exceptions: a box with a face of
under 2e-4 square metres (each of its two triangles under 1e-4). A negative size passes and acts as its absolute
value.

pytorch3d's errors are *not* imitated. Its IoU is wrong for well-aligned boxes: on answers that are off by rounding
only, 69 % of pairs differ from the exact IoU by more than 0.05, always downwards. At the threshold of 0.25 up to
0.1 % of pairs change sides, at **0.5 between 0.3 and 1.9 %**: a published Acc@0.5 is lower than the boxes are by
about as much.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rft3d.answers import LabelledBox
from rft3d.answers.vgllm import NOWHERE
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.score import Compat
from rft3d.evaluation.stats import Finish, Totals
from rft3d.rewards.score import Score
from rft3d.tasks.types import Sample

PYTORCH3D = (
    "IoU is exact; pytorch3d's is too low for well-aligned boxes: up to 0.1 % of pairs change sides at 0.25, "
    "0.3 to 1.9 % at 0.5"
)
LEAST_FACE_M2 = 2e-4


def upstream_solid(box: Sequence[float]) -> tuple[float, ...]:
    """``box`` as upstream's IoU sees it: sizes made positive, and :data:`NOWHERE` where it would raise."""
    sizes = sorted(abs(size) for size in box[3:6])
    if sizes[0] * sizes[1] < LEAST_FACE_M2:
        return NOWHERE
    return (*box[:3], *(abs(size) for size in box[3:6]), *box[6:])


def upstream_solids(boxes: Sequence[LabelledBox]) -> tuple[LabelledBox, ...]:
    """:func:`upstream_solid` of every labelled box."""
    return tuple(LabelledBox(box.label, upstream_solid(box.box)) for box in boxes)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a benchmark scores: ``predictions[i]`` and the task's ``scores[i]`` belong to ``samples[i]``.

    ``compat``: also score as this code base does. ``proposals``: ScanRefer's JSON file, for the refined protocol.
    """

    samples: Sequence[Sample]
    predictions: Sequence[Prediction]
    scores: Sequence[Score]
    compat: Compat | None = None
    proposals: Path | None = None


@dataclass(frozen=True, eq=False)
class Variant:
    """One way to score the same answers: what each sample adds to the sums, and the metrics of the sums.

    ``note``: a footnote, what it does differently. ``headline``: metrics that are printed first, in the published
    order. ``unreadable``: reason -> how many answers it could not read; ``truncated``: what it does with one that
    was cut off.
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
        floor: metric -> score of guessing without looking, where it is known; printed beside it.
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
