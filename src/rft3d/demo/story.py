"""The demo, stage by stage; a stage that is done is not done again, a stopped one goes on."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from rft3d.demo.config import HELD_OUT_FIRST_SEED, DemoConfig, demo_config
from rft3d.demo.redrawn import add_depth, room_painter
from rft3d.demo.rooms_data import TrainingRoom, build_tasks
from rft3d.demo.side_by_side import Job, processes, run_jobs
from rft3d.demo.stages import encoders_stage, features_stage, rooms_stage
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
from rft3d.models import Policy, load_policy
from rft3d.models.features import FeatureCache
from rft3d.pretraining.dense import DenseClip
from rft3d.process import give_back_memory, keep_freed_memory
from rft3d.report import write_report
from rft3d.scenes import iter_rooms
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import Corpus, tokenize
from rft3d.training.features import FeatureStore
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch
from rft3d.training.runs import Run, track
from rft3d.training.sft import train_sft


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
    write_json(run.root / "defaults.json", DemoConfig())
    story = Story(run, config, trackers)
    story.prepare()
    story.train("sft")
    story.held_out_rooms()
    story.arms()
    with run.timed("report"):
        page = write_report(
            run.root,
            gallery=config.gallery,
            resamples=config.resamples // 3,
            add_depth=partial(add_depth, config=config.rooms),
        )
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
    held_out_features: FeatureCache = field(default_factory=FeatureCache)

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
        return rooms_stage(
            self.run, self.config.seed, self.config.train_rooms, self.config.rooms, self.config.tasks
        )

    def _encoders(self, rooms: Sequence[TrainingRoom]) -> Policy:
        config = self.config
        return encoders_stage(self.run, rooms, config.tiny, config.encoder, config.seed, config.tasks)

    def _features(self, policy: Policy, clips: Sequence[DenseClip]) -> FeatureStore:
        return features_stage(self.run, policy, clips)

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
                    policy, self.corpus, settings, stage, Watch(console, name, trackers=self.trackers)
                )
            else:
                paper = name == "rft_paper"
                tasks = build_tasks(self.config.paper_tasks if paper else self.config.tasks)
                settings = replace(self.config.rft, **self.config.paper_rft) if paper else self.config.rft
                facts["tokens"] = train_rft(
                    policy,
                    tasks,
                    self.corpus,
                    settings,
                    stage,
                    Watch(
                        console, name, trackers=self.trackers, paint=room_painter(tasks, self.config.rooms)
                    ),
                )
            policy.save(self.model_dir(name))

    def held_out_rooms(self) -> None:
        """The held-out rooms and their samples, on disk."""
        folder = self.run.root / "eval"
        if folder.exists():
            return
        tasks = build_tasks(self.config.held_out_tasks)
        seeds = range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + self.config.held_out_rooms)
        with self.run.timed("held-out rooms"):
            rooms = iter_rooms(seeds, self.config.rooms)
            scenes = track(self.run.console, "held-out rooms", rooms, len(seeds))
            write_dataset(
                scenes, folder, tasks=tasks, seed=0, with_depth=False, file_name="{task}.samples.jsonl"
            )

    def arms(self) -> None:
        """Train the models that start from the first, evaluate all; side by side where cores allow."""
        jobs: dict[str, Job] = {}
        for name in reversed(MODELS[1:]):  # the longest first
            if not self.run.done(name):
                jobs[name] = Job(work, ("train", name))
        for name in MODELS:
            if not self.run.done(f"eval {name}"):
                jobs[f"eval {name}"] = Job(work, ("evaluate", name), after=name if name in jobs else "")
        workers = min(processes(self.config.workers), len(jobs))
        if workers > 1:
            threads = max(1, torch.get_num_threads() // workers)
            # As bytes: handed over as it is, each of its small tensors would become an open file.
            shared = (self.run.root, self.config, self.trackers, pickle.dumps(self.corpus), threads)
            self.corpus = None
            give_back_memory()
            run_jobs(jobs, workers, begin_work, shared)
            self.run.write_stages()
            return
        for job in jobs.values():
            getattr(self, job.args[0])(job.args[1])

    def evaluate(self, name: str) -> None:
        """Predict with model ``name`` on the held-out rooms, and score."""
        with self.run.timed(f"eval {name}") as facts:
            policy = load_policy(self.model_dir(name))
            fingerprint = model_fingerprint(self.model_dir(name))
            policy.use_features(self.held_out_features)  # all models have the same frozen encoders
            tasks = self.config.held_out_tasks
            facts["tokens"] = sum(self._evaluate_task(policy, name, task, fingerprint) for task in tasks)

    def _evaluate_task(self, policy: Policy, name: str, task: str, fingerprint: str) -> int:
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
            model=fingerprint,
            config=PredictConfig(batch_size=64, max_new_tokens=limit),
            progress=self.run.console.is_terminal,
        )
        config = ScoreConfig(resamples=self.config.resamples, options=dict(self.config.held_out_tasks[task]))
        scores = score_files(task, samples, predictions, config)
        write_json(folder / name / f"{task}.scores.json", scores)
        return round((scores["mean_tokens"] or 0) * scores["samples"])


_mine: Story | None = None
"""The story that a worker process works on."""


def begin_work(root: Path, config: DemoConfig, trackers: Sequence[str], corpus: bytes, threads: int) -> None:
    """Make this process a worker for the run in ``root``, with ``threads`` threads.

    ``corpus``: the parent's, pickled.
    """
    global _mine
    keep_freed_memory()
    torch.set_num_threads(threads)
    console = Console(stderr=True, force_terminal=False)  # two live bars would overwrite each other
    own = pickle.loads(corpus)  # noqa: S301  the parent process wrote it
    _mine = Story(Run(root, config, console), config, trackers, own)


def work(what: str, name: str) -> None:
    """Do ``train`` or ``evaluate`` for model ``name`` in a worker."""
    assert _mine is not None, "begin_work() comes first"
    getattr(_mine, what)(name)
