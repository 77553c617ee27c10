# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false
# (scipy has no types)
"""One-to-one matching of predictions (rows) to truths (columns) on an IoU matrix."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _scores(iou: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(iou, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"iou must have shape (N, M), got {scores.shape}")
    if np.isnan(scores).any():
        row, column = np.argwhere(np.isnan(scores))[0].tolist()
        raise ValueError(f"iou[{row}, {column}] is NaN; give pairs that can't match 0")
    return scores


def greedy_match(iou: ArrayLike, threshold: float) -> list[tuple[int, int]]:
    """Match rows in their output order; each takes the unused column of its highest IoU.

    Args:
        iou: ``(N, M)``, rows in the order the model wrote them (the order of VG-LLM's evaluation).
        threshold: a row is a hit when its best IoU is above it; otherwise its column stays free.

    Returns:
        (row, column) of every hit, in row order. Equal IoUs go to the lowest column.
    """
    scores = _scores(iou).copy()
    matches: list[tuple[int, int]] = []
    if scores.shape[1] == 0:
        return matches
    for row, row_scores in enumerate(scores):
        column = int(np.argmax(row_scores))
        best = row_scores[column]
        if np.isneginf(best):  # every column is taken
            break
        if best > threshold:
            matches.append((row, column))
            scores[:, column] = -np.inf
    return matches


def optimal_match(iou: ArrayLike) -> list[tuple[int, int]]:
    """The one-to-one (row, column) pairs of largest total IoU, in row order; only pairs with IoU > 0."""
    scores = _scores(iou)
    if scores.size == 0:
        return []
    from scipy.optimize import linear_sum_assignment  # lazy: scipy costs more to import than to use here

    rows, columns = linear_sum_assignment(np.maximum(scores, 0.0), maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if scores[row, column] > 0]
