"""Writing a run folder (:mod:`rft3d.runfolder`): settings and environment, stages, metrics, trackers, rollouts."""

import json
import os
import platform
import resource
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from rich.console import Console

from rft3d import files, runfolder
from rft3d.files import read_json
from rft3d.process import is_main_process
from rft3d.rewards.score import logged
from rft3d.runfolder import ROLLOUTS, LoggedCompletion, LoggedGroup, append_lines, append_records, drop_after
from rft3d.settings import differing
from rft3d.tasks.types import Task
from rft3d.training.config import RFTConfig
from rft3d.training.rollout import Group, by_task, sampling_seed
from rft3d.watching.alarms import AlarmLog, Answered, signals


def write_json_on_main(path: Path, value: Any) -> None:
    """:func:`rft3d.files.write_json` on the main process only; a stage's numbers may be NaN."""
    if is_main_process():
        files.write_json(path, value, allow_nan=True)


def environment() -> dict[str, Any]:
    """Versions, commit and machine facts that a number depends on."""
    from importlib.metadata import version

    packages = ("torch", "transformers", "accelerate", "numpy")
    return {
        "commit": files.source_commit(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        **{name: version(name) for name in packages},
    }


def has_config(root: Path, config: Any) -> bool:
    """Whether ``root`` is a run with ``config``; False when it has none, ValueError when it has another one."""
    file, wanted = root / "config.json", json.loads(json.dumps(config, default=files.plain))
    if file.is_file() and (found := read_json(file)) != wanted:
        raise ValueError(
            f"{file} was written with another config (differs in {', '.join(differing(found, wanted))}); "
            "give another folder, or delete this one to start again"
        )
    return file.is_file()


@dataclass
class Run:
    """A run folder. A new one gets config and environment; an existing one must match (ValueError)."""

    root: Path
    config: Any
    console: Console = field(default_factory=lambda: Console(stderr=True))

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        if not has_config(self.root, self.config):
            write_json_on_main(self.root / "config.json", self.config)
        write_json_on_main(self.root / "env.json", environment())

    def stage(self, name: str) -> Path:
        path = self.root / "stages" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def done(self, name: str) -> bool:
        return (self.stage(name) / runfolder.DONE).is_file()

    @contextmanager
    def timed(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage; what the body puts into the dictionary goes to ``stages.json`` with it."""
        self.console.rule(f"[bold]{name}")
        facts: dict[str, Any] = {}
        started = time.perf_counter()
        yield facts
        entry = {"stage": name, "seconds": round(time.perf_counter() - started, 2)}
        entry["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        entry.update(facts)
        if entry.get("tokens") and entry["seconds"]:
            entry["tokens_per_s"] = round(entry["tokens"] / entry["seconds"])
        write_json_on_main(self.stage(name) / runfolder.DONE, entry)
        self.write_stages()

    def write_stages(self) -> None:
        """Write ``stages.json``, made anew from the stages' own files: stages side by side do not lose each
        other's facts."""
        ended = sorted(self.root.glob(f"stages/*/{runfolder.DONE}"), key=lambda file: file.stat().st_mtime_ns)
        write_json_on_main(self.root / "stages.json", [read_json(f) for f in ended])


class MetricsLog:
    """``metrics.jsonl``, one object a step; on resume, lines past the checkpoint are dropped.

    ``steps``: how many there will be, for ``rft3d watch``. ``lost``: those up to ``resume_step`` that have no
    line, though the checkpoint holds them (a damaged disk).
    """

    def __init__(self, path: Path, resume_step: int = 0, steps: int | None = None) -> None:
        self.path = path
        self.lost: list[int] = []
        if is_main_process():
            kept = drop_after(path, resume_step)
            self.lost = [step for step in range(1, resume_step + 1) if step not in kept]
        write_json_on_main(path.with_name("stage.json"), {"steps": steps, "resumed_at": resume_step})

    def write(self, step: int, values: dict[str, float]) -> None:
        if not is_main_process():
            return
        record = {"step": step, "time": round(time.time(), 3)}
        record.update({k: round(float(v), 6) for k, v in values.items()})
        append_records(self.path, [record])


@dataclass(frozen=True)
class Tracking:
    """Trackers beside ``metrics.jsonl`` (TensorBoard, W&B, trackio ...) by name, through accelerate; the folder of
    those that write files, and the run's name."""

    trackers: Sequence[str] = ()
    folder: Path = Path()
    run: str = ""

    def accelerator(self) -> Accelerator:
        """An accelerator that logs to them; ValueError when one is not installed."""
        if not self.trackers:
            return Accelerator()
        with warnings.catch_warnings():  # we raise instead, below
            warnings.simplefilter("ignore", UserWarning)
            made = Accelerator(log_with=list(self.trackers), project_dir=str(self.folder))
        found = {str(getattr(t, "value", t)) for t in made.log_with}
        missing = [name for name in self.trackers if name not in found]
        if missing:  # accelerate would go on without them
            raise ValueError(f"tracker {', '.join(missing)} is not installed, or accelerate does not know it")
        made.init_trackers(self.run)
        return made


GOLD_KEPT = 20_000


class StageWatch:
    """Everything that is written about the rollouts of one RFT stage: groups, signals, alarms; see :meth:`observe`.

    A line of ``rollouts.jsonl`` is a :class:`LoggedGroup`; it has the sample's own fields, so that an inspector can
    read the boxes again and draw them. The file's size is bounded beforehand: the number of lines is known, a line
    beyond its share has its texts cut, ending in "…".
    """

    def __init__(
        self, folder: Path, config: RFTConfig, tasks: Mapping[str, Task], resume_step: int, console: Console
    ) -> None:
        self.config, self.tasks, self.console = config, tasks, console
        self.alarms = AlarmLog(folder, resume_step)
        self.path = folder / ROLLOUTS
        if is_main_process():
            drop_after(self.path, resume_step)
        self._gold: dict[str, object] = {}

    def observe(self, step: int, groups: Sequence[Group], metrics: Mapping[str, float]) -> dict[str, float]:
        """Log 1-based ``step``; returns what to add to ``metrics`` in ``metrics.jsonl``."""
        if not is_main_process():
            return {}
        began = time.perf_counter()
        found: dict[str, float] = {}
        tasks = by_task(groups)
        for task, mine in tasks.items():
            found |= signals(task, self._answered(task, mine))
        for event in self.alarms.update(step, {**metrics, **found}):
            state = "[yellow]alarm[/yellow]" if event.on else "[green]alarm over[/green]"
            since = f"since step {event.since}; {event.saw}"
            line = f"{state} {event.task}, step {event.step}: {event.title} ({since})"
            self.console.print(line, highlight=False)
        found["alarms"] = float(len(self.alarms.active))
        if logs_rollouts(self.config, step):
            limit = line_limit(self.config)
            seed = sampling_seed(self.config, step - 1)
            # the first groups of each task: prompts are drawn in random order already
            chosen = [g for mine in tasks.values() for g in mine[: self.config.rollouts_per_task]]
            append_lines(self.path, (rollout_line(g, step, seed, limit) for g in chosen))
        found["watch_seconds"] = time.perf_counter() - began
        return found

    def _answered(self, name: str, groups: Sequence[Group]) -> list[Answered]:
        task = self.tasks[name]
        out = []
        for group in groups:
            sample = group.item.sample
            gold = self._gold.get(sample.id)
            if gold is None:
                if len(self._gold) > GOLD_KEPT:
                    self._gold.clear()
                gold = self._gold[sample.id] = task.parse(task.gold(sample), sample)
            for text, score in zip(group.texts, group.scores, strict=True):
                read = score.failure if score.failure is not None else task.parse(text, sample)
                out.append(Answered(sample.id, read, gold, score))
        return out


def logs_rollouts(config: RFTConfig, step: int) -> bool:
    """Whether the rollouts of ``step`` (1-based) are logged: the first, and every k-th from there on."""
    every = config.log_rollouts_every
    return every > 0 and config.rollouts_per_task > 0 and (step - 1) % every == 0


def line_limit(config: RFTConfig) -> int:
    """Bytes that a line may have, so that the whole stage's file stays below ``config.rollouts_mb``."""
    steps = -(-config.steps // max(1, config.log_rollouts_every))
    lines = steps * len(config.asked) * config.rollouts_per_task
    return int(config.rollouts_mb * 1e6 / max(1, lines))


def rollout_line(group: Group, step: int, seed: int, limit: int) -> str:
    """One line of ``rollouts.jsonl`` of at most ``limit`` bytes; longer ones lose text, then completions."""
    sample = group.item.sample
    record = asdict(
        LoggedGroup(
            step, sample.task, sample.id, sample.scene, sample.frames, sample.prompt, sample.truth, sample.meta,
            seed, completions=tuple(_completion(group, i) for i in range(len(group.texts))),
        )
    )  # fmt: skip
    line = json.dumps(record) + "\n"
    kept = 4000
    while len(line) > limit and kept >= 16:
        for completion in record["completions"]:
            completion["text"] = _cut(completion["text"], kept)
            for part in completion["parts"]:
                part["reason"] = _cut(part["reason"], kept)
        line, kept = json.dumps(record) + "\n", kept // 2
    if len(line) > limit:  # what is left is the sample itself
        record |= {"truth": {}, "meta": {}, "frames": [], "prompt": _cut(sample.prompt, 200)}
        line = json.dumps(record) + "\n"
    while len(line) > limit and record["completions"]:
        record["completions"] = record["completions"][:-1]
        line = json.dumps(record) + "\n"
    return line if len(line) <= limit else ""


def _completion(group: Group, index: int) -> LoggedCompletion:
    row = group.advantages[index]
    advantage = round(float(np.mean(row)), 4) if len(row) else 0.0
    return logged(group.scores[index], group.texts[index], len(group.completions[index].tokens), advantage)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
