"""A run as one file: ``rft3d train RECIPE``.

A Python file with ``def config() -> Recipe`` is executed: only run those that you trust. A ``.toml`` or ``.json``
file with the same fields (of a stage also ``kind = "sft"`` or ``"rft"``) is only read.

The run folder is that of :mod:`rft3d.runfolder`; give ``out/models/0-sft``, the policy after a stage, to ``rft3d
predict`` or to another recipe.

Started again with the same settings, a run goes on from its last checkpoint; finished stages are not
repeated. Any field can be overridden: ``--seed 3 --stages.0.steps 50 --model runs/demo/models/sft``.
"""

import contextlib
import dataclasses
import io
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rft3d.digests import file_digest, model_fingerprint
from rft3d.files import blaming, model_folder, read_json
from rft3d.locks import only_writer
from rft3d.models import Policy
from rft3d.models.features import FeatureCache, Format
from rft3d.models.start import LoadConfig, load_start
from rft3d.process import is_main_process
from rft3d.runfolder import DONE, logged_sum
from rft3d.settings import Checked, Natural, config_in
from rft3d.tasks import TASKS, Task, make_task
from rft3d.training.clips import Clips, check_clips, corpus_as_needed, encode_clips, read_clips
from rft3d.training.config import Plan, RFTConfig, SFTConfig
from rft3d.training.data import Corpus, tokenize
from rft3d.training.grpo import train_rft
from rft3d.training.loop import HeldOut, Watch
from rft3d.training.placement import wants_zero
from rft3d.training.runs import Run, write_json_on_main
from rft3d.training.sft import train_sft
from rft3d.typed import typed


@dataclass(frozen=True)
class CacheConfig(Checked):
    """Frozen features on disk, shared by stages and runs (``rft3d cache`` shows and clears them)."""

    folder: Path | None = None
    """None: features stay in memory, all of them."""
    dtype: Format = "bfloat16"
    """Number format; a value beyond its range stops the run."""
    clips_in_memory: Natural = 512
    """Clips whose features stay in memory as well."""
    encode: Literal["first", "as_needed"] = "first"
    """``first``: all clips before the first step (fastest where features of all of them fit into memory or
    ``folder``); ``as_needed``: a step's clips in that step, and its prompts too."""

    def opened(self) -> FeatureCache:
        """The cache; one that keeps everything in memory where each clip is encoded once and nothing is written."""
        if self.folder is None and self.encode == "first":
            return FeatureCache(None, self.dtype, keep=sys.maxsize, keep_bytes=sys.maxsize)
        return FeatureCache(self.folder, self.dtype, keep=self.clips_in_memory)


