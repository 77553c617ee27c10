"""What ``--compat vg-llm`` does to boxes: the quirks of upstream's IoU, on top of the exact one.

Upstream computes IoU with pytorch3d pair by pair and takes an exception for IoU 0. The check behind almost
all of these exceptions: a box with a face of under 2e-4 square metres (each of its two triangles under 1e-4).
A negative size passes and acts as its absolute value.

pytorch3d's errors are *not* imitated. Its IoU is wrong for well-aligned boxes: on answers that are off by rounding
only, 69 % of pairs differ from the exact IoU by more than 0.05, always downwards. At the threshold of 0.25 up to
0.1 % of pairs change sides, at **0.5 between 0.3 and 1.9 %**: a published Acc@0.5 is lower than the boxes are by
about as much.
"""

from __future__ import annotations

from collections.abc import Sequence

from rft3d.answers import LabelledBox
from rft3d.answers.vgllm import NOWHERE

PYTORCH3D = (
    "IoU is exact; pytorch3d's is too low for well-aligned boxes: up to 0.1 % of pairs change sides at 0.25, "
    "0.3 to 1.9 % at 0.5"
)
LEAST_FACE_M2 = 2e-4


def upstream_solid(box: Sequence[float]) -> tuple[float, ...]:
    """``box`` as upstream's IoU sees it: sizes made positive, and :data:`NOWHERE` where it would raise."""
    sizes = sorted(abs(size) for size in box[3:6])
    if sizes[0] * sizes[1] < LEAST_FACE_M2:
        return NOWHERE
    return (*box[:3], *(abs(size) for size in box[3:6]), *box[6:])


def upstream_solids(boxes: Sequence[LabelledBox]) -> tuple[LabelledBox, ...]:
    """:func:`upstream_solid` of every labelled box."""
    return tuple(LabelledBox(box.label, upstream_solid(box.box)) for box in boxes)
