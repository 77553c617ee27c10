"""A run as one Python file: ``def config() -> Recipe``; ``rft3d train RECIPE`` does what it says.

::

    out/config.json  env.json  stages.json
    out/stages/0-sft/   metrics.jsonl  checkpoints/
    out/models/0-sft/   the policy after that stage: give it to ``rft3d predict`` or to another recipe

Started again with the same settings, a run goes on from its last checkpoint; finished stages are not
repeated. Any field can be overridden: ``--seed 3 --stages.0.steps 50 --model runs/demo/models/sft``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from rft3d.models import Policy, load_policy
from rft3d.models.fusion import FrozenFeatures
from rft3d.scenes.sources import load_frame_ref
from rft3d.tasks import TASKS, Sample, Task, read_samples
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import checked_gold, tokenize
from rft3d.training.grpo import train_rft
from rft3d.training.runs import Run, track
from rft3d.training.sft import train_sft

CLIPS_AT_ONCE = 16


@dataclass(frozen=True)
class Recipe:
    """A run: from which policy, on which samples, through which stages."""

    out: Path
    """Run folder."""
    model: Path | None
    """Folder of the saved policy to start from."""
    samples: Mapping[str, Path]
    """A samples file for each task; frame paths in it are relative to its folder."""
    stages: tuple[SFTConfig | RFTConfig, ...]
    """What to do, in order."""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of a task; without an entry, those that the policy was trained with."""
    seed: int = 0
    """Added to the seed of every stage."""
    trackers: tuple[str, ...] = ()
    """Trackers beside metrics.jsonl: tensorboard, wandb, trackio ... (their packages must be installed)."""


def run_recipe(path: Path, overrides: list[str]) -> None:
    """Run the recipe in file ``path`` with command-line ``overrides``; resumes what is there already.

    Raises:
        ValueError: a recipe without ``config() -> Recipe``, an unknown override, a recipe that asks for
            tasks it has no samples of, samples whose gold answer earns no format mark, or a run folder
            with other settings.
        FileNotFoundError: no policy at ``model``, or no samples file.
    """
    recipe = apply_overrides(load_recipe(path), overrides)
    tasks_needed = check_recipe(recipe, path)
    if recipe.model is None:
        raise ValueError(
            f"{path}: no policy to start from; give --model FOLDER (rft3d demo leaves some in models/)"
        )
    clips = read_clips(recipe.samples, tasks_needed)
    policy = load_policy(recipe.model)
    tasks = {name: _task(name, recipe, policy) for name in tasks_needed}
    for name, rows in clips.samples.items():  # before anything expensive, and before there is a run folder
        for sample in chain.from_iterable(rows):
            checked_gold(tasks[name], sample)
    settings = dataclasses.asdict(recipe)
    del settings["out"], settings["trackers"]  # a moved or otherwise watched run is still the same run
    run = Run(recipe.out, settings)
    corpus = tokenize(policy, tasks, clips.samples, encode_clips(policy, clips, run.console))
    for index, stage in enumerate(recipe.stages):
        name = f"{index}-{'sft' if isinstance(stage, SFTConfig) else 'rft'}"
        saved = recipe.out / "models" / name
        if run.done(name):
            policy = load_policy(saved)
            continue
        config = dataclasses.replace(stage, seed=stage.seed + recipe.seed)
        where, watch = run.stage(name), recipe.trackers
        with run.timed(name) as facts:
            if isinstance(config, SFTConfig):
                facts["tokens"] = train_sft(policy, corpus, config, where, run.console, name, trackers=watch)
            else:
                facts["tokens"] = train_rft(
                    policy, tasks, corpus, config, where, run.console, name, trackers=watch
                )
            policy.save(saved)
        print(f"{name}: {saved}")


