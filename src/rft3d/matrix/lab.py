"""A world's seed on disk: rooms, encoders and features made once, then arms that start from one another.

::

    OUT/<world>/seed0/  config.json  env.json  stages.json
                        train/rooms.json  train/<view>.samples.jsonl      features/
                        stages/<arm>/arm.json  metrics.jsonl  done.json   models/<arm>/
                        eval/<view>.samples.jsonl  eval/<arm>/<view>.predictions.jsonl  .scores.json
                        ood/<name>/...                                    as eval/

Everything that is done is kept; an arm whose settings changed is an error, not a surprise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from rft3d import files
from rft3d.demo.config import HELD_OUT_FIRST_SEED
from rft3d.demo.rooms_data import build_tasks
from rft3d.demo.stages import encoders_stage, features_stage, rooms_stage
from rft3d.evaluation import (
    PredictConfig,
    ScoreConfig,
    model_fingerprint,
    predict,
    score_files,
    write_dataset,
    write_json,
)
from rft3d.matrix.tokens import logged_seconds, steps_within, used_tokens
from rft3d.matrix.types import STANDARD, Arm, World, folder_of, held_out_folder, task_of
from rft3d.matrix.views import corrupted, derived_options
from rft3d.models import Policy, build_tiny, load_policy
from rft3d.models.features import FeatureCache
from rft3d.models.fusion import FrozenFeatures
from rft3d.scenes import iter_rooms
from rft3d.scenes.rooms import USUAL_SIZES
from rft3d.tasks import Sample, read_samples, write_samples
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import Corpus, Item, tokenize
from rft3d.training.features import FeatureStore
from rft3d.training.grpo import train_rft
from rft3d.training.loop import OnStep, Watch
from rft3d.training.runs import Run, differing, track
from rft3d.training.sft import train_sft

LATER_ROOM_SETTINGS = {"spread_m": 0.0, "sizes": USUAL_SIZES, "kinds": 0}
"""With these, rooms are what they were before there were these settings, and so are run folders."""
ELSEWHERE_FIRST_SEED = 500_000
"""First seed of held-out rooms of other kinds; below those of the training rooms."""


@dataclass
class Lab:
    """One seed of a world; ``on_step`` is called after every training step."""

    world: World
    seed: int
    out: Path
    console: Console
    on_step: OnStep | None = None
    workers: int = 2
    _shared: dict[bool, FeatureCache] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = asdict(self.world)
        for later in ("elsewhere", "resamples", "held_out", "held_out_rooms", "max_new_tokens"):
            del settings[later]  # they change what is measured, not what was trained
        for name, usual in LATER_ROOM_SETTINGS.items():
            if settings["rooms"][name] == usual:
                del settings["rooms"][name]
        root = folder_of(self.out, self.world, self.seed)
        self.run = Run(root, {"world": settings, "seed": self.seed}, self.console)

    def model_dir(self, name: str) -> Path:
        return self.run.root / "models" / name

    def prepare(self) -> None:
        """Rooms, encoders and features, if they are not there yet."""
        ready = self.run.root / "train" / "rooms.json"
        if ready.is_file():
            return
        world = self.world
        rooms = rooms_stage(self.run, self.seed, world.train_rooms, world.rooms, world.views, self.workers)
        encoder = replace(world.encoder, seed=self.seed)
        policy = encoders_stage(self.run, rooms, world.tiny, encoder, self.seed, world.views)
        features_stage(self.run, policy, [room.clip for room in rooms])
        ready.parent.mkdir(exist_ok=True)
        numbered = enumerate(rooms)
        scenes: dict[str, int] = {
            s.scene: i for i, r in numbered for many in r.samples.values() for s in many
        }
        for view in world.views:
            write_samples(self._samples_file(view), [s for room in rooms for s in room.samples[view]])
        objects = [
            max((len(s.truth["boxes"]) for s in room.samples.get("detection", ())), default=0)
            for room in rooms
        ]
        write_json(ready, {"scenes": scenes, "rooms": len(rooms), "objects": objects})

    def _samples_file(self, view: str) -> Path:
        return self.run.root / "train" / f"{view}.samples.jsonl"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Of the training rooms: ``scenes`` (id to number), ``rooms``, ``objects`` in each."""
        return json.loads((self.run.root / "train" / "rooms.json").read_text(encoding="utf-8"))

    @cached_property
    def corpus(self) -> Corpus:
        """All training samples, tokenized; also those of derived views."""
        policy = load_policy(self.model_dir("encoders"))
        options = derived_options(self.world.views)
        samples: dict[str, list[list[Sample]]] = {}
        for view in self.world.views:
            samples[view] = [[] for _ in range(self.facts["rooms"])]
            for sample in read_samples(self._samples_file(view)):
                samples[view][self.facts["scenes"][sample.scene]].append(sample)
        for view, source in ((v, v.replace("-corrupt", "-think")) for v in options if v not in samples):
            samples[view] = corrupted(samples[source], self.seed)
        features = FeatureStore(self.run.root / "features")
        return tokenize(policy, build_tasks(options), samples, features)

    def train(self, arm: Arm, budget: int) -> None:
        """Train ``arm`` from its base; a finished one must have had the same settings."""
        corpus = self._corpus_of(arm)
        stage = replace(arm.stage, seed=arm.stage.seed + self.seed)
        if arm.budget:
            stage = replace(stage, steps=steps_within(corpus, stage, round(arm.budget * budget)))
        folder = self.run.stage(arm.name)
        self._same_arm(folder / "arm.json", arm, stage)
        if self.run.done(arm.name):
            return
        policy = self._start(arm)
        with self.run.timed(arm.name) as facts:
            self._train(policy, corpus, arm, stage, folder)
            policy.save(self.model_dir(arm.name))
            facts["steps"] = stage.steps
            facts["optimizer_tokens"] = used_tokens(corpus, stage, folder)
            facts["training_seconds"] = round(logged_seconds(folder), 2)

    def _train(
        self, policy: Policy, corpus: Corpus, arm: Arm, stage: SFTConfig | RFTConfig, folder: Path
    ) -> None:
        if isinstance(stage, SFTConfig):
            train_sft(policy, corpus, stage, folder, Watch(self.console, arm.name, on_step=self.on_step))
            return
        options = derived_options(self.world.views)
        merged = {view: {**options[view], **arm.options.get(view, {})} for view in arm.views()}
        tasks = build_tasks(merged)
        train_rft(policy, tasks, corpus, stage, folder, Watch(self.console, arm.name, on_step=self.on_step))

    def _same_arm(self, file: Path, arm: Arm, stage: SFTConfig | RFTConfig) -> None:
        settings = asdict(replace(arm, stage=stage))
        for shown in ("title", "judge", "elsewhere"):
            del settings[shown]
        wanted = _of_views(json.loads(json.dumps(settings, default=files.plain)), arm.views())
        if not file.is_file():
            write_json(file, wanted)
            return
        found = _of_views(json.loads(file.read_text(encoding="utf-8")), arm.views())
        found.setdefault("looks", True)  # arms begun before there was the setting
        if found != wanted:
            raise ValueError(
                f"{file}: arm {arm.name!r} was started with other settings (differs in "
                f"{', '.join(differing(found, wanted))}); rename the arm, or delete its stage and model"
            )

    def _start(self, arm: Arm) -> Policy:
        if arm.base is not None:
            return load_policy(self.model_dir(arm.base))
        policy = load_policy(self.model_dir("encoders"))
        return policy if arm.geometry else without_geometry(policy, self.world, self.seed)

    def _corpus_of(self, arm: Arm) -> Corpus:
        chosen = list(range(self.facts["rooms"]))[: arm.rooms or None]
        if arm.most_objects:
            chosen = [i for i in chosen if self.facts["objects"][i] <= arm.most_objects]
            if not chosen:
                raise ValueError(
                    f"arm {arm.name!r}: no training room has {arm.most_objects} objects or fewer"
                )
        corpus = self.corpus if len(chosen) == self.facts["rooms"] else subset(self.corpus, chosen)
        return corpus if arm.looks else with_other_pictures(corpus)

    def judge(self, arm: Arm) -> None:
        """Predict and score ``arm`` on the held-out rooms, and elsewhere if it says so."""
        for where in (STANDARD, *arm.elsewhere):
            folder = self._held_out(where)
            name = f"eval {arm.name}" + ("" if where == STANDARD else f" {where}")
            views = [view for view in arm.judge if not (folder / arm.name / f"{view}.scores.json").is_file()]
            if not views:
                continue
            with self.run.timed(name):
                policy = load_policy(self.model_dir(arm.name))
                # arms have the same frozen encoders, but features without geometry are no use to others
                policy.use_features(
                    self._shared.setdefault(policy.model.config.use_geometry_encoder, FeatureCache())
                )
                for view in views:
                    self._judge_view(policy, arm.name, folder, view)

    def _judge_view(self, policy: Policy, name: str, folder: Path, view: str) -> None:
        samples, answers = folder / f"{view}.samples.jsonl", folder / name / f"{view}.predictions.jsonl"
        answers.parent.mkdir(exist_ok=True)
        config = PredictConfig(batch_size=64, max_new_tokens=self.world.max_new_tokens[view])
        model = model_fingerprint(self.model_dir(name))
        predict(policy, samples, answers, model=model, config=config, progress=self.console.is_terminal)
        scoring = ScoreConfig(resamples=self.world.resamples, options=dict(self.world.held_out[view]))
        scores = score_files(task_of(view), samples, answers, scoring)
        write_json(folder / name / f"{view}.scores.json", scores)

    def _held_out(self, where: str) -> Path:
        folder = held_out_folder(self.run.root, where)
        if folder.exists():
            return folder
        standard = where == STANDARD
        if not standard and where not in self.world.elsewhere:
            raise ValueError(f"world {self.world.name!r} has no held-out rooms called {where!r}")
        rooms = self.world.rooms if standard else self.world.elsewhere[where]
        first = HELD_OUT_FIRST_SEED if standard else ELSEWHERE_FIRST_SEED
        seeds = range(first, first + self.world.held_out_rooms)
        with self.run.timed(f"held-out rooms {where}"):
            scenes = track(self.console, f"held-out rooms: {where}", iter_rooms(seeds, rooms), len(seeds))
            tasks = build_tasks(self.world.held_out)
            write_dataset(
                scenes, folder, tasks=tasks, seed=0, with_depth=False, file_name="{task}.samples.jsonl"
            )
        return folder


