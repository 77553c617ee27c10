"""How a run ends before its last step: by request, or because a number is no number any more.

A scheduler's SIGTERM lets the running step finish and be saved; then the process ends with code 0 and one
line that says how to go on.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType


class Stopped(SystemExit):
    """The run was asked to stop and has saved its state; ends the process with code 0."""

    def __init__(self, message: str) -> None:
        super().__init__(0)
        self.message = message

    def __str__(self) -> str:
        return self.message


class NonFiniteError(FloatingPointError):
    """Loss or gradient became NaN or infinite; raised *before* the update, so the weights are still good.

    Attributes:
        step: the 0-based step that was not taken.
        values: what was computed, by name.
        samples: ids of the samples in the step.
        saved: finished steps of the newest checkpoint; 0 when there is none.
    """

    def __init__(
        self, title: str, step: int, values: Mapping[str, float], samples: Sequence[str] = (), saved: int = 0
    ) -> None:
        bad = ", ".join(f"{name} = {value}" for name, value in values.items() if not math.isfinite(value))
        shown = ", ".join(samples[:4]) + (f" and {len(samples) - 4} more" if len(samples) > 4 else "")
        state = f"the state after {saved} steps is saved" if saved else "no step was finished before it"
        super().__init__(
            f"{title}: step {step} (from 0) was not taken because {bad}; {state}. "
            f"Samples of the step: {shown or 'unknown'}"
        )
        self.step, self.values, self.samples, self.saved = step, dict(values), tuple(samples), saved


def require_finite(step: int, values: Mapping[str, float]) -> None:
    """Raise :class:`NonFiniteError` when one of ``values`` is NaN or infinite."""
    if not all(math.isfinite(value) for value in values.values()):
        raise NonFiniteError("training", step, values)


class StopRequest:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.received: str | None = None

    def __call__(self, number: int, _: FrameType | None = None) -> None:
        self.received = signal.Signals(number).name

    def __bool__(self) -> bool:
        return self.received is not None


@contextmanager
def on_sigterm() -> Iterator[StopRequest]:
    """Collect SIGTERM inside the block instead of dying from it (only in the main thread)."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.signal(signal.SIGTERM, request)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
