"""The demo, stage by stage; a stage that is done is not done again, a stopped one goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from rft3d.demo.config import HELD_OUT_FIRST_SEED, TRAIN_FIRST_SEED, DemoConfig, demo_config
from rft3d.demo.rooms_data import TrainingRoom, build_tasks, training_rooms
from rft3d.demo.table import print_results
from rft3d.evaluation import (
    PredictConfig,
    ScoreConfig,
    model_fingerprint,
    predict,
    score_files,
    write_dataset,
    write_json,
)
from rft3d.models import Policy, build_tiny, load_policy
from rft3d.models.tokens import train_tokenizer
from rft3d.report import write_report
from rft3d.scenes import CATE20, iter_rooms
from rft3d.scenes.parts import PALETTE
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import Corpus, tokenize
from rft3d.training.dense import DenseClip
from rft3d.training.encoders import pretrain_encoders
from rft3d.training.features import FeatureStore, write_features
from rft3d.training.grpo import train_rft
from rft3d.training.memory import keep_freed_memory
from rft3d.training.runs import Run, progress, track
from rft3d.training.sft import train_sft

ENCODE_BATCH = 16


def run_demo(
    out: Path,
    quick: bool = False,
    seed: int = 0,
    trackers: Sequence[str] = (),
    console: Console | None = None,
) -> Path:
    """Run the whole story in ``out`` and return the report's index page.

    A finished or stopped demo in ``out`` is continued when its settings are the same.

    Raises:
        ValueError: ``out`` holds a run with other settings.
    """
    keep_freed_memory()
    console = console or Console(stderr=True)
    config = demo_config(quick, seed)
    run = Run(Path(out), config, console)
    story = Story(run, config, trackers)
    story.prepare()
    for name in MODELS:
        story.train(name)
    story.evaluate()
    with run.timed("report"):
        page = write_report(run.root, gallery=config.gallery, resamples=config.resamples // 3)
    print_results(run.root, console)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)
    return page


MODELS = ("sft", "sft_sft", "rft_paper", "rft_matched")
"""Stages and models, in the order they are trained: the last three start from the first."""


@dataclass
class Story:
    """One demo run: what its stages share."""

    run: Run
    config: DemoConfig
    trackers: Sequence[str] = ()
    corpus: Corpus | None = None

    def model_dir(self, name: str) -> Path:
        return self.run.root / "models" / name

    def prepare(self) -> None:
        """Rooms, tokenizer, encoders and features; skipped when all later training is done."""
        if all(self.run.done(name) for name in MODELS):
            return
        rooms = self._rooms()
        base = self._encoders(rooms)
        features = self._features(base, [room.clip for room in rooms])
        tasks = build_tasks(self.config.tasks)
        samples = {name: [list(room.samples[name]) for room in rooms] for name in tasks}
        self.corpus = tokenize(base, tasks, samples, features)

    def _rooms(self) -> list[TrainingRoom]:
        first = TRAIN_FIRST_SEED * (self.config.seed + 1)
        seeds = range(first, first + self.config.train_rooms)
        with self.run.timed("rooms") as facts:
            made = training_rooms(seeds, self.config.rooms, self.config.tasks)
            rooms = list(track(self.run.console, "rooms", made, len(seeds)))
            facts["rooms"] = len(rooms)
            facts["samples"] = {n: sum(len(r.samples[n]) for r in rooms) for n in self.config.tasks}
        return rooms

    def _encoders(self, rooms: Sequence[TrainingRoom]) -> Policy:
        if self.run.done("encoders"):
            return load_policy(self.model_dir("encoders"))
        with self.run.timed("encoders") as facts:
            tasks = build_tasks(self.config.tasks)
            texts = [
                text
                for room in rooms
                for name, group in room.samples.items()
                for sample in group
                for text in (sample.prompt, tasks[name].gold(sample))
            ]
            tokenizer = train_tokenizer(texts, [*CATE20, *PALETTE, "large", "small"])
            policy = build_tiny(
                self.config.tiny,
                tokenizer,
                self.config.seed,
                {k: dict(v) for k, v in self.config.tasks.items()},
            )
            clips: list[DenseClip] = [room.clip for room in rooms]
            facts["last"] = pretrain_encoders(
                policy, clips, CATE20, self.config.encoder, self.run.stage("encoders"), self.run.console
            )
            facts["vocabulary"] = len(tokenizer)
            facts["parameters"] = _parameter_counts(policy)
            policy.save(self.model_dir("encoders"))
        return policy

    def _features(self, policy: Policy, clips: Sequence[DenseClip]) -> FeatureStore:
        folder = self.run.root / "features"
        if self.run.done("features"):
            return FeatureStore(folder)
        with (
            self.run.timed("features") as facts,
            progress(self.run.console, "features", len(clips)) as update,
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
            facts["tokens"] = len(store) * store.vision.shape[1]
        return store

    def train(self, name: str) -> None:
        """Train model ``name`` and save it."""
        if self.run.done(name):
            return
        assert self.corpus is not None, "prepare() comes first"
        policy = load_policy(self.model_dir("encoders" if name == "sft" else "sft"))
        stage, console = self.run.stage(name), self.run.console
        with self.run.timed(name) as facts:
            settings: SFTConfig | RFTConfig
            if name in ("sft", "sft_sft"):
                settings = self.config.sft if name == "sft" else self.config.more_sft
                facts["tokens"] = train_sft(
                    policy, self.corpus, settings, stage, console, name, trackers=self.trackers
                )
            else:
                options = self.config.paper_tasks if name == "rft_paper" else self.config.tasks
                facts["tokens"] = train_rft(
                    policy,
                    build_tasks(options),
                    self.corpus,
                    self.config.rft,
                    stage,
                    console,
                    name,
                    trackers=self.trackers,
                )
            policy.save(self.model_dir(name))

    def evaluate(self) -> None:
        """Predict and score every model on the held-out rooms."""
        folder = self.run.root / "eval"
        tasks = build_tasks(self.config.held_out_tasks)
        seeds = range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + self.config.held_out_rooms)
        if not folder.exists():
            with self.run.timed("held-out rooms"):
                scenes = track(
                    self.run.console, "held-out rooms", iter_rooms(seeds, self.config.rooms), len(seeds)
                )
                write_dataset(
                    scenes, folder, tasks=tasks, seed=0, with_depth=False, file_name="{task}.samples.jsonl"
                )
        shared: dict[str, Any] = {}
        for name in MODELS:
            if self.run.done(f"eval {name}"):
                continue
            with self.run.timed(f"eval {name}") as facts:
                policy = load_policy(self.model_dir(name))
                policy.features = shared  # all models have the same frozen encoders
                facts["tokens"] = sum(self._evaluate_task(policy, name, task) for task in tasks)

    def _evaluate_task(self, policy: Policy, name: str, task: str) -> int:
        folder = self.run.root / "eval"
        (folder / name).mkdir(exist_ok=True)
        samples = folder / f"{task}.samples.jsonl"
        predictions = folder / name / f"{task}.predictions.jsonl"
        limit = self.config.max_new_tokens[task]
        self.run.console.print(f"{name}: {task}", highlight=False)
        predict(
            policy,
            samples,
            predictions,
            model=model_fingerprint(self.model_dir(name)),
            config=PredictConfig(batch_size=64, max_new_tokens=limit),
            progress=self.run.console.is_terminal,
        )
        config = ScoreConfig(resamples=self.config.resamples, options=dict(self.config.held_out_tasks[task]))
        scores = score_files(task, samples, predictions, config)
        write_json(folder / name / f"{task}.scores.json", scores)
        return round((scores["mean_tokens"] or 0) * scores["samples"])


def _parameter_counts(policy: Policy) -> dict[str, int]:
    model = policy.model
    parts = {
        "vision tower": model.model.visual,
        "geometry encoder": model.geometry_encoder,
        "geometry merger": model.geometry_merger,
        "language model": model.model.language_model,
    }
    return {name: sum(p.numel() for p in module.parameters()) for name, module in parts.items()}
