"""What all tests share: one thread a process, bounded random tests, optional run-time type checks.

``HYPOTHESIS_PROFILE=nightly`` tries more random cases. ``RFT3D_TYPECHECK=1`` checks every annotation of
floors 0-2 while the tests run (beartype); both are on in ``make nightly``.
"""

from __future__ import annotations

import os

# Before numpy or torch is imported anywhere: their thread pools are sized at import.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Nothing in the suite may reach for a model hub; without this a typo in a name would wait for a time-out.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# A test cannot cut the power; those that ask what would be on the disk count the calls. (5 ms each here.)
os.fsync = lambda _: None

import pytest
from hypothesis import HealthCheck, settings

# Timings belong to benchmarks: no deadline. The same cases on every run, so that a red build repeats.
settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "nightly", parent=settings.get_profile("default"), derandomize=False, max_examples=500
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

if os.environ.get("RFT3D_TYPECHECK") == "1":
    from beartype import BeartypeConf, FrozenDict
    from beartype.claw import beartype_packages
    from numpy.typing import ArrayLike

    beartype_packages(
        tuple(f"rft3d.{floor}" for floor in ("geometry", "answers", "scenes", "rewards")),
        conf=BeartypeConf(
            is_pep484_tower=True,  # an int is welcome where a float is asked for
            # numpy's protocol for nested sequences cannot be checked at run time
            hint_overrides=FrozenDict({ArrayLike: object}),
        ),
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where there is no accelerator, with the reason in the summary."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        reason = "needs an accelerator: torch.cuda.is_available() is False"
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))
