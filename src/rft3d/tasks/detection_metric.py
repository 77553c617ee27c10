"""What detection's answers add up to: counts per class, and precision, recall and F1 of sums of them."""

from collections.abc import Mapping, Sequence

from rft3d.rewards import Comparison
from rft3d.tasks._shared import mean, ratio

_KINDS = ("tp", "fp", "fn")


def pool_boxes(both: Comparison, classes: Sequence[str]) -> dict[str, float]:
    """Sums that one answer adds: of every label together, of each of ``classes``, of labels outside them."""
    hits = [iou for _, _, iou in both.match.pairs]
    pooled = {
        "n_pred": float(len(both.predicted)),
        "n_true": float(len(both.truth)),
        "n_hits": float(len(hits)),
        "hit_iou_sum": float(sum(hits)),
        "matched_iou_sum": float(sum(value for value, _ in both.assigned)),
    }
    pooled.update(samples=1.0, tp=0.0, fp=0.0, fn=0.0, outside_pred=0.0, outside_true=0.0)
    for label, triple in both.match.counts.items():
        for kind, count in zip(_KINDS, triple, strict=True):
            pooled[kind] += count
            if label in classes:
                pooled[f"{kind}:{label}"] = float(count)
        if label not in classes:
            pooled["outside_pred"] += triple[0] + triple[1]
            pooled["outside_true"] += triple[0] + triple[2]
    return pooled


def _prf(tp: float, fp: float, fn: float) -> dict[str, float]:
    return {
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def class_rates(totals: Mapping[str, float], label: str) -> dict[str, float]:
    """``precision``, ``recall``, ``f1`` of one class from sums of :func:`pool_boxes`; 0 when undefined."""
    return _prf(*(totals.get(f"{kind}:{label}", 0.0) for kind in _KINDS))


def metric_from(totals: Mapping[str, float], classes: Sequence[str]) -> dict[str, float | None]:
    """The numbers that :meth:`rft3d.tasks.detection.Detection.metric` lists, of sums of :func:`pool_boxes`."""
    rates = {label: class_rates(totals, label) for label in classes}
    micro = _prf(*(totals.get(kind, 0.0) for kind in _KINDS))
    present = [
        label for label in classes if totals.get(f"tp:{label}", 0.0) + totals.get(f"fn:{label}", 0.0) > 0
    ]
    result: dict[str, float | None] = {}
    for name in ("f1", "precision", "recall") if totals.get("samples") else ():
        result[f"{name}@0.25"] = mean(rates[label][name] for label in classes)
        result[f"{name}@0.25/present"] = mean(rates[label][name] for label in present)
        result[f"{name}@0.25/micro"] = micro[name]
    for name in ("f1", "precision", "recall"):  # the same keys with and without samples
        for suffix in ("", "/present", "/micro"):
            result.setdefault(f"{name}@0.25{suffix}", None)
    if totals.get("samples"):
        for label in present:
            result.update({f"{name}@0.25/class:{label}": rates[label][name] for name in rates[label]})
        result["count/classes"] = float(len(classes))
        result["count/classes_present"] = float(len(present))
    truths, hits = totals.get("n_true", 0.0), totals.get("n_hits", 0.0)
    return {
        **result,
        "mean_iou": totals["matched_iou_sum"] / truths if truths else None,
        "mean_iou/hits": totals["hit_iou_sum"] / hits if hits else None,
        "count/samples": totals.get("samples", 0.0),
        "count/predictions": totals.get("n_pred", 0.0),
        "count/truths": truths,
        "count/outside_predictions": totals.get("outside_pred", 0.0),
        "count/outside_truths": totals.get("outside_true", 0.0),
    }
