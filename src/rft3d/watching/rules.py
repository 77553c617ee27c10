"""The rules behind the alarms: each one a pure function of a :class:`Trend`, with what people do about it.

A rule compares the first measurements of a stage with its latest ones, so that a policy is judged by how it
changed; a few states are wrong wherever they come from (one answer to everything) and need no change.
``docs/watching.md`` tells where each one comes from.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

WINDOW = 3
"""Measurements that are averaged at the start and now."""


@dataclass
class Trend:
    """One task's measurements so far: ``series[name]`` in the order they were made."""

    series: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        series = self.series.setdefault(name, [])
        series.append(value)
        if len(series) >= WINDOW:
            self.peaks[name] = max(self.peaks.get(name, 0.0), self.now(name))

    def known(self, *names: str) -> bool:
        """Whether each of ``names`` has a start and, apart from it, a present."""
        return all(len(self.series.get(name, ())) >= 2 * WINDOW for name in names)

    def start(self, name: str) -> float:
        return fmean(self.series[name][:WINDOW])

    def now(self, name: str) -> float:
        return fmean(self.series[name][-WINDOW:])

    def peak(self, name: str) -> float:
        """The highest that :meth:`now` has been; measurements here are never negative."""
        return self.peaks.get(name, 0.0)

    def gain(self, name: str) -> float:
        """Relative change since the start; 0 when it started from nothing."""
        start = self.start(name)
        return (self.now(name) - start) / start if start > 1e-9 else 0.0


@dataclass(frozen=True)
class Rule:
    """One alarm. ``judge`` returns what it saw, or None; what people do about it stands in its docstring. ``keys``:
    the metrics that show it."""

    title: str
    judge: Callable[[Trend], str | None]
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.judge.__name__.removeprefix("_")

    @property
    def advice(self) -> str:
        return " ".join((self.judge.__doc__ or "").split())


def _many_boxes(t: Trend) -> str | None:
    """The reward pays for guesses. Match one to one and divide by the larger count (the detection task's
    reward='matched'), or cap the number of boxes."""
    name = "boxes_per_truth"
    if not t.known(name) or not (t.now(name) > 1.5 and t.now(name) > min(1.3 * t.start(name), 2.5)):
        return None
    return f"{t.now(name):.2f} boxes for every true one, {t.start(name):.2f} at the start"


def _few_boxes(t: Trend) -> str | None:
    """A mean over predictions, and any F1, pays for leaving hard objects out. Use reward='matched', which
    counts what is missing, and look at recall by class."""
    name = "boxes_per_truth"
    if not t.known(name) or not (t.now(name) < 0.75 and t.now(name) < max(0.75 * t.start(name), 0.3)):
        return None
    return f"only {t.now(name):.2f} boxes for every true one, {t.start(name):.2f} at the start"


def _duplicates(t: Trend) -> str | None:
    """Duplicates are paid when several predictions may meet one truth. Match one to one; treat a repeated box
    as a format fault; a KL term (beta > 0) slows the collapse."""
    name = "duplicates"
    if not t.known(name) or not (t.now(name) > 0.2 and t.now(name) > min(t.start(name) + 0.1, 0.5)):
        return None
    now, start = t.now(name), t.start(name)
    return f"{now:.0%} of the boxes repeat another box of the same answer, {start:.0%} at the start"


def _volume(t: Trend) -> str | None:
    """Loose thresholds forgive inflated boxes: IoU 0.25 allows sides 1.59 times too long. Pay the IoU itself
    beside the threshold, or raise the threshold, and look at the drawn boxes."""
    name = "volume_per_truth"
    if not t.known(name):
        return None
    now, change = t.now(name), t.now(name) / max(t.start(name), 1e-9)
    if not ((now > 1.6 and change > 1.5) or (now < 1 / 1.6 and change < 1 / 1.5)):
        return None
    return f"boxes have {now:.2f} times the volume of true ones, {t.start(name):.2f} times at the start"


