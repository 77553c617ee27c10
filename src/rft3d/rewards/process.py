"""Process rewards: are the places, or the boxes, that a thought names where the objects are?

    R_places = 2 hits / (named + true)        hit: one to one, same label, within NEAR_M
    R_boxes  = the shaped matched reward of a detection (:mod:`rft3d.rewards.detection`)

The answer's own reward cannot tell a lucky letter from a right computation; the places can be checked
against the scene just as boxes are. An F1, so that naming a place often, or every place there is, costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rft3d.answers import LabelledBox
from rft3d.answers.places import Place
from rft3d.geometry import optimal_match
from rft3d.rewards.comparison import Comparison
from rft3d.rewards.detection import matched_diou
from rft3d.rewards.types import Part

NEAR_M = 0.5
"""Farthest that a named place may be from the true one, metres."""


def places_part(named: Sequence[Place], true: Sequence[Place], near_m: float = NEAR_M) -> Part:
    """The part ``places``; 1 when there is nothing to place."""
    if not true:
        return Part("places", 1.0, "nothing to place in this question")
    close = np.zeros((len(named), len(true)))
    for (i, a), (j, b) in ((p, t) for p in enumerate(named) for t in enumerate(true)):
        close[i, j] = float(a.label == b.label and math.hypot(a.x - b.x, a.y - b.y) <= near_m)
    hits = len(optimal_match(close))
    value = 2 * hits / (len(named) + len(true))
    return Part(
        "places", value, f"{hits} of {len(true)} objects placed within {near_m:g} m, {len(named)} named"
    )


def boxes_part(named: Sequence[LabelledBox], true: Sequence[LabelledBox]) -> Part:
    """The part ``boxes``: boxes that a thought starts from, one to one, over the larger count; 1 when the question
    is about no object.

    Shaped by DIoU, because a thought's box that is near is of use to the reasoning behind it.
    """
    if not true:
        return Part("boxes", 1.0, "no object to box in this question")
    return replace(matched_diou(Comparison.of(named, true)), name="boxes")
