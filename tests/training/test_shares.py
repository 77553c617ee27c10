"""What ranks share: prompts by length, only lengths and scores of large steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import Digits

from rft3d import digests
from rft3d.digests import file_digest
from rft3d.models import Policy
from rft3d.tasks import Task
from rft3d.training import checkpoints, rollout
from rft3d.training.advantages import assign_advantages
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.placement import ALONE, Ranks
from rft3d.training.rollout import Group, Rollouts, by_length
from rft3d.training.update import MicroBatch, micro_batches

TASKS: Mapping[str, Task] = {"digits": Digits("3")}
CONFIG = RFTConfig(2, {"digits": 5}, 4, {"digits": 4}, micro_groups=1, skip_zero_advantage=False)
WORLD = 2


@dataclass(frozen=True)
class Threads(Ranks):
    """Ranks that are threads of one process."""

    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(WORLD))
    board: list[Any] = field(default_factory=lambda: [None] * WORLD)

    def gather(self, own: Sequence[Any]) -> list[Any]:
        self.board[self.rank] = list(own)
        self.meeting.wait(60)
        shares = list(self.board)
        self.meeting.wait(60)
        return [shares[i % self.world][i // self.world] for i in range(sum(map(len, shares)))]


def on_all_ranks(work: Callable[[Ranks], Any]) -> list[Any]:
    first = Threads(0, WORLD)
    ranks = [first, replace(first, rank=1)]
    with ThreadPoolExecutor(WORLD) as pool:
        return list(pool.map(work, ranks))


def batches(groups: list[Group], policy: Policy, ranks: Ranks) -> list[MicroBatch]:
    return micro_batches(assign_advantages(groups, CONFIG, policy.tokenizer), CONFIG, ranks)


def told(found: Sequence[MicroBatch]) -> dict[tuple[Any, ...], list[tuple[float, float]]]:
    """Weights and advantages of every sequence, by its prompt and tokens."""
    out: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for batch in found:
        pairs = iter(zip(batch.weights.tolist(), batch.advantages.tolist(), strict=True))
        for group in batch.groups:
            for c in group.completions:
                out[(group.item.key, tuple(c.tokens))] = [next(pairs) for _ in c.tokens]
    return out


@pytest.mark.parametrize("whole", [1000, 0], ids=["whole", "light"])
def test_ranks_train_what_one_process_trains(
    whole: int, new_speaker: Callable[[], Policy], digits: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing but lengths and scores travels: the same weights and advantages for every token."""
    monkeypatch.setattr(rollout, "WHOLE_GROUPS", whole)
    alone = new_speaker()
    one = Rollouts(alone, TASKS, digits, CONFIG).collect(0).drawn
    policies = [new_speaker() for _ in range(WORLD)]
    two = on_all_ranks(
        lambda ranks: Rollouts(policies[ranks.rank], TASKS, digits, CONFIG, ranks).collect(0).drawn
    )
    for rank, groups in enumerate(two):
        assert [g.item.key for g in groups] == [g.item.key for g in one]
        assert [g.totals for g in groups] == [g.totals for g in one]
        assert [[len(c.tokens) for c in g.completions] for g in groups] == [
            [len(c.tokens) for c in g.completions] for g in one
        ]
        assert all(g.light == (not whole and g.owner != rank) for g in groups)
        assert all(g.texts == o.texts for g, o in zip(groups, one, strict=True) if not g.light)
    shares = [batches(groups, alone, Ranks(rank, WORLD)) for rank, groups in enumerate(two)]
    assert len(shares[0]) == len(shares[1]) == 3, "five groups: one rank is filled up with weight 0"
    trained = [batch for share in shares for batch in share if batch.weights.any()]
    assert told(trained) == told(batches(one, alone, ALONE))


def test_long_prompts_are_dealt_out_first(digits: Corpus) -> None:
    (item,) = digits.items("digits")[:1]
    items = [replace(item, prompt=replace(item.prompt, prefix=[0] * n)) for n in (3, 90, 4, 80, 5, 70)]
    order = by_length(items)
    assert [len(items[i].prompt.prefix) for i in order] == [90, 80, 70, 5, 4, 3]
    tokens = [sum(len(items[i].prompt.prefix) for i in Ranks(r, 2).mine(order)) for r in (0, 1)]
    assert tokens == [164, 88], "in turn it would be 12 against 240"


def test_each_rank_reads_its_own_part_of_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = tmp_path / "step-000003.tmp"
    names = ["model/__1_0.distcp", "model/__0_0.distcp", "optimizer/__1_0.distcp", "random_0", "random_1"]
    for name in names:
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        (staging / name).write_text(name)
    parts = [checkpoints.own_part(sorted(names), Ranks(rank, WORLD)) for rank in range(WORLD)]
    assert parts == [["model/__0_0.distcp", "random_1"], [names[0], names[2], "random_0"]]
    read: list[str] = []
    monkeypatch.setattr(digests, "file_digest", lambda path: (read.append(path.name), file_digest(path))[1])
    on_all_ranks(lambda ranks: checkpoints.publish_checkpoint(staging, 3, 9, ranks))
    assert len(read) == len(names), "no file is read twice"
    alone = checkpoints.newest_whole(tmp_path, pytest.fail)
    both = on_all_ranks(lambda ranks: checkpoints.newest_whole(tmp_path, pytest.fail, ranks))
    assert both == [alone, alone] and alone is not None and alone.step == 3
    (alone.path / names[0]).write_text("X" * len(names[0]))  # of the other rank; both are told
    told = on_all_ranks(lambda ranks: _damage(alone.path, ranks))
    assert told[0] == told[1] and f"the bytes of {names[0]} have changed" in told[0]


def _damage(path: Path, ranks: Ranks) -> str:
    with pytest.raises(ValueError, match="is damaged") as caught:
        checkpoints.verified(path, ranks)
    return str(caught.value)
