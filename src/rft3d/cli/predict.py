"""``rft3d predict``: a model's answers to a samples file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rft3d.cli._choices import free


@dataclass(frozen=True)
class Args:
    """Let a model answer every sample of a file.

    Writes JSON lines {"id", "text", "truncated", "tokens"}. An interrupted run goes on where it
    stopped when started again with the same arguments; OUT appears when it is complete.
    """

    model: str
    """rooms or rooms-sft (shipped), or a model folder (of rft3d train or rft3d demo)"""
    samples: Path
    """samples file; its frame paths are relative to its folder"""
    out: Path
    """predictions file to write"""
    force: bool = False
    """start anew instead of going on with (or keeping) what is at --out"""
    batch_size: int = 16
    """prompts answered at once"""
    max_new_tokens: int = 512
    """longest answer; a longer one is cut and marked as truncated"""
    temperature: float | None = None
    """0 is greedy; when not given 0, with --consensus 0.6"""
    consensus: int = 0
    """sample so many answers and write the one that they agree on (8 is a good start); 0: one answer alone"""
    pictures: Path | None = None
    """folder besides that of the samples file in which its pictures may lie"""
    seed: int = 0
    """seed of sampling (no effect when greedy)"""


def main(args: Args) -> None:
    free(args.out, force=True)  # before torch is loaded
    from rft3d.digests import model_fingerprint
    from rft3d.evaluation.predict import PredictConfig, predict
    from rft3d.tasks.samples import read_samples

    temperature = (0.6 if args.consensus else 0.0) if args.temperature is None else args.temperature
    config = PredictConfig(args.batch_size, args.max_new_tokens, temperature, args.seed, args.consensus)
    fingerprint = model_fingerprint(args.model)
    next(iter(read_samples(args.samples)), None)  # a bad samples file is reported before torch is loaded
    from rft3d.models import load_policy

    policy = load_policy(args.model)
    out = predict(
        policy,
        args.samples,
        args.out,
        model=fingerprint,
        config=config,
        force=args.force,
        pictures=args.pictures,
        told=lambda line: print(line, file=sys.stderr),
    )
    print(out)
