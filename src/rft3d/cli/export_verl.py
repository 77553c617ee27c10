"""``rft3d export-verl``: samples and rewards in another framework's format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Write samples and their rewards for verl: OUT/train.parquet and OUT/reward.py.

    Give them to verl as data.train_files and reward.custom_reward_function.path (name compute_score).
    rft3d must be installed where verl's reward workers run. Needs pyarrow, no torch.
    """

    samples: Annotated[Path, tyro.conf.Positional]
    """samples file, of one task or several"""
    out: Path
    """folder to write into"""

    options: str = "{}"
    """options of tasks as JSON, e.g. '{"detection": {"decimals": 1}}'"""
    embed: bool = True
    """put the pictures into the rows; --no-embed writes their absolute paths"""


def main(args: Args) -> None:
    import json

    from rft3d.evaluation.export_verl import export_verl

    try:
        options = json.loads(args.options)
    except ValueError as error:
        raise ValueError(f"--options is not JSON: {error}") from None
    if not isinstance(options, dict) or not all(isinstance(value, dict) for value in options.values()):
        raise ValueError(f"--options must be an object of objects, one a task, got {args.options}")
    count = export_verl(args.samples, args.out, options, args.embed)
    print(f"{args.out}: {count} samples in train.parquet; reward.py holds compute_score")
