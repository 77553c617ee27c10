"""Rewards for lists of labelled boxes against the true list.

The first two are the paper's (3D-RFT, "Rewards"; the same definitions as the official metric):

    R_IoU = 1/N sum_i max_j IoU(prediction i, truth j)        N = number of predictions
    R_F1  = 2 TP / (2 TP + FP + FN)                           hit: IoU > 0.25 with an unused truth

Both can be hacked: R_IoU is a mean over *predictions*, so it pays for naming only what is sure, and an
F1 pays for dropping hard objects. Beside them stands the one that ranks an honest answer first among
spam, duplicates and silence:

    R_matched = (sum of IoUs over the best one-to-one assignment) / max(N, M)      M = number of truths

and a shaped form of it, which also says *where to* when two boxes do not overlap (a policy that hits
one box in ten learns little from IoUs that are nearly all zero):

    R_DIoU    = (sum of (1 + DIoU) / 2 over the best one-to-one assignment) / max(N, M)
    DIoU      = IoU - d^2 / c^2        d = distance of the centres

after Zheng et al., "Distance-IoU Loss" (arXiv 1911.08287). There c is the diagonal of the axis-aligned box
around both; here it is the largest distance between two of their 16 corners, which does not depend on how
the camera is turned. It is never smaller than d, so a shaped value lies in [0, 1]. But c grows with the box, so
that a larger one loses less by being off: paid box by box, that made boxes grow (``docs/log.md``).

What the paper leaves open and how it is decided here: only boxes of the same label can meet
(as in the official evaluation; labels are compared exactly); "no boxes" answers a
truth of "no boxes" perfectly (1), and earns 0 otherwise; predictions where there is nothing earn 0.

A reward is a function ``Comparison -> Part`` and a line in :data:`SET_REWARDS`; the task's options, TRL callables,
verl's export and the contract tests read that table.
"""

from collections.abc import Callable

from rft3d.rewards.comparison import Assignment, Comparison
from rft3d.rewards.score import Part, Score

FALSE_ALARM = 0.3
"""What a wrong box costs in ``hungarian`` where a missed object costs 1."""
GRADES = (0.25, 0.5, 0.75)


def mean_iou(both: Comparison) -> Part:
    """The paper's R_IoU: for each prediction its best IoU with any truth, averaged over predictions.

    A truth may be used twice, so a repeated box earns again.
    """
    if (empty := _empty_part("mean_iou", both)) is not None:
        return empty
    value = float(both.iou.max(axis=1).mean())
    return Part("mean_iou", value, f"mean best IoU {value:.3f} over {len(both.predicted)} predictions")


def f1(both: Comparison, threshold: float = 0.25) -> Part:
    """The paper's R_F1 over all labels together, from :meth:`Comparison.hits`."""
    name = f"f1@{threshold:g}"
    if (empty := _empty_part(name, both)) is not None:
        return empty
    n, m = len(both.predicted), len(both.truth)
    tp = len((both.match if threshold == 0.25 else both.hits(threshold)).pairs)
    # 2 TP + FP + FN = N + M
    return Part(name, 2 * tp / (n + m), f"{tp} of {m} found, {n - tp} of {n} wrong")


def graded_f1(both: Comparison) -> Part:
    """The mean of F1 at IoU 0.25, 0.5 and 0.75: a hit earns more the closer it is."""
    parts = [f1(both, threshold) for threshold in GRADES]
    found = ", ".join(f"{part.value:.2f} at {t:g}" for t, part in zip(GRADES, parts, strict=True))
    return Part("f1@0.25:0.75", sum(part.value for part in parts) / len(parts), f"F1 {found}")


def matched_iou(both: Comparison) -> Part:
    """Hard to hack: IoUs of the best one-to-one assignment of equal labels, summed, over max(N, M)."""
    return _empty_part("matched_iou", both) or _matched("matched_iou", "matched IoU", both.assigned, both)


def matched_diou(both: Comparison) -> Part:
    """R_DIoU: the matched reward with (1 + DIoU) / 2 in the place of IoU, for equal labels.

    A box of the right label that is off earns something for being near; naming it twice, or naming labels
    that are not there, still costs through max(N, M).
    """
    name = "matched_diou"
    return _empty_part(name, both) or _matched(name, "matched (1 + DIoU) / 2 sums to", both.shaped, both)


def hungarian(both: Comparison) -> Part:
    """``1 - (FN + 0.3 FP) / M`` over the best one-to-one assignment, not below -1.

    The reward -(FN + 0.3 FP) of Falcon Perception (2026, appendix E), divided by M and added to 1. A miss
    costs more than a false alarm, so leaving out hard objects does not pay, as it can with an F1. Negative
    where false alarms cost more than the hits earn.
    """
    n, m = len(both.predicted), len(both.truth)
    hits = sum(value > 0.25 for value, _ in both.assigned)
    missed, wrong = m - hits, n - hits
    value = max(-1.0, 1.0 - (missed + FALSE_ALARM * wrong) / max(1, m))
    return Part("hungarian", value, f"{missed} of {m} missed, {wrong} of {n} wrong at {FALSE_ALARM:g} each")


SET_REWARDS: dict[str, Callable[[Comparison], Part]] = {
    "mean_iou": mean_iou,
    "f1@0.25": f1,
    "f1@0.25:0.75": graded_f1,
    "matched_iou": matched_iou,
    "matched_diou": matched_diou,
    "hungarian": hungarian,
}
"""Rewards of a list of boxes, by the name of their part."""


def marginal_credit(score: Score) -> tuple[float, ...]:
    """What each predicted box adds to the answer's total: R(all) - R(all without it), in output order.

    The difference reward of Wolpert & Tumer (2002), the counterfactual baseline of COMA (arXiv 1705.08926).
    Exact for any reward in :data:`SET_REWARDS`: positive for a hit, negative for a false alarm or a
    duplicate, 0 for what changes nothing. Empty where the answer could not be read or is not a list of boxes.
    """
    both = score.evidence
    if not isinstance(both, Comparison) or score.failure is not None or score.truncated:
        return ()
    parts = [part for part in score.parts if part.name in SET_REWARDS]
    whole = sum(part.weight * part.value for part in parts)
    return tuple(
        whole - sum(part.weight * SET_REWARDS[part.name](less).value for part in parts)
        for less in map(both.without, range(len(both.predicted)))
    )


def _empty_part(name: str, both: Comparison) -> Part | None:
    """The part where one of the lists is empty; None where neither is."""
    if both.predicted and both.truth:
        return None
    if not both.predicted and not both.truth:
        return Part(name, 1.0, "nothing to find, nothing named")
    if not both.predicted:
        return Part(name, 0.0, f"no boxes for {len(both.truth)} objects")
    return Part(name, 0.0, f"{len(both.predicted)} boxes where there is nothing to find")


def _matched(name: str, what: str, assigned: Assignment, both: Comparison) -> Part:
    """The assigned values over max(N, M)."""
    n, m, total = len(both.predicted), len(both.truth), sum(value for value, _ in assigned)
    reason = f"{what} {total:.3f} over the larger of {n} predictions and {m} objects"
    return Part(name, min(total / max(n, m), 1.0), reason)
