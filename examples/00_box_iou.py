"""Boxes with nine numbers, and their exact overlap.

    python examples/00_box_iou.py

A box is [x y z dx dy dz yaw roll pitch]: metres, radians, R = Rz(yaw) Rx(roll) Ry(pitch).
"""

from __future__ import annotations

import numpy as np

from rft3d.geometry import (
    Box9,
    box_distance,
    box_iou,
    box_reparametrisations,
    canonical_boxes,
    greedy_match,
)


def main() -> None:
    truth = np.array(
        [
            [1.0, 2.0, 0.4, 1.6, 0.8, 0.8, 0.3, 0.0, 0.0],  # a table
            [3.0, 0.5, 0.5, 0.5, 0.5, 1.0, 0.0, 0.0, 0.0],  # a chair
        ]
    )
    predicted = np.array(
        [
            [3.05, 0.48, 0.5, 0.5, 0.5, 1.0, 0.1, 0.0, 0.0],  # the chair, nearly
            [1.0, 2.0, 0.4, 1.6, 0.8, 0.8, 0.3, 0.0, 0.0],  # the table, exactly
            [8.0, 8.0, 0.4, 1.0, -1.0, 1.0, 0.0, 0.0, 0.0],  # no box at all: a negative size
        ]
    )
    iou = box_iou(predicted, truth)
    print("IoU, predictions x truths:")
    print(np.array2string(iou, precision=4, suppress_small=True))
    print("matched at 0.25:", greedy_match(iou, threshold=0.25))
    print(f"table to chair: {box_distance(truth[0], truth[1]):.3f} m apart")

    # One solid can be written in 24 ways. IoU doesn't care; raw numbers do, so regress the canonical one.
    table = Box9.from_array(truth[0])
    ways = box_reparametrisations(np.asarray(table))
    print("IoU of the 24 ways with the table:", np.unique(box_iou(ways, [table]).round(12)))
    print("canonical form of all 24:", np.unique(canonical_boxes(ways).round(9), axis=0).tolist())


if __name__ == "__main__":
    main()
