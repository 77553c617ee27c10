"""A corpus that encodes and tokenizes when a step asks trains as one that did it first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.tiny import weights_of

from rft3d.experiments.rooms import TrainingRoom
from rft3d.models import Policy
from rft3d.models.features import FeatureCache
from rft3d.tasks.types import Task
from rft3d.training.clips import Clips, corpus_as_needed
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus, Flat
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.sft import train_sft


class Counting(Clips):
    """Clips from memory that note which of them were looked at."""

    def __init__(self, rooms: Sequence[TrainingRoom], clips: Sequence[Any]) -> None:
        samples = {name: [list(room.samples[name]) for room in rooms] for name in rooms[0].samples}
        super().__init__([(Path(), ("a", "b"))] * len(rooms), samples)
        self.__dict__.update(pictures=clips, loaded=[], sized=[])

    def load(self, clip: int) -> Any:
        self.__dict__["loaded"].append(clip)
        return self.__dict__["pictures"][clip]

    def size(self, clip: int) -> tuple[int, int, int]:
        self.__dict__["sized"].append(clip)
        return len(self.__dict__["pictures"][clip]), *self.__dict__["pictures"][clip][0].shape[:2]


@pytest.fixture
def counting(rooms: Sequence[TrainingRoom], clips: Sequence[Any]) -> Counting:
    return Counting(rooms, clips)


def test_the_items_are_the_same_and_made_late(
    counting: Counting, corpus: Corpus, tasks: Mapping[str, Task], new_policy: Callable[[], Policy]
) -> None:
    late = corpus_as_needed(new_policy(), tasks, counting)
    ids = [sample.id for sample in late.samples("spatial")]
    assert ids == [sample.id for sample in corpus.samples("spatial")] and len(ids) == len(
        late.items("spatial")
    )
    assert not counting.__dict__["loaded"] and not counting.__dict__["sized"]
    last = late.items("spatial")[-1]
    assert counting.__dict__["sized"] == [last.scene] and not counting.__dict__["loaded"]
    for name in tasks:
        for ours, theirs in zip(late.items(name), corpus.items(name), strict=True):
            assert (ours.scene, ours.sample, ours.answer, ours.split) == (
                theirs.scene, theirs.sample, theirs.answer, theirs.split,
            )  # fmt: skip
            assert list(ours.prompt.prefix) == list(theirs.prompt.prefix)
            assert torch.equal(ours.prompt.positions, theirs.prompt.positions)
    assert not counting.__dict__["loaded"], "tokenizing needs no pictures"


def test_training_is_the_same(
    tmp_path: Path, counting: Counting, corpus: Corpus, tasks: Mapping[str, Task],
    new_policy: Callable[[], Policy], console: Console,
) -> None:  # fmt: skip
    optim = OptimConfig(lr=1e-3)
    sft = SFTConfig(2, 2, {"detection": 1, "spatial": 2}, {}, optim)
    rft = RFTConfig(1, {"detection": 1, "spatial": 1}, 2, {"detection": 8, "spatial": 4}, optim=optim)
    ended = []
    for kind in ("first", "late"):
        policy = replace(new_policy(), features=FeatureCache(keep=1))
        data = corpus if kind == "first" else corpus_as_needed(policy, tasks, counting)
        train_sft(policy, data, sft, tmp_path / kind / "sft", Watch(console))
        train_rft(policy, tasks, data, rft, tmp_path / kind / "rft", Watch(console))
        ended.append(weights_of(policy))
    assert 0 < len(set(counting.__dict__["loaded"])) < len(corpus.features), "only the drawn scenes"
    for name, weight in ended[0].items():
        torch.testing.assert_close(weight, ended[1][name], atol=2e-4, rtol=0, msg=name)


@pytest.mark.parametrize("size", [(168, 112), 84, 126])
@pytest.mark.parametrize("picture", [(112, 168), (120, 160), (240, 135)])
def test_the_grid_is_known_without_encoding(
    size: Any, picture: tuple[int, int], new_policy: Callable[[], Policy]
) -> None:
    policy = new_policy()
    policy.frame_size = size
    frames = [np.zeros((*picture, 3), dtype=np.uint8)] * 2
    assert torch.equal(policy.grid(2, *picture), policy.encode([frames])[0].grid)


def test_flat_counts_through_empty_scenes() -> None:
    flat = Flat([[], ["a", "b"], [], ["c"]])  # type: ignore[list-item]
    assert [flat[i] for i in range(3)] == ["a", "b", "c"] and flat[-1] == "c" and flat[1:] == ["b", "c"]
    assert list(flat) == ["a", "b", "c"] and len(Flat([])) == 0
    with pytest.raises(IndexError):
        flat[3]