def _constant_answer(t: Trend) -> str | None:
    """The policy answers without looking. Shuffle options and frames in the training data, balance the answers,
    and check that the log-probabilities change when the pictures do."""
    if not t.known("same_answer", "same_truth"):
        return None
    now, truth = t.now("same_answer"), t.now("same_truth")
    if not (now > 0.9 and now > truth + 0.25):
        return None
    return f"{now:.0%} of the answers are the same one, which is right for {truth:.0%} of the prompts"


def _precision_recall(t: Trend) -> str | None:
    """The policy trades one for the other instead of seeing better. Judge by both and by the IoU matched one to
    one; stop early, or lower the learning rate."""
    if not t.known("precision", "recall"):
        return None
    for up, down in (("precision", "recall"), ("recall", "precision")):
        lost = t.start(down) - t.now(down)
        if lost > max(0.03, 0.25 * t.start(down)) and t.now(up) >= 0.95 * t.start(up):
            return (
                f"{down} fell from {t.start(down):.3f} to {t.now(down):.3f} while {up} went from "
                f"{t.start(up):.3f} to {t.now(up):.3f}"
            )
    return None


def _format_only(t: Trend) -> str | None:
    """The format mark is a local optimum: right layout, empty or arbitrary content. Lower the weight of the
    format part, give more SFT first, or a denser reward (matched IoU instead of a threshold)."""
    if not t.known("format", "content") or t.now("format") < 0.9:
        return None
    now, best = t.now("content"), t.peak("content")
    if now < 0.01 or now < 0.5 * best:
        return (
            f"format {t.now('format'):.2f} but all other parts together {now:.3f} "
            f"(best so far {best:.3f}, {t.start('content'):.3f} at the start)"
        )
    return None


def _length(t: Trend) -> str | None:
    """Look at the longest samples. A loss averaged per answer favours long wrong ones: use loss='token' or
    'dr_grpo'; check max_new_tokens and the end token."""
    if t.known("tokens", "content") and t.gain("tokens") > 0.5 and t.gain("content") < 0.1:
        return (
            f"answers grew from {t.start('tokens'):.0f} to {t.now('tokens'):.0f} tokens; "
            f"the reward without format went from {t.start('content'):.3f} to {t.now('content'):.3f}"
        )
    if t.known("truncated") and t.now("truncated") > max(0.2, t.start("truncated") + 0.1):
        return f"{t.now('truncated'):.0%} of the answers are cut off, {t.start('truncated'):.0%} at the start"
    return None


def _held_out_gap(t: Trend) -> str | None:
    """The reward is no longer a proxy of what you want, or the training data are learned by heart. Stop at the
    best held-out step, add data, raise beta, and compare reward and metric sample by sample."""
    if not t.known("held_out") or not t.known("reward"):
        return None
    rose = t.now("reward") - t.start("reward")
    fell = t.start("held_out") - t.now("held_out")
    if rose > max(0.02, 0.05 * t.start("reward")) and fell > max(0.01, 0.1 * t.start("held_out")):
        return (
            f"the training reward rose from {t.start('reward'):.3f} to {t.now('reward'):.3f} while the "
            f"official metric on held-out data fell from {t.start('held_out'):.3f} to {t.now('held_out'):.3f}"
        )
    return None


RULES: tuple[Rule, ...] = (
    Rule("More boxes than there are things", _many_boxes, ("watch/boxes_per_truth/{task}",)),
    Rule("Only the sure boxes are named", _few_boxes, ("watch/boxes_per_truth/{task}",)),
    Rule("The same box again and again", _duplicates, ("watch/duplicates/{task}",)),
    Rule("Box sizes run away", _volume, ("watch/volume_per_truth/{task}",)),
    Rule(
        "One answer to every question",
        _constant_answer,
        ("watch/same_answer/{task}", "watch/same_truth/{task}"),
    ),
    Rule(
        "Precision and recall drift apart",
        _precision_recall,
        ("watch/precision/{task}", "watch/recall/{task}"),
    ),
    Rule("The format is kept, the content lost", _format_only, ("reward/{task}/*",)),
    Rule("Answers grow without getting better", _length, ("completion_length/{task}", "truncated/{task}")),
    Rule("Reward up, held-out metric down", _held_out_gap, ("reward/{task}", "held_out/{task}/*")),
)
