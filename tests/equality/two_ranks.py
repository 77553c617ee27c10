"""What one process and two ranks both run: ``accelerate launch ... two_ranks.py OUT KIND...``.

Without a KIND (``ddp``, ``fsdp2``) the launch options decide, and what is run are best weights and SIGTERM.

Prompts are ragged (clips of two and three frames), tasks are mixed, shares are unequal (an odd number of
prompts, groups without advantage), so that ranks differ in everything but the number of forwards.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[2]))  # started as a script by the launcher

from tests.tiny import Digits, make_policy, weights_of

from rft3d.models import Policy
from rft3d.models.policy import FROZEN
from rft3d.process import Stopped, is_main_process
from rft3d.rewards import Part, Score
from rft3d.tasks.types import Sample, Task
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig
from rft3d.training.data import Corpus, tokenize
from rft3d.training.fsdp2 import wants_fsdp2
from rft3d.training.grpo import train_rft
from rft3d.training.loop import HeldOut, Watch
from rft3d.training.sft import train_sft


@dataclass(frozen=True)
class Arbitrary(Digits):
    """Pays any text something, and the second sample of a clip nothing (a group without advantage)."""

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        paid = hashlib.blake2b(text.encode()).digest()[0] % 5 if sample.id.endswith("0") else 0
        return Score((Part("paid", paid / 4, ""),), None, truncated)


@dataclass(frozen=True)
class Words(Arbitrary):
    """A second task with longer answers."""

    name: ClassVar[str] = "words"

    def gold(self, sample: Sample) -> str:
        return super().gold(sample) * 4


TASKS: Mapping[str, Task] = {"digits": Arbitrary(), "words": Words()}
OPTIM = OptimConfig(lr=3e-3, weight_decay=0.01, schedule="constant", warmup=0.1)
SFT = SFTConfig(4, 5, {"digits": 2, "words": 1}, {"words": 0.5}, OPTIM, save_every=2)
RFT = RFTConfig(
    steps=3,
    prompts_per_step={"digits": 3, "words": 1},
    group_size=4,
    max_new_tokens={"digits": 3, "words": 6},
    micro_groups=1,
    beta=0.05,
    updates_per_rollout=2,
    optim=replace(OPTIM, lr=1e-3, weight_decay=0.0),
    save_every=1,
)
RUNS: Mapping[str, SFTConfig | RFTConfig] = {
    "sft": SFT,
    "rft-kl": RFT,
    "rft-part": replace(RFT, optim=replace(RFT.optim, interpolate=0.5)),
    "rft-token": replace(RFT, beta=0.0, updates_per_rollout=1, loss="token"),
    "rft-dapo": replace(RFT, beta=0.0, updates_per_rollout=1, loss="dapo", micro_groups=2, steps=2),
}


class Stop(Exception):
    """Ends a run right after a step, on every rank."""


def setting() -> tuple[Policy, Corpus]:
    """A policy in float64 that answers anything, and six clips of two or three frames."""
    policy = make_policy(0, 0.2)
    policy.model.double()
    rng = np.random.default_rng(0)
    clips = [[rng.integers(0, 255, (56, 84, 3), dtype=np.uint8) for _ in range(2 + i % 2)] for i in range(6)]
    samples: dict[str, list[list[Sample]]] = {}
    for name in TASKS:
        rows = samples[name] = []
        for clip, frames in enumerate(clips):
            text = "<image>" * len(frames) + "Detect the boxes. Digit" + " please" * clip
            refs = tuple(f"{clip}/{i}" for i in range(len(frames)))
            rows.append(
                [Sample(f"{name}:{clip}:{i}", name, str(clip), refs, f"{text} {i}", {}) for i in (0, 1)]
            )
    return policy, tokenize(policy, TASKS, samples, policy.encode(clips))


def train(name: str, folder: Path, stop: int | None = None, terminate: bool = False) -> Policy:
    """Run ``RUNS[name]`` in ``folder`` from the start or its checkpoint, at most up to ``stop``.

    With ``terminate`` the *second* rank alone gets a SIGTERM after the first step.
    """

    def on_step(step: int) -> None:
        if wants_fsdp2():
            check_placement(policy)
        if step == stop:
            raise Stop
        if terminate and step == 1 and not is_main_process():
            os.kill(os.getpid(), signal.SIGTERM)

    policy, corpus = setting()
    config, console = RUNS[name], Console(file=io.StringIO())
    held_out = HeldOut(corpus, TASKS, RFT.max_new_tokens, every=2)
    try:
        if isinstance(config, SFTConfig):
            train_sft(policy, corpus, config, folder, Watch(console, on_step=on_step, held_out=held_out))
        else:
            train_rft(
                policy, TASKS, corpus, config, folder, Watch(console, on_step=on_step, held_out=held_out)
            )
    except Stop:
        pass
    return policy


def check_placement(policy: Policy) -> None:
    """Between steps every rank holds its part of what is trained, and the frozen encoders whole."""
    from torch.distributed.tensor import DTensor

    for name, parameter in policy.model.named_parameters():
        assert isinstance(parameter, DTensor) != name.startswith(FROZEN), name


def trained_weights(policy: Policy) -> dict[str, torch.Tensor]:
    return weights_of(policy, ("model.language_model.", "geometry_merger."))


def main(out: Path, kinds: list[str]) -> None:
    for kind in kinds:
        os.environ["ACCELERATE_USE_FSDP"] = "true" if kind == "fsdp2" else "false"
        os.environ["FSDP_VERSION"] = "2"
        for name in RUNS:
            policy = train(name, out / kind / name)
            if is_main_process():
                save_file(trained_weights(policy), out / kind / f"{name}.safetensors")
        train("rft-part", out / kind / "cut", stop=2)
        policy = train("rft-part", out / kind / "cut")
        if is_main_process():
            save_file(trained_weights(policy), out / kind / "cut.safetensors")


def survive(out: Path) -> None:
    """A run that one rank was asked to stop, as the launch options want it."""
    try:
        train("rft-kl", out / "asked", terminate=True)
    except Stopped as stopped:
        rank = os.environ["RANK"]
        (out / f"stopped-{rank}.json").write_text(json.dumps([stopped.code, str(stopped)]))
    policy = train("rft-kl", out / "asked")
    if is_main_process():
        save_file(trained_weights(policy), out / "asked.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[2:]:
        main(Path(sys.argv[1]), sys.argv[2:])
    else:
        survive(Path(sys.argv[1]))
    # gloo's threads may abort a process that ends while the other rank still talks: wait, then end at once
    torch.distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
