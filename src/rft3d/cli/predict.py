"""``rft3d predict``: a model's answers to a samples file."""

from dataclasses import dataclass, field
from pathlib import Path

import tyro

from rft3d.cli._choices import free, tell
from rft3d.digests import model_fingerprint
from rft3d.evaluation import PredictConfig, predict
from rft3d.tasks import read_samples


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
    pictures: Path | None = None
    """folder besides that of the samples file in which its pictures may lie"""
    config: tyro.conf.OmitArgPrefixes[PredictConfig] = field(default_factory=PredictConfig)


def main(args: Args) -> None:
    free(args.out, force=True)  # before torch is loaded
    fingerprint = model_fingerprint(args.model)
    next(iter(read_samples(args.samples)), None)  # a bad samples file is reported before torch is loaded
    from rft3d.models import load_policy

    out = predict(
        load_policy(args.model), args.samples, args.out, model=fingerprint, config=args.config,
        force=args.force, pictures=args.pictures, told=tell,
    )  # fmt: skip
    print(out)
