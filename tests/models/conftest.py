"""A policy of a few thousand parameters with awkward sizes, and two clips of different length."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tiny import make_policy

from rft3d.models import Policy


@pytest.fixture
def policy() -> Policy:
    return make_policy()


@pytest.fixture(scope="session")
def clips() -> list[list[np.ndarray]]:
    """Two clips of different length."""
    rng = np.random.default_rng(0)
    return [[rng.integers(0, 255, (56, 84, 3), dtype=np.uint8) for _ in range(n)] for n in (4, 3)]
