"""ScanNetDetection: multi-frame 3D object detection on ScanNet, 4 and 6 frames (VG-LLM, 3D-RFT).

Protocol
    Data: EmbodiedScan boxes on ScanNet, 958 training and 243 validation scans; at most 10 windows a
    validation scan, frames 1 s apart; every label but wall, ceiling, floor and object is asked for. Boxes are
    9-DoF in the first frame's camera (OpenCV axes), metres, intrinsic ZXY.
    Matching, per sample and per label (exact string): predictions in output order, each takes its highest-IoU
    unused true box of that label; a hit needs IoU > 0.25.
    Counts are summed over the data set per class; P, R, F1 per class (0 when undefined); then the unweighted
    mean over 20 classes is the published number. F1 is the mean of class F1s, not the harmonic mean of mean
    P and R.
Source
    VG-LLM (arXiv 2505.24625), ``lmms_eval/tasks/threedod/utils.py``; 3D-RFT (arXiv 2603.04976).
Deviations of our own variant
    1. Answers are read as JSON, whole or not at all: a list on one line, a fence, prose around it are all read, but
       a list with one damaged entry, or one that never closes, is no answer (upstream evaluates line by line and
       drops lines). A truncated answer earns nothing; upstream scores its whole lines.
    2. IoU is exact at any thickness; upstream scores 0 below a face of 2 cm². A negative size is invalid; upstream
       takes its absolute value.
    3. The wide list has 30 classes; upstream's 31 hold lamp twice and the misspelt towl. Labels outside the list
       cost nothing, as upstream, but are counted (``count/outside_predictions``).
``--compat vg-llm`` undoes them, but for expressions that only Python's evaluator can compute (counted as wrong
boxes, and listed; arithmetic is worked out) and for pytorch3d's errors in IoU
(:mod:`rft3d.evaluation.benchmarks.types`).
What no scorer can see: upstream's evaluation re-encodes frames as JPEG, leaves a newline per frame in front
of the prompt and decodes with a repetition penalty of 1.05 (docs/benchmarks.md).
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from rft3d.answers.vgllm import vgllm_detections
from rft3d.evaluation.benchmarks.types import Benchmark, Inputs, Variant, upstream_solids
from rft3d.evaluation.stats import Totals
from rft3d.rewards import Comparison, label_ious
from rft3d.scenes.types import CATE8, CATE20, CATE31
from rft3d.tasks.detection import class_rates, detection_truth, metric_from, pool_boxes

CATE31_UPSTREAM: tuple[str, ...] = (
    *CATE20, "window", "shelf", "curtain", "plant", "stairs", "picture", "book", "bottle",
    "lamp", "towl", "sink",
)  # fmt: skip
"""As upstream lists it: "lamp" again, and "towl", which is no label of the data."""

HEADLINE = ("precision@0.25", "recall@0.25", "f1@0.25")


def _finish(totals: Totals, wide: str, wide_classes: Sequence[str]) -> dict[str, float | None]:
    """Means over 20, 8 and the ``wide`` list of classes, F1 per class, counts."""
    result: dict[str, float | None] = {}
    for suffix, classes in (("", CATE20), ("/cate8", CATE8), (f"/{wide}", wide_classes)):
        rates = [class_rates(totals, label) for label in classes]  # a class without any box counts 0
        for name in ("precision", "recall", "f1"):
            result[f"{name}@0.25{suffix}"] = sum(rate[name] for rate in rates) / len(rates)
    every = metric_from(totals, CATE20)
    for name in ("f1@0.25/present", "f1@0.25/micro", "count/classes_present"):
        result[name] = every.get(name)
    result["count/classes"] = float(len(CATE20))
    for label in CATE31:
        if totals.get(f"tp:{label}", 0) + totals.get(f"fn:{label}", 0) + totals.get(f"fp:{label}", 0):
            result[f"f1@0.25/class:{label}"] = class_rates(totals, label)["f1"]
    for name in ("n_pred", "n_true", "outside_pred", "outside_true"):
        result[f"count/{name}"] = totals.get(name, 0.0)
    return result


def variants(inputs: Inputs) -> list[Variant]:
    """Ours, and upstream's when asked for."""
    failures = Counter(score.failure.reason for score in inputs.scores if score.failure is not None)
    ours = Variant(
        "ours",
        "JSON read whole, exact IoU, 20 classes (published list)",
        [pool_boxes(score.evidence_of(Comparison), CATE31) for score in inputs.scores],
        partial(_finish, wide="cate30", wide_classes=CATE31),
        HEADLINE,
        failures,
    )
    return [ours, _upstream(inputs)] if inputs.compat == "vg-llm" else [ours]


def _upstream(inputs: Inputs) -> Variant:
    read = [vgllm_detections(prediction.text) for prediction in inputs.predictions]
    named = [upstream_solids(boxes) for boxes, _ in read]
    truths = [upstream_solids(detection_truth(sample)) for sample in inputs.samples]
    ious = label_ious(list(zip(named, truths, strict=True)))
    pools = [pool_boxes(both, CATE31) for both in map(Comparison, named, truths, ious)]
    return Variant(
        "vg-llm",
        "upstream's reading line by line, thin boxes unmatchable, 31 entries with lamp twice and towl",
        pools,
        partial(_finish, wide="cate31", wide_classes=CATE31_UPSTREAM),  # the scalar that its task returns
        (*HEADLINE, "f1@0.25/cate31"),
        {
            "no line holds a box (upstream can't tell this from an empty list)": sum(not b for b, _ in read),
            "a line holds an expression that is not run, counted as a wrong box": sum(n > 0 for _, n in read),
        },
        truncated="its whole lines are scored",
    )


def _benchmark(frames: int) -> Benchmark:
    return Benchmark(
        name=f"scannet-detection-{frames}f",
        title=f"ScanNetDetection, {frames} frames",
        task="detection",
        protocol=__doc__ or "",
        variants=variants,
        official={"scenes": 243},
        task_options={"classes": list(CATE20)},
        frames=frames,
    )


FOUR_FRAMES, SIX_FRAMES = _benchmark(4), _benchmark(6)
