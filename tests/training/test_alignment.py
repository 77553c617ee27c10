"""Fresh encoders and a fresh language model: scales and names are brought together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from rft3d.models import Policy
from rft3d.pretraining.encoders import label_of, match_scales, name_classes

LABELS = ("chair", "table")


def test_visual_tokens_become_as_large_as_asked(
    new_policy: Callable[[], Policy], clips: Sequence[Sequence[Any]]
) -> None:
    policy = new_policy()
    match_scales(policy, policy.encode(clips[:3]))
    after = new_policy()  # encode() keeps a cache by content, so the changed weights go into a new policy
    after.model.load_state_dict(policy.model.state_dict())
    features = after.encode(clips[:3])
    text = after.model.get_input_embeddings().weight.norm(dim=-1).mean()
    vision = torch.cat([f.vision.float() for f in features]).norm(dim=-1).mean()
    cells = torch.cat([f.geometry.float() for f in features if f.geometry is not None])
    geometry = after.model.geometry_merger(cells).norm(dim=-1).mean()
    assert float((vision / text).detach()) == pytest.approx(1.0, rel=0.02)
    assert float((geometry / text).detach()) == pytest.approx(2.0, rel=0.02)


def test_labels_start_where_their_class_is(new_policy: Callable[[], Policy]) -> None:
    policy = new_policy()
    weight = policy.model.get_input_embeddings().weight
    directions = torch.randn(3, weight.shape[1], generator=torch.Generator().manual_seed(1))
    before = weight.detach().clone()
    name_classes(policy, directions, LABELS)
    changed = (weight != before).any(-1).nonzero()[:, 0].tolist()
    words = {i: str(policy.tokenizer.decode([i])) for i in changed}
    assert words and all("chair" in w or "table" in w for w in words.values())
    assert {"chair", " chair", " chairs", "table"} <= set(words.values())
    wanted = directions - directions.mean(0)
    for i, word in words.items():
        own, other = (1, 0) if "table" in word else (0, 1)
        cosines = torch.cosine_similarity(weight[i].detach()[None], wanted[:2])
        assert cosines[own] > 0.7 > cosines[other]


@pytest.mark.parametrize(
    ("token", "label"),
    [
        ('chair", "bbox_3d": [', "chair"),
        (" tables", "table"),
        ("armchair", None),
        (" and the", None),
        ("", None),
    ],
)
def test_which_token_says_a_label(token: str, label: str | None) -> None:
    assert label_of(token, LABELS) == label
