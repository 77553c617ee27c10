"""E4: DDP and FSDP2 on two gloo ranks train to the weights of one process."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.equality.launch import accelerate, launch_environment
from tests.equality.two_ranks import RUNS, TASKS, setting, train, trained_weights
from tests.tiny import farthest, sampled_groups

from rft3d.training.config import RFTConfig
from rft3d.training.placement import Ranks
from rft3d.training.update import micro_batches

KINDS = ("ddp", "fsdp2")


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two ranks trained."""
    out = tmp_path_factory.mktemp("two")
    script = Path(__file__).with_name("two_ranks.py")
    done = subprocess.run(
        [*accelerate("ddp"), str(script), str(out), *KINDS],
        env=launch_environment(), capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return out


@pytest.fixture(scope="session")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, torch.Tensor]]]:
    folder = tmp_path_factory.mktemp("one")
    return folder, {name: trained_weights(train(name, folder / name)) for name in RUNS}


def measured(line: dict[str, float]) -> dict[str, float]:
    """A line of metrics without what the clock says, and without the tokens: their padding depends on the share."""
    return {
        k: value for k, value in line.items() if k not in ("time", "tokens") and not k.endswith("seconds")
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_train_as_one_process(
    name: str, kind: str, two: Path, one: tuple[Path, dict[str, dict[str, torch.Tensor]]]
) -> None:
    folder, weights = one
    found = load_file(two / kind / f"{name}.safetensors")
    assert found.keys() == weights[name].keys()
    assert farthest(found, weights[name]) < 1e-8
    assert farthest(found, trained_weights(setting()[0])) > 1e-3, "it must have trained"
    logs = [
        [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
        for place in (folder / name, two / kind / name)
    ]
    assert len(logs[0]) == len(logs[1]) == RUNS[name].steps
    for ours, theirs in zip(*logs, strict=True):
        assert ours.keys() == theirs.keys()
        assert measured(ours) == pytest.approx(measured(theirs), abs=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_two_ranks_resume_bit_for_bit(kind: str, two: Path) -> None:
    whole, cut = (load_file(two / kind / f"{name}.safetensors") for name in ("rft-part", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


@pytest.mark.parametrize("world", [2, 3, 5])
def test_ranks_share_groups_and_run_equally_often(world: int) -> None:
    """Their batches are a partition of one process's; five ranks have less than one group each."""
    policy, corpus = setting()
    config = RUNS["rft-token"]
    assert isinstance(config, RFTConfig)
    groups = sampled_groups(policy, TASKS, corpus, config)
    whole = micro_batches(groups, config)
    seen: Counter[str] = Counter()
    for i, group in enumerate(groups):  # as they are dealt: in turn, every task by itself
        groups[i] = replace(group, owner=seen[group.task] % world)
        seen[group.task] += 1
    shares = [micro_batches(groups, config, Ranks(rank, world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    total = sum(float(batch.weights.sum()) for batch in whole)
    assert sum(float(b.weights.sum()) for share in shares for b in share) == pytest.approx(total)
    owned = [(g.task, g.item.key) for share in shares for b in share if b.weights.any() for g in b.groups]
    assert sorted(owned) == sorted((g.task, g.item.key) for b in whole for g in b.groups)
    assert any(not b.weights.any() for share in shares for b in share), "one rank at least must be filled up"
