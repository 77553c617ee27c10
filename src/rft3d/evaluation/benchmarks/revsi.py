"""ReVSI: VSI-Bench asked again, with better boxes, and with a key for each number of frames that a model is shown.

Protocol
    Four subsets (16, 32, 64, all frames), each with its own key, true of what these frames show. Thirteen question
    types; the letter, or mean relative accuracy with ``<=``. **overall**: mean of seven categories (counting,
    absolute distance, object size, room size, relative direction, relative distance, route), each the unweighted
    mean of its types that are present. Answers are read strictly: the text up to the first space, final dots
    removed.
Source
    ReVSI (arXiv 2604.24300), github.com/3dlg-hcvc/revsi, and lmms-eval's ``tasks/revsi/utils.py``.
Deviations of our own variants
    1. Where an answer has ``<think>`` or ``<answer>`` tags, only the inside of ``<answer>`` is read.
    2. The first variant reads leniently, as for VSI-Bench; ``strict`` is the published reading.
    3. A truncated answer earns nothing.
    4. Samples of two subsets in one file are refused: their keys differ.
``--compat lmms-eval``: the published reading of the whole text, tags or not.
"""

from dataclasses import replace

from rft3d.evaluation.benchmarks.types import Benchmark, Inputs, Variant
from rft3d.evaluation.benchmarks.vsi_bench import read_variants
from rft3d.evaluation.stats import Totals
from rft3d.scenes.readers.vsi_bench import REVSI as TYPES
from rft3d.tasks.types import mean

CATEGORIES = ("object_counting", "object_abs_distance", "object_size_estimation", "room_size_estimation",
              "object_rel_direction", "object_rel_distance", "route_planning")  # fmt: skip
"""The names of a category's question types begin with its own."""


def variants(inputs: Inputs) -> list[Variant]:
    """The lenient and the strict reading, and the published one when asked for."""
    budgets = sorted({str(sample.meta["frame_budget"]) for sample in inputs.samples})
    if len(budgets) > 1:
        raise ValueError(
            f"samples for {' and '.join(budgets)} frames in one file: their keys differ; score them apart"
        )
    if inputs.compat is not None:  # its harness strips an answer, then reads it as VG-LLM's does
        stripped = [replace(each, text=each.text.strip()) for each in inputs.predictions]
        inputs = replace(inputs, predictions=stripped, compat="vg-llm")
    found = read_variants(inputs, lambda sample: sample.meta["revsi_type"], means, ("overall", "micro"))
    return [replace(each, name="lmms-eval") if each.name == "vg-llm" else each for each in found]


def means(totals: Totals) -> dict[str, float | None]:
    """``overall``, ``micro``, the mean of each category and type, counts."""
    counts = {kind: totals.get(f"count:{kind}", 0.0) for kind in TYPES}
    sums = {kind: totals.get(f"accuracy:{kind}", 0.0) for kind in TYPES}
    types = {kind: sums[kind] / count if count else None for kind, count in counts.items()}
    categories = {
        name: mean(value for kind, value in types.items() if value is not None and kind.startswith(name))
        for name in CATEGORIES
    }
    present = [value for value in categories.values() if value is not None]
    every = sum(counts.values())
    return {
        "overall": mean(present),
        "micro": sum(sums.values()) / every if every else None,
        "overall/tasks": float(len(present)),
        **{f"accuracy/{name}": value for name, value in {**types, **categories}.items()},
        **{f"count/{kind}": count for kind, count in counts.items()},
    }


REVSI = Benchmark(
    name="revsi",
    title="ReVSI",
    task="spatial",
    protocol=__doc__ or "",
    variants=variants,
    compats=("lmms-eval",),
    keeps=lambda sample: "revsi_type" in sample.meta,
)
