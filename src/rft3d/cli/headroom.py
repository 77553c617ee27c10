"""``rft3d headroom``: what RL can be expected to gain from a model, before any of it is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rft3d.cli._choices import free


@dataclass(frozen=True)
class Args:
    """Compare a model's greedy answers with one sample, the best of k and the consensus of k, task by task.

    The gap from greedy to consensus is what RL can gain by making the model surer of what it knows. Prints a
    table with 95 % intervals over scenes and a sentence a task; --out RUN/headroom.json puts it into the report.
    """

    model: str
    """rooms or rooms-sft (shipped), or a model folder (of rft3d train or rft3d demo)"""
    samples: tuple[Path, ...]
    """samples files, or one folder of rft3d rooms (its detection, grounding and spatial samples)"""
    k: int = 8
    """samples of every question"""
    temperatures: tuple[float, ...] = (0.35, 0.6, 1.0)
    """of the samples, each measured by itself"""
    limit: int = 0
    """at most so many questions of a file, evenly spaced over it; 0: all"""
    batch_size: int = 16
    """questions answered at once"""
    max_new_tokens: int = 512
    """longest answer; a longer one is cut and counts as wrong"""
    seed: int = 0
    """seed of sampling and of the intervals"""
    resamples: int = 1000
    """bootstrap resamples of the scenes"""
    floor: float = 0.15
    """a box of the consensus must overlap the other samples' boxes by this on the average"""
    out: Path | None = None
    """JSON file for the report"""
    force: bool = False
    """replace what is at --out"""


def main(args: Args) -> None:
    free(args.out, args.force)
    from rft3d.evaluation import model_fingerprint
    from rft3d.evaluation.headroom import SHOWN, HeadroomConfig, headroom_of_files, spread_questions
    from rft3d.evaluation.tables import headroom_table
    from rft3d.files import write_json

    config = HeadroomConfig(
        args.k,
        args.temperatures,
        args.batch_size,
        args.max_new_tokens,
        args.seed,
        args.resamples,
        args.floor,
    )
    files = [file for path in args.samples for file in _files(path, tuple(SHOWN))]
    questions = {file: spread_questions(file, args.limit) for file in files}
    fingerprint = model_fingerprint(args.model)
    from rich.console import Console

    from rft3d.models import load_policy

    console = Console()

    def tell(measured: Mapping[str, Any]) -> None:
        console.print(headroom_table(measured))
        console.print(measured["sentence"] + "\n", highlight=False)

    found = headroom_of_files(load_policy(args.model), fingerprint, questions, config, tell)
    if args.out is not None:
        write_json(args.out, found)


def _files(path: Path, tasks: tuple[str, ...]) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = [path / f"samples.{task}.jsonl" for task in tasks if (path / f"samples.{task}.jsonl").is_file()]
    if not files:
        raise ValueError(f"--samples {path}: the folder holds no samples.<task>.jsonl ({', '.join(tasks)})")
    return files
