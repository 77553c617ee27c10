"""The documented ``accelerate launch`` commands, on two CPU processes."""

from __future__ import annotations

import os
import sys

OPTIONS = {"ddp": ["--multi_gpu"], "fsdp2": ["--use_fsdp", "--fsdp_version", "2"]}


def accelerate(kind: str) -> list[str]:
    """``accelerate launch`` for two processes of DDP or FSDP2, as docs/scaling.md gives it."""
    program = [sys.executable, "-m", "accelerate.commands.launch"]
    # a free port: another run's launcher may be here, too
    return [*program, *OPTIONS[kind], "--num_processes", "2", "--main_process_port", "0"]


def launch_environment() -> dict[str, str]:
    """With it the options for GPUs start processes on the CPU; ``--cpu`` would need MPI to start two."""
    return os.environ | {"ACCELERATE_USE_CPU": "true", "PYTHONWARNINGS": "ignore"}
