"""What two ranks of DeepSpeed run: ``torchrun --nproc_per_node 2 zero_ranks.py OUT``, on CPUs, over gloo.

The runs of :mod:`tests.equality.two_ranks` in float32 (ZeRO's masters are), one stopped and resumed, one in
bf16, and a gradient that is no number.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # started as a script by torchrun

import torch
from accelerate import PartialState
from rich.console import Console
from safetensors.torch import save_file
from tests.equality import two_ranks

from rft3d.models import Policy
from rft3d.process import is_main_process
from rft3d.training.data import Corpus
from rft3d.training.loop import Watch
from rft3d.training.optim import NonFiniteError
from rft3d.training.sft import train_sft

NAMES = ("sft", "rft-kl")
_double = two_ranks.setting


def setting() -> tuple[Policy, Corpus]:
    """:func:`two_ranks.setting` in float32."""
    policy, corpus = _double()
    policy.model.float()
    return policy, corpus


def nan_step(folder: Path) -> bool:
    """Whether a gradient that is no number (of a finite loss) ends the run and leaves the weights alone."""
    policy, corpus = setting()
    before = two_ranks.trained_weights(policy)
    policy.model.lm_head.weight.register_hook(lambda grad: grad * float("nan"))
    try:
        train_sft(policy, corpus, replace(two_ranks.SFT, steps=1), folder, Watch(Console(file=io.StringIO())))
    except NonFiniteError:
        after = two_ranks.trained_weights(policy)
        return all(torch.equal(before[name], after[name]) for name in before)
    return False


def main(out: Path) -> None:
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    PartialState(cpu=True)  # on CPUs accelerate counts the ranks only when asked, on GPUs by itself
    two_ranks.setting = setting
    for name in NAMES:
        policy = two_ranks.train(name, out / name)
        if is_main_process():
            save_file(two_ranks.trained_weights(policy), out / f"{name}.safetensors")
    two_ranks.train("sft", out / "cut", stop=2)
    policy = two_ranks.train("sft", out / "cut")
    if is_main_process():
        save_file(two_ranks.trained_weights(policy), out / "cut.safetensors")
    kept = nan_step(out / "nan")
    if is_main_process():
        (out / f"nan-{'kept' if kept else 'changed'}").touch()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
