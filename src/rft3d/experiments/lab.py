"""A world's seed on disk: rooms and features made once, then arms that start from one another.

::

    ROOT/  config.json  env.json  stages.json  titles.json
           train/  watched/                  rooms.json  <view>.samples.jsonl  features/
           stages/<arm>/                     arm.json  metrics.jsonl  done.json
           models/start/  models/<arm>/      the world's first policy, and every arm's
           eval/<view>.samples.jsonl         eval/<arm>/<view>.predictions.jsonl  .scores.json
           ood/<name>/...                    as eval/

Everything that is done is kept; an arm whose settings changed is an error.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Never

import torch
from rich.console import Console

from rft3d import files
from rft3d.digests import file_digest, model_fingerprint
from rft3d.evaluation import PredictConfig, ScoreConfig, predict, score_files, write_dataset
from rft3d.evaluation.headroom import HeadroomConfig, headroom_of_files, spread_questions
from rft3d.experiments.places import unjudged
from rft3d.experiments.rooms import CHUNK, TrainingRoom, build_tasks, corrupted, from_scratch, training_rooms
from rft3d.experiments.types import (
    FIRST,
    STANDARD,
    Arm,
    Options,
    Scratch,
    World,
    derived_options,
    held_out_folder,
)
from rft3d.files import CacheFolder, blaming, read_json, write_json
from rft3d.models import Policy, load_policy
from rft3d.models.features import ClipFeatures, FeatureCache, Format
from rft3d.process import track
from rft3d.scenes import iter_rooms
from rft3d.settings import differing
from rft3d.tasks import TASKS, Sample, read_samples, task_of, write_samples
from rft3d.training.data import Corpus, tokenize
from rft3d.training.loop import HeldOut, OnStep, Watch
from rft3d.training.recipes import train_stage
from rft3d.training.runs import Run

HELD_OUT, ELSEWHERE, WATCHED, TRAIN = 900_000, 920_000, 940_000, 100_000_000
"""First seeds of rooms. The shipped policy was trained on 10,000,000 to 99,999,999; training rooms of seed s start
at ``TRAIN * (s + 1)``."""
WATCHED_TIMES = 20
"""A long arm stops for held-out answers no more often."""
STORED: Format = "float16"
"""Number format of the training rooms' features."""


