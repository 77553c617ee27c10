"""A step whose loss or gradient is no finite number is not taken; one that makes weights so is not saved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


class NonFiniteError(FloatingPointError):
    """Loss, gradient or weights became NaN or infinite; of the weights only a checkpoint is good then.

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
        state = f"the state after {saved} steps is saved" if saved else "nothing was saved before it"
        super().__init__(
            f"{title}: step {step} (from 0) was not taken because {bad}; {state}. "
            f"Samples of the step: {shown or 'unknown'}"
        )
        self.step, self.values, self.samples, self.saved = step, dict(values), tuple(samples), saved


def require_finite(step: int, values: Mapping[str, float]) -> None:
    """Raise :class:`NonFiniteError` when one of ``values`` is NaN or infinite."""
    if not all(math.isfinite(value) for value in values.values()):
        raise NonFiniteError("training", step, values)
