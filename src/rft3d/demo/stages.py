"""The first stages of a run on procedural rooms: rooms, encoders, features. Shared by demo and matrix.

Each is done once in a run folder; a finished one is read back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from rft3d.demo.config import TRAIN_FIRST_SEED
from rft3d.demo.rooms_data import TrainingRoom, build_tasks, training_rooms
from rft3d.models import Policy, TinyConfig, build_tiny, load_policy
from rft3d.models.tokens import train_tokenizer
from rft3d.pretraining.dense import DenseClip
from rft3d.pretraining.encoders import EncoderConfig, pretrain_encoders
from rft3d.scenes import CATE20, RoomConfig
from rft3d.scenes.rooms import PALETTE
from rft3d.training.features import FeatureStore, write_features
from rft3d.training.runs import Run, progress, track

ENCODE_BATCH = 16
TaskOptions = Mapping[str, Mapping[str, Any]]


def rooms_stage(
    run: Run, seed: int, count: int, rooms: RoomConfig, options: TaskOptions, workers: int = 2
) -> list[TrainingRoom]:
    """The training rooms of ``seed`` with their samples; made anew every time (they are not kept on disk)."""
    first = TRAIN_FIRST_SEED * (seed + 1)
    seeds = range(first, first + count)
    with run.timed("rooms") as facts:
        made = training_rooms(seeds, rooms, options, workers)
        found = list(track(run.console, "rooms", made, len(seeds)))
        facts["rooms"] = len(found)
        facts["samples"] = {n: sum(len(r.samples[n]) for r in found) for n in options}
    return found


def encoders_stage(
    run: Run,
    rooms: Sequence[TrainingRoom],
    tiny: TinyConfig,
    encoder: EncoderConfig,
    seed: int,
    options: TaskOptions,
) -> Policy:
    """Tokenizer and pre-trained encoders, as the policy in ``models/encoders``."""
    folder = run.root / "models" / "encoders"
    if run.done("encoders"):
        return load_policy(folder)
    with run.timed("encoders") as facts:
        tasks = build_tasks(options)
        texts = [
            text
            for room in rooms
            for name, group in room.samples.items()
            for sample in group
            for text in (sample.prompt, tasks[name].gold(sample))
        ]
        tokenizer = train_tokenizer(texts, [*CATE20, *PALETTE, "large", "small"])
        policy = build_tiny(tiny, tokenizer, seed, {k: dict(v) for k, v in options.items()})
        clips: list[DenseClip] = [room.clip for room in rooms]
        facts["last"] = pretrain_encoders(policy, clips, CATE20, encoder, run.stage("encoders"), run.console)
        facts["vocabulary"] = len(tokenizer)
        facts["parameters"] = parameter_counts(policy)
        policy.save(folder)
    return policy


def features_stage(run: Run, policy: Policy, clips: Sequence[DenseClip]) -> FeatureStore:
    """The frozen features of ``clips``, in the folder ``features``."""
    folder = run.root / "features"
    if run.done("features"):
        return FeatureStore(folder)
    with (
        run.timed("features") as facts,
        progress(run.console, "features", len(clips)) as update,
    ):
        batches = (
            policy.model.encode(
                torch.stack([policy.prepare(list(c.rgb)) for c in clips[i : i + ENCODE_BATCH]]).to(
                    policy.device
                )
            )
            for i in range(0, len(clips), ENCODE_BATCH)
        )
        store = write_features(folder, len(clips), batches, lambda done: update(done, ""))
        facts["tokens"] = len(store) * len(store[0].vision)
    return store


def parameter_counts(policy: Policy) -> dict[str, int]:
    """Parameters of each part of the policy."""
    model = policy.model
    parts = {
        "vision tower": model.model.visual,
        "geometry encoder": model.geometry_encoder,
        "geometry merger": model.geometry_merger,
        "language model": model.model.language_model,
    }
    return {name: sum(p.numel() for p in module.parameters()) for name, module in parts.items()}
