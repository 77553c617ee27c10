"""A policy of a few thousand parameters with awkward sizes: GQA, ragged prompts, big random weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rft3d.models import Policy, TinyConfig, build_tiny
from rft3d.models.tokens import train_tokenizer

TEXTS = [
    'Detect the boxes. ```json\n[\n\t{"label": "chair", "bbox_3d": [1.2, 3.4, -5.1]}\n]```',
    'Detect the boxes. ```json\n[\n\t{"label": "table", "bbox_3d": [0.2, 1.4, -2.0]}\n]```',
]


def make_policy(seed: int = 0, spread: float = 0.2, **sizes: object) -> Policy:
    """``spread``: standard deviation of the language model's weights, large enough for answers to differ."""
    tokenizer = train_tokenizer(TEXTS * 20, ["chair", "table"])
    small = {
        "hidden": 64,
        "layers": 2,
        "heads": 4,
        "intermediate": 96,
        "vision_hidden": 32,
        "vision_layers": 1,
        "geometry_dim": 32,
        "geometry_heads": 2,
        "geometry_rounds": 2,
        "merger_hidden": 48,
        "frame_size": (84, 56),
    }
    policy = build_tiny(TinyConfig(**{**small, **sizes}), tokenizer, seed)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in policy.model.named_parameters():
            if p.ndim == 2 and "language" in name and "embed" not in name:
                p.copy_(torch.randn(p.shape, generator=generator) * spread)
    return policy


@pytest.fixture
def policy() -> Policy:
    return make_policy()


@pytest.fixture(scope="session")
def clips() -> list[list[np.ndarray]]:
    """Two clips of different length."""
    rng = np.random.default_rng(0)
    return [[rng.integers(0, 255, (56, 84, 3), dtype=np.uint8) for _ in range(n)] for n in (4, 3)]
