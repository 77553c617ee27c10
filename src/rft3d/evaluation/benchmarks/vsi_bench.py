"""VSI-Bench: 5,130 questions about 288 videos of rooms, in eight tasks.

Protocol
    Multiple choice (relative direction easy/medium/hard, relative distance, route planning, order of
    appearance): the letter. Numbers (absolute distance, counting, object size, room size): mean relative
    accuracy, the share of theta in linspace(0.5, 0.95, 10) with |p - g| / g <= 1 - theta.
    **macro-8**: mean of eight task means, the three direction levels averaged first, unweighted (lmms-eval,
    EASI, VLM-3R, VG-LLM). **micro**: mean over questions (VLMEvalKit). They differ by points; both are
    printed, macro-8 first.
    *strict* reading: the text up to the first space, final dots removed. *lenient*: the first option letter,
    number or number word of the sentence. Both are printed; a number without its reading means nothing.
Source
    VSI-Bench (arXiv 2412.14171) and its code, ``lmms_eval/tasks/vsibench/utils.py``; VLMEvalKit's
    ``vsibench.py``.
Deviations of our own variants
    1. Inside ``<answer>`` when there are tags; a truncated answer earns nothing.
    2. ``<=`` in the mean relative accuracy; the papers print ``<``.
    3. Averages over fewer than eight tasks say so; upstream crashes.
    4. Underscores and words for infinity are no numbers.
``--compat vg-llm``: strict reading of the whole text, tags or not, truncated or not, by Python's ``float``;
what is not finite scores 0. ``--compat lmms-eval`` and ``vlmevalkit``: as these harnesses read today, named with
their version (:mod:`rft3d.answers.harness`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rft3d.answers import harness
from rft3d.answers.vgllm import vgllm_first_token, vgllm_number
from rft3d.evaluation.benchmarks.types import Benchmark, Compat, Inputs, Variant
from rft3d.evaluation.stats import Finish, Totals
from rft3d.rewards import mean_relative_accuracy
from rft3d.tasks.spatial import NUMERIC_TYPES, QUESTION_TYPES, Spatial
from rft3d.tasks.spatial.task import Readings, pool_readings
from rft3d.tasks.types import Sample

HEADLINE = ("macro8", "micro")


def variants(inputs: Inputs) -> list[Variant]:
    """The lenient and the strict reading, and upstream's when asked for."""
    return read_variants(inputs, lambda sample: sample.truth["question_type"], metrics, HEADLINE)


def read_variants(
    inputs: Inputs, kind_of: Callable[[Sample], str], finish: Finish, headline: tuple[str, ...]
) -> list[Variant]:
    """A variant for each reading: sums by ``kind_of`` a sample, made into metrics by ``finish``."""
    kinds = [kind_of(sample) for sample in inputs.samples]

    def variant(
        name: str, note: str, values: Sequence[float | None], reason: str, unread: int, **more: str
    ) -> Variant:
        pools = [pool_readings(kind, {"accuracy": value}) for kind, value in zip(kinds, values, strict=True)]
        return Variant(name, note, pools, finish, headline, {reason: unread} if unread else {}, **more)

    found = []
    for name, key, note in (
        ("ours", "lenient", "lenient: first letter, number or number word, inside <answer>"),
        ("strict", "strict", "strict: the text up to the first space, inside <answer>"),
    ):
        values = [score.evidence_of(Readings).values[key] for score in inputs.scores]
        unread = sum(v is None and not s.truncated for v, s in zip(values, inputs.scores, strict=True))
        found.append(variant(name, note, values, f"nothing to read by the {key} rule", unread))
    if (compat := inputs.compat) is not None:
        pairs = zip(inputs.predictions, inputs.samples, strict=True)
        values = [upstream_value(prediction.text, sample, compat) for prediction, sample in pairs]
        name, note, reason = READ_AS[compat]
        unread = values.count(None)
        found.append(variant(name, note, values, reason, unread, truncated="scored like any other"))
    return found