def _of_views(settings: dict[str, Any], views: Sequence[str]) -> dict[str, Any]:
    """``settings`` of an arm without the limits of views that it does not train on: a new view changes nothing."""
    stage = settings["stage"]
    limits = {view: limit for view, limit in stage["max_new_tokens"].items() if view in views}
    return {**settings, "stage": {**stage, "max_new_tokens": limits}}


def without_geometry(policy: Policy, world: World, seed: int) -> Policy:
    """The same encoders, embeddings and untrained layers without the geometry branch."""
    bare = build_tiny(replace(world.tiny, use_geometry=False), policy.tokenizer, seed, policy.task_options)
    kept = bare.model.state_dict().keys()
    bare.model.load_state_dict({k: v for k, v in policy.model.state_dict().items() if k in kept})
    return bare


class _Chosen(Sequence[FrozenFeatures]):
    def __init__(self, features: Sequence[FrozenFeatures], chosen: Sequence[int]) -> None:
        self.features, self.chosen = features, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> FrozenFeatures:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.features[self.chosen[index]]


def subset(corpus: Corpus, chosen: Sequence[int]) -> Corpus:
    """``corpus`` with only the scenes ``chosen``, numbered anew."""
    by_scene: Mapping[str, list[list[Item]]] = {
        view: [[replace(item, scene=new) for item in rows[old]] for new, old in enumerate(chosen)]
        for view, rows in corpus.by_scene.items()
    }
    return Corpus(_Chosen(corpus.features, chosen), by_scene)


def with_other_pictures(corpus: Corpus) -> Corpus:
    """``corpus`` with the pictures of every scene exchanged for those of the scene half a round further on."""
    scenes = len(corpus.features)
    if scenes < 2:
        raise ValueError(f"pictures can be exchanged between two rooms or more, got {scenes}")
    return replace(
        corpus, features=_Chosen(corpus.features, [(i + scenes // 2) % scenes for i in range(scenes)])
    )