@dataclass
class Lab:
    """One seed of a world in ``root``; ``on_step`` is called after every training step."""

    world: World
    seed: int
    root: Path
    console: Console
    on_step: OnStep | None = None
    workers: int = 2
    trackers: Sequence[str] = ()
    _shared: dict[bool, FeatureCache] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run = Run(self.root, settings_of(self.world, self.seed), self.console)

    def model_dir(self, name: str) -> Path:
        return self.run.root / "models" / name

    def prepare(self) -> None:
        """The start, training rooms and their features, if they are not there yet."""
        if self.run.done("rooms"):
            return
        world = self.world
        with self.run.timed("rooms"):
            if isinstance(world.start, Scratch):
                rooms = list(self._rooms("train", world.views))
                start = replace(world.start, encoder=replace(world.start.encoder, seed=self.seed))
                policy = from_scratch(self.run, rooms, start, self.seed, world.views)
                source: Iterator[TrainingRoom] = iter(rooms)
            else:
                policy = load_policy(world.start, dtype=torch.float32)
                source = self._rooms("train", self._options(policy, world.views))
            policy.save(self.model_dir(FIRST))
            self._keep("train", policy, source)
            if world.watched_rooms:
                self._keep("watched", policy, self._rooms("watched", self._options(policy, world.held_out)))

    def _seeds(self, name: str) -> range:
        """Of the rooms in the folder ``name``."""
        trained = name == "train"
        first = TRAIN * (self.seed + 1) if trained else WATCHED
        return range(first, first + (self.world.train_rooms if trained else self.world.watched_rooms))

    def _rooms(self, name: str, options: Options) -> Iterator[TrainingRoom]:
        seeds = self._seeds(name)
        made = training_rooms(seeds, self.world.rooms, options, self.workers)
        return track(self.console, f"{name} rooms", made, len(seeds))

    def _keep(self, name: str, policy: Policy, rooms: Iterator[TrainingRoom]) -> None:
        """Write samples and features of ``rooms`` into the folder ``name``, a few rooms in memory at a time."""
        folder = self.run.root / name
        samples: dict[str, list[Sample]] = {}
        CacheFolder(folder / "features").clear()
        cache = FeatureCache(folder / "features", STORED, keep=0)
        made = 0
        while chunk := list(islice(rooms, CHUNK)):
            pictures = torch.stack([policy.prepare(list(room.clip.rgb)) for room in chunk])
            for found in policy.model.encode(pictures.to(policy.device)):
                cache.put(str(made), found)
                made += 1
            for room in chunk:
                for view, own in room.samples.items():
                    samples.setdefault(view, []).extend(own)
        digests: dict[str, str] = {}
        for view, own in samples.items():
            write_samples(file := folder / f"{view}.samples.jsonl", own)
            digests[view] = file_digest(file)
        write_json(folder / "rooms.json", {"views": digests})

    def _options(self, policy: Policy, own: Options) -> dict[str, dict[str, Any]]:
        """``own`` on top of what the policy was trained with."""
        return {v: {**policy.task_options.get(task_of(v), {}), **options} for v, options in own.items()}

    @cached_property
    def start(self) -> Policy:
        return load_policy(self.model_dir(FIRST))

    @cached_property
    def corpus(self) -> Corpus:
        """All training samples, tokenized; also those of derived views."""
        return self._corpus("train", self._options(self.start, self.world.views))

    @cached_property
    def watched(self) -> Corpus:
        return self._corpus("watched", self._options(self.start, self.world.held_out))

    def _corpus(self, name: str, given: Options) -> Corpus:
        folder, seeds, again = self.run.root / name, self._seeds(name), f"delete {self.root} to start again"
        with blaming(folder / "rooms.json", KeyError, TypeError, fix=again):
            written = read_json(folder / "rooms.json")["views"]
            digests = {view: written[view] for view in given}
        samples: dict[str, list[list[Sample]]] = {}
        for view, digest in digests.items():
            samples[view] = [[] for _ in seeds]
            file = folder / f"{view}.samples.jsonl"
            if file_digest(file) != digest:
                raise ValueError(f"{file} is not what this run wrote; {again}")
            for sample in read_samples(file):
                room = seeds.index(int(sample.scene.removeprefix("rooms-")))
                samples[view][room].append(sample)
        options = derived_options(given)
        for view, source in ((v, v.replace("-corrupt", "-think")) for v in options if v not in samples):
            samples[view] = corrupted(samples[source], self.seed)

        def lost(chosen: Sequence[int]) -> Never:
            raise ValueError(f"{folder}: the features of clip {chosen[0]} are gone or damaged; {again}")

        cache, keys = FeatureCache(folder / "features", STORED), [str(i) for i in range(len(seeds))]
        return tokenize(self.start, build_tasks(options), samples, ClipFeatures(cache, keys, lost))

    def train(self, arm: Arm) -> None:
        """Train ``arm`` from its base; a finished one must have had the same settings."""
        stage = None if arm.stage is None else replace(arm.stage, seed=arm.stage.seed + self.seed)
        self._same_arm(self.run.stage(arm.name) / "arm.json", replace(arm, stage=stage))
        if self.run.done(arm.name):
            return
        without = {} if arm.geometry else {"geometry": "off"}
        policy = load_policy(self.model_dir(arm.base or FIRST), **without)
        if stage is None:
            with self.run.timed(arm.name), torch.no_grad():
                if arm.back:
                    start = dict(self.start.model.named_parameters())
                    for name, weight in policy.model.named_parameters():
                        weight.copy_(start[name].lerp(weight, 1 - arm.back))
                policy.save(self.model_dir(arm.name))
            return
        given = derived_options(self._options(self.start, self.world.views))
        tasks = build_tasks({view: {**given[view], **arm.options.get(view, {})} for view in arm.views()})
        watch = Watch(self.console, arm.title, self.on_step, self._watched(arm), tuple(self.trackers))
        train_stage(self.run, arm.name, policy, tasks, self.corpus, stage, watch)

    def _watched(self, arm: Arm) -> HeldOut | None:
        world = self.world
        if not world.watched_rooms or not arm.geometry:
            return None
        options = self._options(self.start, world.held_out)
        views = {view: own for view, own in options.items() if view in arm.judge}
        every = max(world.watch_every, arm.stage.steps // WATCHED_TIMES if arm.stage else 0)
        return HeldOut(self.watched, build_tasks(views), world.max_new_tokens, every)

    def _same_arm(self, file: Path, arm: Arm) -> None:
        settings = asdict(arm)
        for shown in ("title", "judge", "elsewhere"):
            del settings[shown]
        wanted = json.loads(json.dumps(settings, default=files.plain))
        if not file.is_file():
            write_json(file, wanted)
        elif (found := read_json(file)) != wanted:
            raise ValueError(
                f"{file}: arm {arm.name!r} was started with other settings (differs in "
                f"{', '.join(differing(found, wanted))}); rename the arm, or delete its stage and model"
            )

    def hold_out(self, sets: Sequence[str]) -> None:
        """The held-out rooms ``sets``, if they are not there yet."""
        world = self.world
        for where in sets:
            if (folder := held_out_folder(self.run.root, where)).exists():
                continue
            options = self._options(self.start, world.held_out)
            rooms, first = world.rooms, HELD_OUT
            if where != STANDARD:
                rooms, first = world.elsewhere[where].rooms, ELSEWHERE
                options = {view: own for view, own in options.items() if view in world.elsewhere[where].views}
            seeds = range(first, first + world.held_out_rooms)
            with self.run.timed(f"held-out rooms {where}"):
                scenes = track(self.console, f"held-out rooms: {where}", iter_rooms(seeds, rooms), len(seeds))
                write_dataset(
                    scenes, folder, tasks=build_tasks(options), seed=0, with_depth=False,
                    file_name="{task}.samples.jsonl",
                )  # fmt: skip

    def ask_headroom(self, temperature: float) -> None:
        """``headroom.json``: what RL could gain from the start at ``temperature``, if it is not there yet."""
        file, limit = self.run.root / "headroom.json", self.world.headroom
        if not limit or file.is_file():
            return
        folder = held_out_folder(self.run.root, STANDARD)
        files = [folder / f"{view}.samples.jsonl" for view in self.world.held_out if view in TASKS]
        questions = {each: spread_questions(each, limit) for each in files}
        longest = max(self.world.max_new_tokens.values())
        config = HeadroomConfig(
            temperatures=(temperature,), batch_size=32, max_new_tokens=longest, resamples=self.world.resamples
        )
        with self.run.timed("headroom"):
            model = model_fingerprint(self.model_dir(FIRST))
            found = headroom_of_files(
                self._judged_policy(FIRST), model, questions, config, show=self.console.is_terminal,
                tell=lambda measured: self.console.print(measured.sentence, highlight=False),
            )  # fmt: skip
        write_json(file, found)

    def judge(self, arm: Arm, where: str) -> None:
        """Predict and score ``arm`` on the held-out rooms ``where``, if that is not done yet."""
        views = unjudged(self.run.root, self.world, arm).get(where)
        if not views:
            return
        with self.run.timed(f"eval {arm.name}" + ("" if where == STANDARD else f" {where}")):
            policy = self._judged_policy(arm.name)
            for view in views:
                self._judge_view(policy, arm, held_out_folder(self.run.root, where), view)

    def _judged_policy(self, name: str) -> Policy:
        policy = load_policy(self.model_dir(name))
        # arms have the same frozen encoders, but features without geometry are no use to others
        kept = FeatureCache(keep=3 * self.world.held_out_rooms)
        kept = self._shared.setdefault(policy.model.config.use_geometry_encoder, kept)
        return replace(policy, features=kept)

    def _judge_view(self, policy: Policy, arm: Arm, folder: Path, view: str) -> None:
        samples, answers = folder / f"{view}.samples.jsonl", folder / arm.name / f"{view}.predictions.jsonl"
        answers.parent.mkdir(exist_ok=True)
        self.console.print(f"{arm.title}: {view}", highlight=False)
        config = PredictConfig(batch_size=64, max_new_tokens=self.world.max_new_tokens[view])
        model = model_fingerprint(self.model_dir(arm.name))
        predict(policy, samples, answers, model=model, config=config, progress=self.console.is_terminal)
        options = self._options(self.start, self.world.held_out)[view]
        scoring = ScoreConfig(resamples=self.world.resamples, options=options)
        scores = score_files(task_of(view), samples, answers, scoring)
        write_json(folder / arm.name / f"{view}.scores.json", scores)


def settings_of(world: World, seed: int) -> dict[str, Any]:
    """What makes a run folder the same: ``config.json``."""
    settings = asdict(world)
    for judging in ("elsewhere", "resamples", "held_out", "max_new_tokens", "headroom"):
        del settings[judging]  # they change what is measured, not what was trained
    return {"world": settings, "rooms": asdict(world.rooms), "seed": seed}