@dataclass(frozen=True)
class Recipe(Checked):
    """A run: from which policy, on which samples, through which stages."""

    out: Path
    """Run folder."""
    model: Path | str | None
    """The policy to start from: a folder, a hub repository (owner/name), or a name of ``rft3d.models``'s
    ``PUBLIC_WEIGHTS`` (qwen2.5-vl-3b-vggt ...)."""
    samples: Mapping[str, Path]
    """A samples file for each task; frame paths in it are relative to its folder, and lead nowhere else."""
    stages: tuple[SFTConfig | RFTConfig, ...]
    """What to do, in order."""
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of a task; without an entry, those that the policy was trained with."""
    seed: int = 0
    """Added to the seed of every stage."""
    trackers: tuple[str, ...] = ()
    """Trackers beside metrics.jsonl: tensorboard, wandb, trackio ... (their packages must be installed)."""
    held_out: Mapping[str, Path] = field(default_factory=dict)
    """Samples files that are not trained on: measured every 5 steps."""
    cache: CacheConfig = CacheConfig()
    trained_dtype: Literal["stored", "float32"] = "stored"
    """Number format of the trained weights (``stored``: that of ``load.dtype``). Public weights are stored in
    bf16, in which steps of a small learning rate are rounded away: train them in float32 (under bf16 autocast).
    ``load.dtype`` is that of the frozen ones."""
    load: LoadConfig = LoadConfig()
    """Device, number format and geometry of ``model``."""
    plan: Plan = Plan()
    """What ``rft3d estimate`` needs beside this; changes nothing of a run."""
    pictures: Path | None = None
    """A folder besides those of the samples files in which their pictures may lie."""

    def named_stages(self) -> dict[str, SFTConfig | RFTConfig]:
        """The stages by the names of their folders, ``0-sft`` ..."""
        return {f"{index}-{stage.kind}": stage for index, stage in enumerate(self.stages)}


def run_recipe(path: Path, overrides: list[str]) -> None:
    """Run the recipe in file ``path`` with command-line ``overrides``; resumes what is there already.

    Raises:
        ValueError: a recipe without ``config() -> Recipe``, an unknown override, a recipe that asks for
            tasks it has no samples of, samples whose gold answer earns less than full marks or whose pictures
            are missing or lie elsewhere, or a run folder with other settings.
        FileNotFoundError: no policy at ``model``, or no samples file.
        InUse: another process runs in the same folder.
        ModuleNotFoundError: a launch with DeepSpeed, which is not installed.
    """
    wants_zero()  # raises if DeepSpeed was asked for and is not installed
    written = load_recipe(path)
    recipe = apply_overrides(written, overrides)
    with only_writer(recipe.out) if is_main_process() else contextlib.nullcontext():
        _run(path, written, recipe)


def _run(path: Path, written: Recipe, recipe: Recipe) -> None:
    tasks_needed = check_recipe(recipe, path)
    if recipe.model is None:
        raise ValueError(f"{path}: no policy to start from; give --model FOLDER (rft3d demo makes some)")
    for kind in ("samples", "held_out"):
        require_files(path, {f"{kind}.{task}": file for task, file in getattr(recipe, kind).items()})
    clips = read_clips(recipe.samples, tasks_needed, recipe.pictures)
    policy, ended = _start(recipe)
    trained_with = policy.task_options
    options = {name: dict(recipe.tasks.get(name, trained_with.get(name, {}))) for name in tasks_needed}
    tasks = {name: make_task(name, options=own) for name, own in options.items()}
    judged = None
    if recipe.held_out:
        judged = read_clips(recipe.held_out, tuple(recipe.held_out), recipe.pictures)
    rewarded = {name for stage in recipe.stages if stage.kind == "rft" for name in stage.asked}
    # before anything expensive, and before there is a run folder
    check_clips(clips, tasks, rewarded)
    if judged is not None:
        check_clips(judged, tasks, judged.samples)
    digests = {"digests": _digests(recipe)}
    run = Run(recipe.out, _identity(recipe) | digests)
    # for the report: what the command changed
    write_json_on_main(recipe.out / "defaults.json", _identity(written) | digests)
    if ended == len(recipe.stages):
        return
    policy = dataclasses.replace(policy, features=recipe.cache.opened(), task_options=trained_with | options)
    corpus = _corpus(policy, tasks, clips, recipe.cache, run)
    watched = None
    if judged is not None:
        own = {name: tasks[name] for name in judged.samples}
        watched = HeldOut(_corpus(policy, own, judged, recipe.cache, run), own, {})
    for name, stage in list(recipe.named_stages().items())[ended:]:
        config = dataclasses.replace(stage, seed=stage.seed + recipe.seed)
        held_out = watched and dataclasses.replace(watched, max_new_tokens=stage.max_new_tokens)
        watch = Watch(run.console, name, trackers=recipe.trackers, held_out=held_out)
        train_stage(run, name, policy, tasks, corpus, config, watch)
        print(f"{name}: {recipe.out / 'models' / name}")


def train_stage(
    run: Run,
    name: str,
    policy: Policy,
    tasks: Mapping[str, Task],
    corpus: Corpus,
    config: SFTConfig | RFTConfig,
    watch: Watch,
) -> None:
    """Train ``policy`` in place as the stage ``name`` of ``run`` and save it as ``models/<name>``; resumes."""
    where = run.stage(name)
    with run.timed(name) as facts:
        if isinstance(config, SFTConfig):
            train_sft(policy, corpus, config, where, watch)
        else:
            train_rft(policy, tasks, corpus, config, where, watch)
        if is_main_process():  # the others would write into the same folder
            facts |= {"tokens": round(logged_sum(where, "tokens")), "steps": config.steps}
            facts["training_seconds"] = logged_sum(where, "seconds")
            policy.save(run.root / "models" / name)


def _corpus(policy: Policy, tasks: Mapping[str, Task], clips: Clips, cache: CacheConfig, run: Run) -> Corpus:
    if cache.encode == "as_needed":
        return corpus_as_needed(policy, tasks, clips)
    features = encode_clips(policy, clips, run.console)
    return tokenize(policy, tasks, clips.samples, features)


def _start(recipe: Recipe) -> tuple[Policy, int]:
    """The policy to go on with (of the last stage that has ended, else ``recipe.model``); how many have ended."""
    ended, model = 0, recipe.model
    for number, name in enumerate(recipe.named_stages(), 1):
        if (recipe.out / "stages" / name / DONE).is_file():
            ended, model = number, recipe.out / "models" / name
    assert model is not None
    return load_start(model, recipe.load, recipe.trained_dtype, own=ended > 0), ended


def _identity(recipe: Recipe) -> dict[str, Any]:
    """The settings that make a run the same run: not where it and its pictures are, who watches, how features are
    kept."""
    settings = dataclasses.asdict(recipe)
    del settings["load"]["device"]
    del settings["out"], settings["pictures"], settings["trackers"], settings["plan"]
    settings["cache"] = recipe.cache.dtype if recipe.cache.folder is not None else None
    return settings


def _digests(recipe: Recipe) -> dict[str, str]:
    """Of the samples files and of a local model: a run that goes on with other ones would be neither run."""
    named = [*recipe.samples.items(), *(("held-out " + name, file) for name, file in recipe.held_out.items())]
    found = {name: file_digest(file) for name, file in named}
    if recipe.model is not None and model_folder(recipe.model).is_dir():
        found["model"] = model_fingerprint(recipe.model)
    return found


def require_files(recipe: Path, fields: Mapping[str, Path]) -> None:
    """FileNotFoundError naming recipe, field, file and fix for the first of ``fields`` that is not a file."""
    for name, file in fields.items():
        if not Path(file).is_file():
            option = name.replace("_", "-")
            raise FileNotFoundError(
                f"{recipe}: {name} is {file}, which does not exist; make it (docs/data.md: rft3d data prepare) "
                f"or give --{option} FILE"
            )


def load_recipe(path: Path) -> Recipe:
    """What ``config()`` of the Python file ``path`` returns, or what a ``.toml`` or ``.json`` file, only read,
    holds."""
    if path.suffix in (".toml", ".json"):
        with blaming(path, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, fix="mend the line"):
            data = read_json(path) if path.suffix == ".json" else tomllib.loads(path.read_text("utf-8"))
        return typed(Recipe, data, str(path))
    return config_in(path, Recipe)


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
    except SystemExit as stop:
        if not stop.code:  # --help: the fields are printed
            return recipe
        raise ValueError(f"cannot override the recipe: {complaint.getvalue()}") from None
    return Recipe(**{f.name: getattr(changed, f.name) for f in dataclasses.fields(Recipe)})


def check_recipe(recipe: Recipe, path: Path) -> tuple[str, ...]:
    """The tasks of ``recipe``; ValueError when it names unknown ones or trains on tasks without samples."""
    for name in (*recipe.samples, *recipe.tasks, *recipe.held_out):
        if name not in TASKS:
            raise ValueError(f"{path}: task is {name!r}; it must be one of {', '.join(TASKS)}")
    for index, stage in enumerate(recipe.stages):
        wanted = list(stage.asked)
        if not wanted:
            raise ValueError(f"{path}: stage {index} trains on nothing; give a task a count above 0")
        lacking = [name for name in wanted if name not in recipe.samples]
        if lacking:
            raise ValueError(
                f"{path}: stage {index} trains on {', '.join(lacking)} but the recipe names no samples "
                "file for it; add one to 'samples' or set its count to 0"
            )
        limited = {"held-out ": recipe.held_out, "": wanted if isinstance(stage, RFTConfig) else ()}
        for kind, names in limited.items():
            if free := [name for name in names if name not in stage.max_new_tokens]:
                raise ValueError(f"{path}: stage {index} has no max_new_tokens for {kind}{', '.join(free)}")
    return tuple(name for name in TASKS if name in {*recipe.samples, *recipe.held_out})
