"""A policy from scratch, as in the demo: a tokenizer from the rooms' texts, encoders trained on the rooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rft3d.experiments.rooms import TrainingRoom, build_tasks
from rft3d.experiments.types import Options, Scratch
from rft3d.models import Policy, build_tiny
from rft3d.pretraining.encoders import fixed_clips, pretrain_encoders
from rft3d.pretraining.weights import rooms_tokenizer
from rft3d.scenes import CATE20
from rft3d.training.runs import Run


def from_scratch(
    run: Run, rooms: Sequence[TrainingRoom], scratch: Scratch, seed: int, options: Options
) -> tuple[Policy, Mapping[str, Any]]:
    """The policy, its encoders trained and frozen, its language model untrained; and facts for ``stages.json``."""
    tasks = build_tasks(options)
    asked = [(view, each) for room in rooms for view, group in room.samples.items() for each in group]
    tokenizer = rooms_tokenizer(text for v, each in asked for text in (each.prompt, tasks[v].gold(each)))
    policy = build_tiny(scratch.tiny, tokenizer, seed, {view: dict(own) for view, own in options.items()})
    clips = [room.clip for room in rooms]
    drawn = fixed_clips(clips, scratch.encoder.clips_per_step, scratch.encoder.seed)
    last = pretrain_encoders(policy, drawn, CATE20, scratch.encoder, run.stage("encoders"), run.console)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in _parts(policy).items()}
    return policy, {"last": last, "vocabulary": len(tokenizer), "parameters": counts}


def _parts(policy: Policy) -> dict[str, Any]:
    model = policy.model
    return {
        "vision tower": model.model.visual,
        "geometry encoder": model.geometry_encoder,
        "geometry merger": model.geometry_merger,
        "language model": model.model.language_model,
    }
