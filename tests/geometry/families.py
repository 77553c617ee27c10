"""Pairs of boxes, family by family, that IoU code is known to get wrong; all from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]
Pairs = tuple[Boxes, Boxes]


def general(rng: np.random.Generator, n: int) -> Boxes:
    """Boxes of about a metre, any rotation, all near the origin."""
    columns = rng.uniform(-0.35, 0.35, (n, 3)), rng.uniform(0.5, 1.5, (n, 3)), rng.uniform(-7, 7, (n, 3))
    return np.concatenate(columns, axis=1)


def perturbed(rng: np.random.Generator, boxes: Boxes, scale: float) -> Boxes:
    """Near-duplicates: centre, relative size and angles moved by about ``scale``."""
    noise = scale * rng.normal(size=boxes.shape)
    noise[:, 3:6] *= boxes[:, 3:6]
    return boxes + noise


def near_duplicates(scale: float) -> Callable[[np.random.Generator, int], Pairs]:
    def make(rng: np.random.Generator, n: int) -> Pairs:
        boxes = general(rng, n)
        return boxes, perturbed(rng, boxes, scale)

    return make


def upright(rng: np.random.Generator, n: int) -> Pairs:
    a, b = general(rng, n), general(rng, n)
    a[:, 7:] = b[:, 7:] = 0
    return a, b


def parallel_plates(ratio: float) -> Callable[[np.random.Generator, int], Pairs]:
    """Thin tilted plates that overlap in most of their thickness."""

    def make(rng: np.random.Generator, n: int) -> Pairs:
        a = general(rng, n)
        a[:, 5] = a[:, 4] / ratio
        b = a.copy()
        b[:, 3:6] *= (1.1, 0.9, 1.3)
        b[:, 6:] += 0.3 / ratio * rng.normal(size=(n, 3))
        return a, b

    return make


def crossing_plates(rng: np.random.Generator, n: int) -> Pairs:
    a, b = general(rng, n), general(rng, n)
    a[:, 5] *= 1e-3
    b[:, 3] *= 1e-5
    return a, b


def coplanar_tops(rng: np.random.Generator, n: int) -> Pairs:
    """Same floor and same height: two shared planes, yaw differs a little or by 45 degrees."""
    a, b = upright(rng, n)
    b[:, [2, 5]] = a[:, [2, 5]]
    b[:, 6] = a[:, 6] + rng.choice([1e-9, 0.02, np.pi / 4], n)
    return a, b


def far_away(offset: float) -> Callable[[np.random.Generator, int], Pairs]:
    def make(rng: np.random.Generator, n: int) -> Pairs:
        a = general(rng, n)
        b = perturbed(rng, a, 0.1)
        shift = offset * rng.normal(size=(n, 3))
        a[:, :3] += shift
        b[:, :3] += shift
        return a, b

    return make


def scaled(scale: float) -> Callable[[np.random.Generator, int], Pairs]:
    def make(rng: np.random.Generator, n: int) -> Pairs:
        a = general(rng, n)
        b = perturbed(rng, a, 0.2)
        a[:, :6] *= scale
        b[:, :6] *= scale
        return a, b

    return make


def tiny_in_large(rng: np.random.Generator, n: int) -> Pairs:
    a, b = general(rng, n), general(rng, n)
    b[:, 3:6] *= 1e-3
    b[:, :3] = a[:, :3] + 0.5 * a[:, 3:4] * rng.normal(size=(n, 3))
    return a, b


def lattice(rng: np.random.Generator, n: int) -> Pairs:
    """Integer coordinates and quarter turns: shared planes, edges and corners everywhere."""
    a, b = (
        np.concatenate(
            [
                rng.integers(-1, 2, (n, 3)).astype(float),
                rng.integers(1, 4, (n, 3)).astype(float),
                rng.integers(0, 4, (n, 3)) * (np.pi / 2),
            ],
            axis=1,
        )
        for _ in range(2)
    )
    return a, b


FAMILIES: dict[str, Callable[[np.random.Generator, int], Pairs]] = {
    "general": lambda rng, n: (general(rng, n), general(rng, n)),
    "upright": upright,
    "near 1e-1": near_duplicates(1e-1),
    "near 1e-3": near_duplicates(1e-3),
    "near 1e-9": near_duplicates(1e-9),
    "near 1e-16": near_duplicates(1e-16),
    "plates 1e3": parallel_plates(1e3),
    "plates 1e5": parallel_plates(1e5),
    "crossing plates": crossing_plates,
    "coplanar tops": coplanar_tops,
    "far 1e3 m": far_away(1e3),
    "far 1e8 m": far_away(1e8),
    "scale 1e-9": scaled(1e-9),
    "scale 1e6": scaled(1e6),
    "tiny in large": tiny_in_large,
    "lattice": lattice,
}


def pairs(family: str, n: int) -> Pairs:
    """``n`` pairs of a family, the same on every run."""
    return FAMILIES[family](np.random.default_rng(sorted(FAMILIES).index(family)), n)
