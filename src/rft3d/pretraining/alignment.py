"""What joins freshly made encoders to a freshly made language model: common scales, common names.

Public weights arrive aligned (Qwen's vision tower was trained with its language model). For the tiny
model this takes two assignments instead of a billion images; without them SFT spends most of its minutes
on finding out that the token ``chair`` and what a chair looks like have to do with each other
(``docs/log.md`` has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rft3d.models.geometry import FrozenFeatures
from rft3d.models.policy import Policy

OWN_SHARE = 0.3
"""How much of a class token's embedding stays its own, so that ``chair`` and `` chairs`` differ."""


@torch.no_grad()
def match_scales(
    policy: Policy, features: Sequence[FrozenFeatures], vision_norm: float, geometry_norm: float
) -> None:
    """Scale the last layers of both mergers so that visual tokens are about as large as text tokens.

    Left alone, the tower's tokens came out 60 times larger than a text embedding and the projected
    geometry a sixth of them: the language model's layers could add nothing to a visual token that a
    later layer would notice, nor see where things are.

    Args:
        policy: changed in place.
        features: of a few clips, encoded before the change.
        vision_norm, geometry_norm: wanted mean norms of the two summands, in mean text embedding norms.
    """
    model = policy.model
    text = model.lm_head.weight.norm(dim=-1).mean()
    vision = torch.cat([f.vision.float() for f in features]).norm(dim=-1).mean()
    scales = [(model.model.visual.merger, vision_norm * text / vision)]
    cells = [f.geometry.float() for f in features if f.geometry is not None]
    if cells:
        geometry = model.geometry_merger(torch.cat(cells)).norm(dim=-1).mean()
        scales.append((model.geometry_merger, geometry_norm * text / geometry))
    for merger, scale in scales:
        last = merger.mlp[-1]
        last.weight.mul_(scale)
        last.bias.mul_(scale)


@torch.no_grad()
def name_classes(policy: Policy, directions: Tensor, labels: Sequence[str]) -> None:
    """Start a label's text tokens in the direction that its class has among the vision tokens.

    Args:
        policy: changed in place.
        directions: ``(len(labels) + 1, hidden)`` rows of a linear classifier of vision tokens; the last is
            the background.
        labels: class names in the order of the rows.
    """
    weight = policy.model.lm_head.weight
    norm = weight.norm(dim=-1).mean()
    directions = directions - directions.mean(0)
    for index in range(len(policy.tokenizer)):
        label = label_of(str(policy.tokenizer.decode([index])), labels)
        if label is not None:
            row = directions[labels.index(label)]
            weight[index] = row / row.norm() * norm + OWN_SHARE * weight[index]


def label_of(token: str, labels: Sequence[str]) -> str | None:
    """The label that ``token`` says (``chair``, `` chairs``, ``chair", "bbox_3d": [``), if any."""
    text = token.strip()
    word = text.split('"', 1)[0]
    return next((label for label in labels if word in (label, f"{label}s")), None)