def metrics(totals: Totals) -> dict[str, float | None]:
    """Both averages, the mean of each type and of the three direction levels together, counts."""
    finish: Finish = Spatial().metric_from
    found = finish(totals)
    result = {name: found[name] for name in ("macro8", "micro", "macro8/tasks")}
    levels = [found[f"accuracy/object_rel_direction_{level}"] for level in ("easy", "medium", "hard")]
    known = [value for value in levels if value is not None]
    for kind in QUESTION_TYPES:
        result[f"accuracy/{kind}"] = found[f"accuracy/{kind}"]
    result["accuracy/object_rel_direction"] = sum(known) / len(known) if known else None
    result.update({f"count/{kind}": found[f"count/{kind}"] for kind in QUESTION_TYPES})
    return result


def upstream_value(text: str, sample: Sample, compat: Compat = "vg-llm") -> float | None:
    """Accuracy of one answer as another code base reads it; None: not read, scores 0."""
    truth = sample.truth
    if truth["question_type"] in NUMERIC_TYPES:
        number = _NUMBERS[compat](text)
        return None if number is None else mean_relative_accuracy(number, truth["answer"]).value
    token = harness.vlmevalkit_option(text) if compat == "vlmevalkit" else vgllm_first_token(text)
    if token is None or len(token) != 1 or not token.isalpha():
        return None
    return float(token.lower() == str(truth["answer"]).lower())


_NUMBERS = {
    "vg-llm": vgllm_number,
    "lmms-eval": harness.lmms_eval_number,
    "vlmevalkit": harness.vlmevalkit_number,
}
READ_AS: dict[Compat, tuple[str, str, str]] = {
    "vg-llm": (
        "vg-llm",
        "strict reading of the whole text, tags or not",
        "no letter or number up to the first space",
    ),
    "lmms-eval": (
        harness.LMMS_EVAL,
        "letters strict (up to the first space), numbers lenient: the first digits or number words",
        "no letter up to the first space, no number anywhere",
    ),
    "vlmevalkit": (
        harness.VLMEVALKIT,
        "inside <answer>, else a letter of the last lines, the last number",
        "no letter or number by its rules",
    ),
}


BLIND_FLOOR = {
    "macro8": 0.414,
    "micro": 0.438,
    "accuracy/object_size_estimation": 0.622,
    "accuracy/object_counting": 0.618,
    "accuracy/object_rel_direction_hard": 0.419,
    "accuracy/object_rel_direction_medium": 0.497,
    "accuracy/object_rel_direction_easy": 0.506,
    "accuracy/object_rel_distance": 0.381,
    "accuracy/route_planning": 0.330,
    "accuracy/room_size_estimation": 0.312,
    "accuracy/object_abs_distance": 0.330,
    "accuracy/obj_appearance_order": 0.247,
}
"""What the questions' words alone are worth on VSI-Bench: ``rft3d solve --blind`` of the file itself, ten-fold by
room, mean of five ways to deal the rooms, measured on the official questions (docs/benchmarks.md)."""

VSI_BENCH = Benchmark(
    name="vsi-bench",
    title="VSI-Bench",
    task="spatial",
    protocol=__doc__ or "",
    variants=variants,
    official={"samples": 5130, "scenes": 288},
    floor=BLIND_FLOOR,
    compats=("vg-llm", "lmms-eval", "vlmevalkit"),
)

VSI_BENCH_DEBIASED = replace(
    VSI_BENCH,
    name="vsi-bench-debiased",
    title="VSI-Bench-Debiased",
    official={"samples": 2362},
    floor={},
    keeps=lambda sample: not sample.meta.get("pruned"),
)
"""Version 1 of the subset ``debiased`` (arXiv 2511.04655, which reports micro averages): the same rules, the 2,362
questions that words answer less well. Of samples of the whole benchmark those count that ``pruned`` leaves."""