def load_recipe(path: Path) -> Recipe:
    """What ``config()`` of the Python file ``path`` returns."""
    spec = importlib.util.spec_from_file_location("rft3d_recipe", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file (*.py); a recipe is one with 'def config() -> Recipe'")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make = getattr(module, "config", None)
    if not callable(make):
        raise ValueError(f"{path} has no function 'config'; a recipe needs 'def config() -> Recipe'")
    recipe = make()
    if not isinstance(recipe, Recipe):
        raise ValueError(
            f"{path}: config() returned a {type(recipe).__name__}; "
            "it must return an rft3d.training.recipes.Recipe"
        )
    return recipe


def apply_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """``recipe`` with the fields that ``overrides`` name, e.g. ``["--stages.0.steps", "50"]``."""
    if not overrides:
        return recipe
    import tyro

    # With the stages' own types in place of the union, tyro can name their fields by number.
    stages = tuple[tuple(type(stage) for stage in recipe.stages)]  # pyright: ignore[reportInvalidTypeArguments]
    narrowed = dataclasses.make_dataclass("Recipe", [("stages", stages)], bases=(Recipe,), frozen=True)
    values = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            changed = tyro.cli(narrowed, default=narrowed(**values), args=list(overrides), prog="recipe")
    except SystemExit:
        lines = [line.strip("│╭╮╰╯─ \t") for line in complaint.getvalue().splitlines()]
        message = " ".join(line for line in lines if line).split("For full helptext")[0].strip()
        raise ValueError(f"cannot override the recipe: {message or ' '.join(overrides)}") from None
    return Recipe(**{f.name: getattr(changed, f.name) for f in dataclasses.fields(Recipe)})


def check_recipe(recipe: Recipe, path: Path) -> tuple[str, ...]:
    """The tasks of ``recipe``; ValueError when it names unknown ones or trains on tasks without samples."""
    for name in (*recipe.samples, *recipe.tasks):
        if name not in TASKS:
            raise ValueError(f"{path}: task {name!r} is none of {', '.join(TASKS)}")
    for index, stage in enumerate(recipe.stages):
        counts = stage.per_scene if isinstance(stage, SFTConfig) else stage.prompts_per_step
        wanted = [name for name, count in counts.items() if count]
        if not wanted:
            raise ValueError(
                f"{path}: stage {index} trains on nothing; give at least one task a count above 0"
            )
        lacking = [name for name in wanted if name not in recipe.samples]
        if lacking:
            raise ValueError(
                f"{path}: stage {index} trains on {', '.join(lacking)} but the recipe names no samples "
                "file for it; add one to 'samples' or set its count to 0"
            )
        if isinstance(stage, RFTConfig) and (short := [n for n in wanted if n not in stage.max_new_tokens]):
            raise ValueError(f"{path}: stage {index} has no max_new_tokens for {', '.join(short)}")
    return tuple(name for name in TASKS if name in recipe.samples)


@dataclass(frozen=True)
class Clips:
    """Samples by the frames they show.

    Attributes:
        frames: for each clip the folder that its references are relative to, and the references.
        samples: ``samples[task][clip]``.
    """

    frames: Sequence[tuple[Path, tuple[str, ...]]]
    samples: Mapping[str, Sequence[Sequence[Sample]]]


def read_clips(files: Mapping[str, Path], tasks: Sequence[str]) -> Clips:
    """The samples of ``tasks``; samples with the same frames share a clip, whatever their task."""
    clips: dict[tuple[Path, tuple[str, ...]], int] = {}
    placed: dict[str, list[tuple[int, Sample]]] = {}
    for name in tasks:
        folder = Path(files[name]).resolve().parent
        rows = placed[name] = []
        for sample in read_samples(files[name]):
            if sample.task != name:
                raise ValueError(
                    f"{files[name]}: sample {sample.id!r} is of task {sample.task!r}, not {name!r}"
                )
            rows.append((clips.setdefault((folder, sample.frames), len(clips)), sample))
        if not rows:
            raise ValueError(f"{files[name]} holds no samples; one JSON object a line is needed")
    by_clip: dict[str, list[list[Sample]]] = {name: [[] for _ in clips] for name in tasks}
    for name, rows in placed.items():
        for clip, sample in rows:
            by_clip[name][clip].append(sample)
    return Clips(list(clips), by_clip)


def encode_clips(policy: Policy, clips: Clips, console: Console) -> list[FrozenFeatures]:
    """The frozen features of every clip, each encoded once; all of them stay in memory."""
    features: list[FrozenFeatures] = []
    chunks = [clips.frames[at : at + CLIPS_AT_ONCE] for at in range(0, len(clips.frames), CLIPS_AT_ONCE)]
    for chunk in track(console, "features", chunks, len(chunks)):
        features += policy.encode([[load_frame_ref(ref, folder) for ref in refs] for folder, refs in chunk])
    return features


def _task(name: str, recipe: Recipe, policy: Policy) -> Task:
    """The task with the recipe's options, or those the policy carries; the policy remembers them."""
    options = recipe.tasks.get(name, policy.task_options.get(name, {}))
    policy.task_options[name] = dict(options)
    # saved options come from JSON, which has no tuples
    return TASKS[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
